"""`shipper deadletter`: list, show, replay and purge dead letters."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import settings
from ..errors import StateError
from ..printable import printable, printable_lines
from ..read.clock import Clock
from ..records import timestamp
from . import options, progress
from .groups import Group

if TYPE_CHECKING:
    from ..ship.bulk.dead_letters import DeadLetters, StoredDeadLetter

RETRY_TIMEOUT_S = 30.0


@click.group(cls=Group, epilog=options.examples("shipper deadletter list", "shipper deadletter replay --all"))
def command() -> None:
    """List, show, replay and purge dead letters.

    Dead letters are lines that could not be indexed.
    """


@command.command(
    "list",
    epilog=options.examples(
        "shipper deadletter list", "shipper deadletter list --state ~/.local/state/shipper/state/import"
    ),
)
@options.state
@options.utc
@options.json
def list_(as_json: bool, utc: bool, **flags: str | None) -> None:
    """Show one line for each dead letter, oldest first."""
    zone = Clock.of(utc)
    for stored in _dead_letters(flags).all():
        if as_json:
            click.echo(json_module.dumps(_as_json(stored)))
        else:
            one = stored.dead_letter
            where, reason = printable(f"{one.path}:{one.offset}"), printable(one.reason)
            click.echo(f"{stored.id}  {zone.full(stored.read_at)}  {where}  {reason}")


@command.command(epilog=options.examples("shipper deadletter show 3f2b8c1e > line.json"))
@options.state
@options.json
@click.argument("identifier", metavar="ID")
def show(identifier: str, as_json: bool, **flags: str | None) -> None:
    """Print the line of a dead letter, byte for byte.

    It can be corrected and given to `replay --line`. On a terminal its control characters are shown as escapes:
    redirect the output to a file for the bytes.
    """
    stored = _dead_letters(flags).find(identifier)
    if as_json:
        click.echo(json_module.dumps(_as_json(stored)))
        return
    dead_letter = stored.dead_letter
    click.echo(printable(f"{dead_letter.path}:{dead_letter.offset}: {dead_letter.reason}"), err=True)
    if stored.blob is not None:
        with stored.blob.open("rb") as line:
            while data := line.read(1 << 20):
                _write(data)
    else:
        _write(dead_letter.line + b"\n")


def _write(data: bytes) -> None:
    if sys.stdout.isatty():
        click.echo(printable_lines(data.decode("utf-8", "backslashreplace")), nl=False)
    else:
        sys.stdout.buffer.write(data)


@command.command(
    epilog=options.examples("shipper deadletter replay --all", "shipper deadletter replay 3f2b8c1e --line line.json")
)
@options.state
@options.elasticsearch
@options.namespace
@click.option("--line", metavar="FILE", help="Send this line instead of the stored one; - for standard input.")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
def replay(identifiers: tuple[str, ...], everything: bool, line: str | None, **flags: str | None) -> None:
    """Send dead letters again.

    Those that are indexed are removed, the others are kept.
    """
    from ..ship.bulk import replay as replaying

    if not identifiers and not everything:
        raise click.UsageError("Name the dead letters by their ids, or use --all.")
    if line and len(identifiers) != 1:
        raise click.UsageError("--line corrects one dead letter: name its id.")
    config = settings.load(flags)
    dead_letters = _dead_letters(flags)
    chosen: Iterator[StoredDeadLetter] = (
        dead_letters.all() if everything else iter([dead_letters.find(one) for one in identifiers])
    )
    if line:
        content = sys.stdin.buffer.read() if line == "-" else Path(line).read_bytes()
        chosen = iter([replaying.with_line(next(chosen), content)])
    try:
        with progress.bar("Replaying") as moved:
            result = replaying.replay(config, dead_letters, chosen, RETRY_TIMEOUT_S, moved)
    except KeyboardInterrupt:
        raise StateError("Interrupted. Those that were indexed are removed; the same command goes on.") from None
    for identifier, reason in result.refused:
        click.echo(f"{identifier}  {printable(reason)}")
    click.echo(
        f"{result.indexed} indexed, {result.duplicates} were there already, {len(result.refused)} stay.", err=True
    )
    if result.refused:
        raise StateError("Some dead letters were refused again. `shipper deadletter show ID` prints a line to correct.")


@command.command(epilog=options.examples("shipper deadletter purge 3f2b8c1e"))
@options.state
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
def purge(identifiers: tuple[str, ...], everything: bool, yes: bool, **flags: str | None) -> None:
    """Delete dead letters and their lines for good."""
    dead_letters = _dead_letters(flags)
    if everything:
        ids = {stored.id for stored in dead_letters.all()}
    else:
        ids = {dead_letters.find(one).id for one in identifiers}
    if not ids:
        raise click.UsageError("Name the dead letters by their ids, or use --all (there may be none).")
    if not yes:
        click.confirm(f"Delete {len(ids)} lines for good?", abort=True)
    click.echo(f"{dead_letters.remove(ids)} deleted.")


def _dead_letters(flags: dict[str, str | None]) -> DeadLetters:
    from ..ship.bulk.dead_letters import DeadLetters

    return DeadLetters(settings.load(flags).state)


def _as_json(stored: StoredDeadLetter) -> dict[str, Any]:
    dead_letter = stored.dead_letter
    return {
        "id": stored.id,
        "read_at": timestamp(stored.read_at),
        "reason": dead_letter.reason,
        "status": dead_letter.status,
        "path": dead_letter.path,
        "offset": dead_letter.offset,
        "size": stored.size,
        "line": None if stored.blob else dead_letter.line.decode("utf-8", "backslashreplace"),
        "line_file": str(stored.blob) if stored.blob else None,
    }
