"""`shipper audit`: write audit records, verify the audit trail, and erase a person's data."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import orjson

from .. import settings
from ..errors import ShipperError
from . import audit_verify, options, progress
from .groups import Group

_EVENT = ("action", "resource", "outcome", "changes", "reason", "target", "category", "type", "message")
_ACTOR = ("type", "id", "name", "roles", "effective_id")


@click.group(
    cls=Group,
    epilog=options.examples("shipper audit verify --since 7d", "shipper audit record exported --resource report:7"),
)
def command() -> None:
    """Write, verify and erase audit records."""


@command.command(
    epilog=options.examples(
        "shipper audit record exported --resource report:7 --actor ann --reason 'ticket 12'",
        "export-events | shipper audit record --stdin",
    )
)
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
    """Write an audit record for ACTION.

    It is on disk, and in the log's chain, when the command returns. For shell scripts and programs in other languages.
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


command.add_command(audit_verify.command, "verify")


@command.command(epilog=options.examples("shipper audit keygen /etc/shipper/seals.key"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def keygen(file: Path) -> None:
    """Make an Ed25519 key to sign seals with.

    The private key is in FILE, the public one in FILE.pub. The machines that write get FILE (SHIPPER_AUDIT_SIGN_KEY).
    Whoever verifies gets FILE.pub (SHIPPER_AUDIT_PUBLIC_KEYS), and cannot forge with it.
    """
    from ..audit import signing

    try:
        identifier, public = signing.make_key(file)
    except OSError as error:
        raise ShipperError(f"The key cannot be written to {error.filename}: {error.strerror}.") from error
    click.echo(f"{identifier}: private key in {file}, public key in {public}")


@command.command(epilog=options.examples("shipper audit close web-3-9f2c41d07a55 --reason 'machine was replaced'"))
@click.argument("chain")
@click.option("--reason", metavar="TEXT", help="Why nothing comes from there any more.")
@options.elasticsearch
@options.namespace
def close(chain: str, reason: str | None, **flags: str | None) -> None:
    """Record that nothing comes any more from CHAIN.

    Its machine is gone, and the record says where the chain ended. `verify` does not report it as silent any more, and
    reports if it is shorter or longer than that.
    """
    from .. import client
    from ..audit import verify as verifying
    from ..audit.checking import CLOSED_ACTION
    from ..audit.writer import Event, Trail

    config = settings.load(flags)
    with client.connect_reader(config) as search:
        head = verifying.head_of(search, config, chain)
    closed = {"chain": head.id, "count": head.sequence, "head": head.hash}
    event = Event(
        action=CLOSED_ACTION, resource=("chain", chain), reason=reason, operator=True, more_audit={"closed": closed}
    )
    Trail(config).write(event, durable=True)
    click.echo(f"{chain} is closed at #{head.sequence}.")


@command.command(epilog=options.examples("shipper audit forget --user ann --reason 'ticket 4711'"))
@click.option("--user", metavar="ID", required=True, help="The user to erase (user.id).")
@click.option("--reason", metavar="TEXT", help="The reason for the audit record: a ticket's number, not the person.")
@click.option("--state", metavar="FOLDER", help="The state folder with the dead letters (SHIPPER_STATE).")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@options.elasticsearch
@options.namespace
def forget(user: str, reason: str | None, yes: bool, **flags: str | None) -> None:
    """Erase a person's data.

    From audit, job, state and app records, and from this machine's dead letters. The chain stays valid; `verify`
    reports the records as erased. An audit record says who has erased data, not whose.
    """
    from .. import client
    from ..audit import forget as erasing
    from ..audit.erasures import ERASED_ACTION
    from ..audit.writer import Event, Trail

    config = settings.load(flags)
    if not yes:
        click.confirm(f"Erase the user {user} for good?", abort=True, err=True)
    trail = Trail(config)

    def declare(erased: list[dict[str, str]]) -> None:
        trail.write(replace(event, more_audit={"erased": erased}), durable=True)

    event = Event(
        action=ERASED_ACTION, type="deletion", category="iam", reason=reason, operator=True, resource=("user", None)
    )
    try:
        with client.connect_reader(config) as search, progress.bar("Erasing") as moved:
            counts = erasing.forget(search, config, user, declare, moved)
    except KeyboardInterrupt:
        raise ShipperError("Interrupted. What was erased stays erased; the same command goes on.") from None
    counts["dead letters"] = erasing.forget_dead_letters(config.state, user)
    for name, count in counts.items():
        click.echo(f"{name:13} {count}")
    changes = {"after": {name.replace(" ", "_"): count for name, count in counts.items()}}
    trail.write(replace(event, changes=changes), durable=True)
