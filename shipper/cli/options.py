"""Flags that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..read.timeline import Query

elasticsearch = click.option(
    "--elasticsearch", metavar="URL", help="The cluster, commas between nodes (SHIPPER_ELASTICSEARCH)."
)
namespace = click.option("--namespace", metavar="NAME", help="Part of the index names (SHIPPER_NAMESPACE).")
state = click.option("--state", metavar="FOLDER", help="Positions and dead letters (SHIPPER_STATE).")
json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a picture for people.")


def question(default_since: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The flags of a question, and what time it covers if nobody says."""
    flags = [
        click.option("--job", metavar="ID", help="One job."),
        click.option("--user", metavar="ID", help="Whom it was done for (user.id)."),
        click.option("--customer", metavar="ID", help="Which customer it was done for (organization.id)."),
        click.option("--queue", metavar="NAME", help="One queue."),
        click.option("--function", metavar="NAME", help="One function, by its dotted name."),
        click.option("--resource", metavar="TYPE:ID", help="What was acted on, by audit records (customer:42)."),
        click.option("--trace", metavar="ID", help="One trace: a request and all the jobs that came of it."),
        click.option("--label", "labels", metavar="K=V", multiple=True, callback=_pairs, help="A label."),
        click.option(
            "--arg", "args", metavar="K=V", multiple=True, callback=_pairs,
            help="An argument of the job: 0=42 by its place, order=7 by its name.",
        ),
        click.option(
            "--since", metavar="TIME", default=default_since, show_default=True,
            help='ISO 8601, an age (15m, 2h, 7d), or "yesterday 14:00"; UTC.',
        ),
        click.option("--until", metavar="TIME", help="The same; default: now."),
    ]  # fmt: skip

    def with_flags(command: Callable[..., Any]) -> Callable[..., Any]:
        for flag in reversed(flags):
            command = flag(command)
        return command

    return with_flags


def _pairs(_context: click.Context, _flag: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """`k=v` pairs as a mapping."""
    if wrong := [pair for pair in given if "=" not in pair or pair.startswith("=")]:
        raise click.BadParameter(f"{wrong[0]!r} is not of the form name=value.")
    return dict(pair.split("=", 1) for pair in given)


def query_from(since: str | None, until: str | None, **restrictions: Any) -> Query:
    """The question that the flags put. Raises ShipperError."""
    from ..read.timeline import Query, moment

    now = datetime.now(UTC)
    return Query(
        since=moment(since, now) if since else None,
        until=moment(until, now) if until else None,
        **restrictions,
    )
