"""`shipper audit`: write audit records, verify the audit trail, and erase a person's data."""

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
from ..printable import printable, printable_json
from ..settings import Settings
from . import options

if TYPE_CHECKING:
    from rich.progress import Progress

_EVENT = ("action", "resource", "outcome", "changes", "reason", "target", "category", "type", "message")
_ACTOR = ("type", "id", "name", "roles", "effective_id")


@click.group()
def command() -> None:
    """Write, verify and erase audit records."""


@command.command()
@click.argument("action", required=False)
@click.option("--resource", metavar="TYPE:ID", help="What was acted on.")
@click.option("--outcome", type=click.Choice(["success", "failure", "denied", "unknown"]), default="success")
@click.option("--reason", metavar="TEXT")
@click.option("--target", metavar="ID", help="The user it was done to.")
@click.option("--category", metavar="NAME", help="ECS's event.category.")
@click.option("--message", metavar="TEXT", help="One sentence. Default: made from the other fields.")
@click.option("--actor", metavar="ID", help="Who did it. Default: SHIPPER_ACTOR, or the login name.")
@click.option(
    "--actor-type",
    type=click.Choice(["user", "api_key", "job", "system", "operator"]),
    help="Default: user with --actor, operator without.",
)
@click.option("--before", metavar="JSON", help="A JSON object: the values before.")
@click.option("--after", metavar="JSON", help="A JSON object: the values after.")
@click.option("--customer", metavar="ID")
@click.option("--trace", metavar="ID", help="The trace id.")
@click.option("--stdin", is_flag=True, help="Read one JSON object per line instead: see docs/audit.md.")
def record(action: str | None, stdin: bool, **flags: Any) -> None:
    """Write an audit record for ACTION. It is on disk, and in the log's chain, when the command returns.

    For shell scripts and programs in other languages.
    """
    from ..audit.writer import Trail

    if stdin == bool(action):
        raise click.UsageError("Give an ACTION, or --stdin.")
    trail = Trail(settings.load())
    if not stdin:
        changes = {name: _object(flags[name], f"--{name}") for name in ("before", "after") if flags[name] is not None}
        actor = {"id": flags["actor"], "type": flags["actor_type"] or ("user" if flags["actor"] else "operator")}
        _write(
            trail,
            {
                **{name: flags[name] for name in _EVENT if flags.get(name) is not None},
                "action": action,
                "actor": actor if flags["actor"] or flags["actor_type"] else None,
                "changes": changes or None,
                "customer": flags["customer"],
                "trace": flags["trace"],
            },
        )
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


def _write(trail: Any, fields: dict[str, Any], where: str = "the flags") -> None:
    from ..audit.writer import Event
    from ..context import log_context

    known = (*_EVENT, "actor", "customer", "trace", "labels")
    if unknown := sorted(set(fields) - set(known)):
        raise ShipperError(f"{where}: {unknown[0]!r} is not known. Known are {', '.join(known)}.")
    if not isinstance(fields.get("action"), str) or not fields["action"]:
        raise ShipperError(f'{where}: "action" is missing.')
    labels = fields.get("labels") or {}
    if not isinstance(labels, dict):
        raise ShipperError(f'{where}: "labels" is not an object.')
    with log_context(**{**labels, "customer": fields.get("customer"), "trace_id": fields.get("trace")}):
        event = Event(
            **{name: fields[name] for name in _EVENT if name in fields}, actor=_actor(fields, where), operator=True
        )
        trail.write(event, durable=True)


def _actor(fields: dict[str, Any], where: str) -> Any:
    from ..context import Actor

    actor = fields.get("actor")
    if actor is None:
        return None
    if not isinstance(actor, dict) or set(actor) - set(_ACTOR):
        raise ShipperError(f'{where}: "actor" is an object of {", ".join(_ACTOR)}.')
    texts = {name: str(actor[name]) for name in _ACTOR if name != "roles" and actor.get(name) is not None}
    return Actor(**{"type": "user", **texts}, roles=tuple(map(str, actor.get("roles") or ())))


@command.command()
@click.option("--since", metavar="TIME", help='Only records from then on: ISO 8601, an age, or "yesterday 14:00"; UTC.')
@click.option(
    "--anchor",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compare the trail with the heads in FILE, and add the current ones. Keep FILE on another machine.",
)
@options.elasticsearch
@options.namespace
@options.json
def verify(since: str | None, anchor: Path | None, as_json: bool, **flags: str | None) -> None:
    """Check the hashes of the audit trail, and show every gap, change and duplicate. Exit status 1 if there is any.

    Hashes with a key can be checked only if SHIPPER_AUDIT_KEY is that key; otherwise only their order is.
    """
    from .. import client
    from ..audit import verify as verifying
    from ..read import timeline

    config = settings.load(flags)
    now = datetime.now(UTC)
    key = config.audit_key.encode() if config.audit_key else None
    anchors = verifying.anchored(_read(anchor), key) if anchor else []
    with client.connect_reader(config) as search, _bar() as bar:
        task = bar.add_task("verifying", total=None)
        report = verifying.verify(
            search,
            config,
            timeline.parse_time(since, now) if since else None,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
        report.findings += verifying.compare_with_anchors(search, config, report, anchors)
    if as_json:
        sys.stdout.buffer.write(printable_json(_plain(report)))
    else:
        _print(report, config)
    if report.findings:
        sys.exit(1)
    if anchor:
        _append(anchor, verifying.anchor_lines(report.heads, key, now))
        click.echo(f"{len(report.heads)} heads added to {anchor}.", err=True)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _print(report: Any, config: Settings) -> None:
    for finding in report.findings:
        click.echo(printable(finding))
    for note in report.notes:
        click.echo(f"note: {printable(note)}")
    if report.erased:
        click.echo(f"erased: personal fields of {report.erased} records are gone; the rest of them holds.")
    if report.unchecked:
        hint = "set SHIPPER_AUDIT_KEY" if config.audit_key is None else "SHIPPER_AUDIT_KEY is another one"
        click.echo(f"unchecked: {report.unchecked} records are hashed with a key that is not ours ({hint}).")
    if not report.records and not report.findings:
        click.echo(f"There are no audit records in the namespace {config.namespace}.")
        return
    wrong = f"{len(report.findings)} findings" if report.findings else "all is as it was written"
    click.echo(f"{report.records} records in {len(report.heads)} chains: {wrong}.")


def _plain(report: Any) -> dict[str, Any]:
    return {
        "records": report.records,
        "erased": report.erased,
        "unchecked": report.unchecked,
        "notes": report.notes,
        "findings": [one._asdict() for one in report.findings],
        "heads": [one._asdict() for one in report.heads],
    }


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
@click.option("--user", metavar="ID", required=True, help="The user to erase (user.id).")
@click.option("--reason", metavar="TEXT", help="The reason for the audit record: a ticket's number, not the person.")
@click.option("--state", metavar="FOLDER", help="The state folder with the dead letters (SHIPPER_STATE).")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@options.elasticsearch
@options.namespace
def forget(user: str, reason: str | None, yes: bool, **flags: str | None) -> None:
    """Erase a person's data from audit, job, state and app records, and from this machine's dead letters.

    The chain stays valid; `verify` reports the records as erased. An audit record says who has erased data, not whose.
    """
    from .. import client
    from ..audit import forget as erasing
    from ..audit.writer import Event, Trail

    config = settings.load(flags)
    if not yes:
        click.confirm(f"Erase the user {user} for good?", abort=True, err=True)
    with client.connect_reader(config) as search:
        counts = erasing.forget(search, config, user)
    counts["dead letters"] = erasing.forget_dead_letters(config.state, user)
    for name, count in counts.items():
        click.echo(f"{name:13} {count}")
    changes = {"after": {name.replace(" ", "_"): count for name, count in counts.items()}}
    event = Event(
        action="person-erased",
        type="deletion",
        category="iam",
        reason=reason,
        changes=changes,
        operator=True,
        resource=("user", None),
    )
    Trail(config).write(event, durable=True)
