"""`shipper audit`: write to the trail, verify it, and forget a person in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from .. import settings
from ..errors import ShipperError
from ..settings import Settings
from . import options

if TYPE_CHECKING:
    from rich.progress import Progress

_EVENT = ("action", "resource", "outcome", "changes", "reason", "target", "category", "type", "message")
_ACTOR = ("type", "id", "name", "roles", "effective_id")


@click.group()
def command() -> None:
    """The audit trail: who did what."""


@command.command()
@click.argument("action", required=False)
@click.option("--resource", metavar="TYPE:ID", help="What it was done to.")
@click.option("--outcome", type=click.Choice(["success", "failure", "denied", "unknown"]), default="success")
@click.option("--reason", metavar="TEXT")
@click.option("--target", metavar="ID", help="The user it was done to.")
@click.option("--category", metavar="NAME", help="ECS's event.category.")
@click.option("--message", metavar="TEXT", help="One sentence. Default: made of the rest.")
@click.option("--actor", metavar="ID", help="Who did it. Default: SHIPPER_ACTOR, or the login name.")
@click.option(
    "--actor-type", type=click.Choice(["user", "api_key", "job", "system", "operator"]),
    help="Default: user with --actor, operator without.",
)  # fmt: skip
@click.option("--before", metavar="JSON", help="An object: what it was.")
@click.option("--after", metavar="JSON", help="An object: what it is now.")
@click.option("--customer", metavar="ID")
@click.option("--trace", metavar="ID", help="The trace id that it belongs to.")
@click.option("--stdin", is_flag=True, help="One JSON object a line instead: see docs/audit.md.")
def record(action: str | None, stdin: bool, **flags: Any) -> None:
    """Write ACTION to the trail: on the disk when this returns, in the chain of this machine.

    For shell scripts and programs in other languages.
    """
    from ..audit.writer import Trail

    if stdin == bool(action):
        raise click.UsageError("Give an ACTION, or --stdin.")
    trail = Trail(settings.load())
    if not stdin:
        changes = {name: _object(flags[name], f"--{name}") for name in ("before", "after") if flags[name] is not None}
        actor = {"id": flags["actor"], "type": flags["actor_type"] or ("user" if flags["actor"] else "operator")}
        _write(trail, {
            **{name: flags[name] for name in _EVENT if flags.get(name) is not None},
            "action": action, "actor": actor if flags["actor"] or flags["actor_type"] else None,
            "changes": changes or None, "customer": flags["customer"], "trace": flags["trace"],
        })  # fmt: skip
        return
    count = 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if line.strip():
            _write(trail, _object(line, f"line {number}"), f"line {number}")
            count += 1
    click.echo(f"{count} records written to {trail.sink.path}.", err=True)


def _object(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        raise ShipperError(f"{where} is not JSON: {wrong}.") from None
    if not isinstance(content, dict):
        raise ShipperError(f"{where} is not a JSON object.")
    return content


def _write(trail: Any, said: dict[str, Any], where: str = "the flags") -> None:
    from ..audit.writer import Event
    from ..context import log_context

    known = (*_EVENT, "actor", "customer", "trace", "labels")
    if unknown := sorted(set(said) - set(known)):
        raise ShipperError(f"{where}: {unknown[0]!r} is not known. Known are {', '.join(known)}.")
    if not isinstance(said.get("action"), str) or not said["action"]:
        raise ShipperError(f'{where}: "action" is missing.')
    labels = said.get("labels") or {}
    if not isinstance(labels, dict):
        raise ShipperError(f'{where}: "labels" is not an object.')
    with log_context(**{**labels, "customer": said.get("customer"), "trace_id": said.get("trace")}):
        event = Event(**{name: said[name] for name in _EVENT if name in said}, actor=_actor(said, where), operator=True)
        trail.write(event, durable=True)


def _actor(said: dict[str, Any], where: str) -> Any:
    from ..context import Actor

    given = said.get("actor")
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) - set(_ACTOR):
        raise ShipperError(f'{where}: "actor" is an object of {", ".join(_ACTOR)}.')
    texts = {name: str(given[name]) for name in _ACTOR if name != "roles" and given.get(name) is not None}
    return Actor(**{"type": "user", **texts}, roles=tuple(map(str, given.get("roles") or ())))


@command.command()
@click.option("--since", metavar="TIME", help='Only what is younger. ISO 8601, an age, or "yesterday 14:00"; UTC.')
@click.option(
    "--anchor", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Hold the trail against the heads in FILE, and add the present ones. Keep FILE on another machine.",
)  # fmt: skip
@options.elasticsearch
@options.namespace
@options.json
def verify(since: str | None, anchor: Path | None, as_json: bool, **flags: str | None) -> None:
    """Read the trail in order, and name every gap, change and doubling. Exit status 1 if there is one.

    Hashes with a key can be checked where SHIPPER_AUDIT_KEY is that key; without it only their order is.
    """
    from .. import client
    from ..audit import verify as reading
    from ..read import timeline

    made = settings.load(flags)
    now = datetime.now(UTC)
    key = made.audit_key.encode() if made.audit_key else None
    known = reading.anchored(_read(anchor), key) if anchor else []
    with client.connect_reader(made) as search, _bar() as bar:
        task = bar.add_task("verifying", total=None)
        report = reading.verify(
            search, made, timeline.moment(since, now) if since else None,
            lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
        report.findings += reading.hold_against(search, made, report, known)
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(_plain(report), option=orjson.OPT_APPEND_NEWLINE))
    else:
        _tell(report, made)
    if report.findings:
        sys.exit(1)
    if anchor:
        _append(anchor, reading.anchor_lines(report.heads, key, now))
        click.echo(f"{len(report.heads)} heads added to {anchor}.", err=True)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _tell(report: Any, made: Settings) -> None:
    for finding in report.findings:
        click.echo(str(finding))
    for note in report.notes:
        click.echo(f"note: {note}")
    if report.erased:
        click.echo(f"erased: personal fields of {report.erased} records are gone; the rest of them holds.")
    if report.unchecked:
        said = "set SHIPPER_AUDIT_KEY" if made.audit_key is None else "SHIPPER_AUDIT_KEY is another one"
        click.echo(f"unchecked: {report.unchecked} records are hashed with a key that is not ours ({said}).")
    if not report.records and not report.findings:
        click.echo(f"There are no audit records in the namespace {made.namespace}.")
        return
    wrong = f"{len(report.findings)} findings" if report.findings else "all is as it was written"
    click.echo(f"{report.records} records in {len(report.heads)} chains: {wrong}.")


def _plain(report: Any) -> dict[str, Any]:
    return {
        "records": report.records, "erased": report.erased, "unchecked": report.unchecked, "notes": report.notes,
        "findings": [one._asdict() for one in report.findings], "heads": [one._asdict() for one in report.heads],
    }  # fmt: skip


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes() if file.exists() else b""
    except OSError as error:
        raise ShipperError(f"The anchors in {file} cannot be read: {error.strerror}.") from error


def _append(file: Path, lines: Iterable[bytes]) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "ab") as out:
            out.writelines(lines)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise ShipperError(f"The anchors cannot be written to {file}: {error.strerror}.") from error


@command.command()
@click.option("--user", metavar="ID", required=True, help="Whom to forget (user.id).")
@click.option("--reason", metavar="TEXT", help="Why, on the record of it: the number of the request, not the person.")
@click.option("--state", metavar="FOLDER", help="The state folder, for its dead letters (SHIPPER_STATE).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.elasticsearch
@options.namespace
def forget(user: str, reason: str | None, yes: bool, **flags: str | None) -> None:
    """Erase a person from audit, job, state and app records, and from this machine's dead letters.

    The chain still holds: `verify` says "erased". That it was done is recorded, and by whom; of whom is not.
    """
    from .. import client
    from ..audit import forget as erasing
    from ..audit.writer import Event, Trail

    made = settings.load(flags)
    if not yes:
        click.confirm(f"Erase the user {user} for good?", abort=True, err=True)
    with client.connect_reader(made) as search:
        counts = erasing.forget(search, made, user)
    counts["dead letters"] = erasing.forget_dead_letters(made.state, user)
    for name, count in counts.items():
        click.echo(f"{name:13} {count}")
    changes = {"after": {name.replace(" ", "_"): count for name, count in counts.items()}}
    event = Event(
        action="person-erased", type="deletion", category="iam", reason=reason, changes=changes, operator=True,
        resource=("user", None),
    )  # fmt: skip
    Trail(made).write(event, durable=True)
