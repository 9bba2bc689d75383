"""Flags that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from ..read.timeline import Question, moment

elasticsearch = click.option(
    "--elasticsearch", metavar="URL", help="The cluster, commas between nodes (SHIPPER_ELASTICSEARCH)."
)
namespace = click.option("--namespace", metavar="NAME", help="Part of the index names (SHIPPER_NAMESPACE).")
json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a picture for people.")


def question(default_since: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The flags of a question, and what time it covers if nobody says."""
    flags = [
        click.option("--job", metavar="ID", help="One job."),
        click.option("--user", metavar="ID", help="Whom it was done for (user.id)."),
        click.option("--customer", metavar="ID", help="Which customer it was done for (organization.id)."),
        click.option("--queue", metavar="NAME", help="One queue."),
        click.option("--function", metavar="NAME", help="One function, by its dotted name."),
        click.option(
            "--since", metavar="TIME", default=default_since, show_default=True,
            help="ISO 8601, or an age: 15m, 2h, 7d.",
        ),
        click.option("--until", metavar="TIME", help="The same; default: now."),
    ]  # fmt: skip

    def with_flags(command: Callable[..., Any]) -> Callable[..., Any]:
        for flag in reversed(flags):
            command = flag(command)
        return command

    return with_flags


def asked(since: str | None, until: str | None, **restrictions: str | None) -> Question:
    """The question that the flags put. Raises ShipperError."""
    now = datetime.now(UTC)
    return Question(
        since=moment(since, now) if since else None,
        until=moment(until, now) if until else None,
        **restrictions,
    )
