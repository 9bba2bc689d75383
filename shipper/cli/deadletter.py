"""`shipper deadletter`: what could not be indexed, why, and a second try."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import settings
from ..errors import StateError
from ..records import timestamp
from . import options

if TYPE_CHECKING:
    from ..ship.bulk.dead_letters import DeadLetters, StoredDeadLetter

RETRY_TIMEOUT_S = 30.0


@click.group()
def command() -> None:
    """List, show, replay and purge the lines that Elasticsearch would not have."""


@command.command("list")
@options.state
@options.json
def list_(as_json: bool, **flags: str | None) -> None:
    """One line for each letter, the oldest first."""
    for kept in _letters(flags).all():
        if as_json:
            click.echo(json_module.dumps(_facts(kept)))
        else:
            letter = kept.letter
            click.echo(f"{kept.id}  {kept.read_at:%Y-%m-%d %H:%M:%S}  {letter.path}:{letter.offset}  {letter.reason}")


@command.command()
@options.state
@options.json
@click.argument("identifier", metavar="ID")
def show(identifier: str, as_json: bool, **flags: str | None) -> None:
    """The line itself, byte for byte, to be put right and given to `replay --line`."""
    kept = _letters(flags).find(identifier)
    if as_json:
        click.echo(json_module.dumps(_facts(kept)))
        return
    click.echo(f"{kept.letter.path}:{kept.letter.offset}: {kept.letter.reason}", err=True)
    if kept.blob is not None:
        with kept.blob.open("rb") as line:
            while data := line.read(1 << 20):
                sys.stdout.buffer.write(data)
    else:
        sys.stdout.buffer.write(kept.letter.line + b"\n")


@command.command()
@options.state
@options.elasticsearch
@options.namespace
@click.option("--line", metavar="FILE", help="Send this instead of the letter's line; - for standard input.")
@click.option("--all", "everything", is_flag=True, help="All letters.")
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
def replay(identifiers: tuple[str, ...], everything: bool, line: str | None, **flags: str | None) -> None:
    """Send letters again. Those that arrive are taken out, the others stay."""
    from ..ship.bulk import replay as replaying

    if not identifiers and not everything:
        raise click.UsageError("Name the letters by their ids, or use --all.")
    if line and len(identifiers) != 1:
        raise click.UsageError("--line puts one letter right: name that one.")
    made = settings.load(flags)
    letters = _letters(flags)
    chosen: Iterator[StoredDeadLetter] = (
        letters.all() if everything else iter([letters.find(one) for one in identifiers])
    )
    if line:
        content = sys.stdin.buffer.read() if line == "-" else Path(line).read_bytes()
        chosen = iter([replaying.with_line(next(chosen), content)])
    done = replaying.replay(made, letters, chosen, RETRY_TIMEOUT_S)
    for identifier, reason in done.refused:
        click.echo(f"{identifier}  {reason}")
    click.echo(f"{done.arrived} indexed, {done.there_already} were there already, {len(done.refused)} stay.", err=True)
    if done.refused:
        raise StateError("Some letters were refused again. `shipper deadletter show ID` prints a line to put right.")


@command.command()
@options.state
@click.option("--all", "everything", is_flag=True, help="All letters.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
def purge(identifiers: tuple[str, ...], everything: bool, yes: bool, **flags: str | None) -> None:
    """Take letters out for good: their lines are lost."""
    letters = _letters(flags)
    ids = {kept.id for kept in letters.all()} if everything else {letters.find(one).id for one in identifiers}
    if not ids:
        raise click.UsageError("Name the letters by their ids, or use --all (there may be none).")
    if not yes:
        click.confirm(f"Delete {len(ids)} lines for good?", abort=True)
    click.echo(f"{letters.remove(ids)} deleted.")


def _letters(flags: dict[str, str | None]) -> DeadLetters:
    from ..ship.bulk.dead_letters import DeadLetters

    return DeadLetters(settings.load(flags).state)


def _facts(kept: StoredDeadLetter) -> dict[str, Any]:
    letter = kept.letter
    return {
        "id": kept.id,
        "read_at": timestamp(kept.read_at),
        "reason": letter.reason,
        "status": letter.status,
        "path": letter.path,
        "offset": letter.offset,
        "size": kept.size,
        "line": None if kept.blob else letter.line.decode("utf-8", "backslashreplace"),
        "line_file": str(kept.blob) if kept.blob else None,
    }
