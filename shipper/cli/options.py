"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..read.timeline import Query

elasticsearch = click.option(
    "--elasticsearch", metavar="URL", help="The cluster's nodes, separated by commas (SHIPPER_ELASTICSEARCH)."
)
namespace = click.option("--namespace", metavar="NAME", help="Part of the index names (SHIPPER_NAMESPACE).")
state = click.option("--state", metavar="FOLDER", help="Positions and dead letters (SHIPPER_STATE).")
redis = click.option("--redis", metavar="URL", help="RQ's Redis (SHIPPER_REDIS, which is the place for passwords).")
reason = click.option("--reason", metavar="TEXT", help="Why, for the audit trail.")
actor = click.option("--actor", metavar="NAME", help="Who, for the audit trail (SHIPPER_ACTOR, or the login name).")
json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


utc = click.option("--utc", is_flag=True, help="Times are in UTC, given and shown, not in this machine's zone (TZ).")


def examples(*lines: str) -> str:
    """The end of a command's help: how it is called."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def filters(default_since: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds the filters of a Query, with a default for --since."""
    flags = [
        click.option("--job", metavar="ID", help="Records of this job."),
        click.option("--user", metavar="ID", help="Records of this user (user.id)."),
        click.option("--customer", metavar="ID", help="Records of this customer (organization.id)."),
        click.option("--queue", metavar="NAME", help="Records of this queue."),
        click.option("--function", metavar="NAME", help="Records of this function (dotted name)."),
        click.option("--resource", metavar="TYPE:ID", help="Audit records of this resource (customer:42)."),
        click.option("--trace", metavar="ID", help="Records of this trace: a request and all its jobs."),
        click.option("--label", "labels", metavar="K=V", multiple=True, callback=_pairs, help="Records with a label."),
        click.option(
            "--arg",
            "args",
            metavar="K=V",
            multiple=True,
            callback=_pairs,
            help="Records of jobs with an argument: 0=42 by position, order=7 by name.",
        ),
        click.option(
            "--since",
            metavar="TIME",
            default=default_since,
            show_default=default_since is not None,
            help='ISO 8601, an age (15m, 2h, 7d), or "yesterday 14:00".',
        ),
        click.option("--until", metavar="TIME", help="Same format. Default: now."),
        utc,
    ]

    def with_flags(command: Callable[..., Any]) -> Callable[..., Any]:
        for flag in reversed(flags):
            command = flag(command)
        return command

    return with_flags


def act_as(name: str | None) -> None:
    """Make this the operator of what this process does, as SHIPPER_ACTOR would."""
    if name:
        os.environ["SHIPPER_ACTOR"] = name


def _pairs(_context: click.Context, _flag: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """`k=v` pairs as a mapping."""
    if wrong := [pair for pair in given if "=" not in pair or pair.startswith("=")]:
        raise click.BadParameter(f"{wrong[0]!r} is not of the form name=value.")
    return dict(pair.split("=", 1) for pair in given)


def query_from(since: str | None, until: str | None, zone: tzinfo | None, **restrictions: Any) -> Query:
    """The Query of these options; times without a zone are in `zone`. Raises ShipperError for an invalid time."""
    from ..read.timeline import Query, parse_time

    now = datetime.now(UTC)
    return Query(
        since=parse_time(since, now, zone) if since else None,
        until=parse_time(until, now, zone) if until else None,
        **restrictions,
    )
