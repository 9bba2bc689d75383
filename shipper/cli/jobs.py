"""`shipper jobs`: list the jobs in Redis that match, and run them again or discard them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from redis import RedisError

from .. import settings
from ..errors import ShipperError
from ..live import jobs as live
from ..live.connection import connect, unreachable
from ..live.jobs import Criteria, JobState
from ..printable import printable_json
from ..read.clock import Clock
from ..redact import Redactor
from ..settings import Settings
from . import options, terminal
from .lines import INDENT, NOTHING, Field, beside_each_other, folded, wrapped
from .progress import bar
from .shown import printable

if TYPE_CHECKING:
    from rich.text import Text

STATES = sorted(live.STATES)


def _rate(_context: click.Context, _flag: click.Parameter, given: str | None) -> float | None:
    """`10/s`, `100/m` or `10` as jobs per second."""
    if given is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/([smh]))?", given)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{given!r} is no rate such as 10/s or 100/m.")
    return float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]


@click.command(
    epilog=options.examples(
        "shipper jobs --state dead --queue payments",
        "shipper jobs --function 'shop.jobs.*' --error 'timed out' --requeue --rate 10/s",
    )
)
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Jobs in this state; repeatable.")
@click.option("--function", metavar="NAME", help="Jobs of this function (dotted name, * for any part).")
@click.option("--family", metavar="NAME", help="Jobs of this section's family, or of this module.")
@click.option("--queue", metavar="NAME", help="Jobs of this queue.")
@click.option("--user", metavar="ID", help="Jobs for this user.")
@click.option("--customer", metavar="ID", help="Jobs for this customer.")
@click.option("--error", metavar="TEXT", help="Jobs whose last error contains this, in any case.")
@click.option("--since", metavar="TIME", help="Jobs that changed since: ISO 8601, an age (2h, 7d), or yesterday.")
@click.option(
    "--requeue", "act", flag_value="requeue", help="Run exactly these jobs again (dead ones, unless --state)."
)
@click.option("--discard", "act", flag_value="discard", help="Delete these jobs (dead ones, unless --state).")
@click.option("--rate", metavar="N/s", callback=_rate, help="So many in a second (s), minute (m) or hour (h).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--afresh", is_flag=True, help="Choose again, instead of going on with an interrupted run.")
@options.reason
@options.actor
@options.redis
@options.utc
@options.json
def command(
    states: tuple[str, ...],
    act: str | None,
    rate: float | None,
    yes: bool,
    afresh: bool,
    since: str | None,
    reason: str | None,
    actor: str | None,
    as_json: bool,
    utc: bool,
    redis: str | None,
    **filters: str | None,
) -> None:
    """List the jobs in Redis that match all filters.

    With --requeue or --discard, act on exactly the jobs that matched when it asked: not on those that changed or came
    since. After an interruption the same command goes on with what is left of them. Each act is audited.

    Jobs that RQ has deleted since are found by `shipper timeline`.
    """
    options.act_as(actor)
    clock = Clock.of(utc)
    config = settings.load({"redis": redis})
    criteria = _criteria(states or (("dead",) if act else tuple(STATES)), since, clock, filters)
    try:
        if act is None:
            _list(config, criteria, clock, as_json=as_json)
        else:
            given = {"state": ",".join(sorted(criteria.states)), **filters, "since": since}
            name = " ".join(f"{flag}={value}" for flag, value in given.items() if value)
            _act(config, act, criteria, name, rate=rate, reason=reason, yes=yes, afresh=afresh)
    except RedisError as error:
        raise unreachable(error) from error


def _criteria(states: tuple[str, ...], since: str | None, clock: Clock, filters: dict[str, str | None]) -> Criteria:
    from ..read.timeline import parse_time

    now = datetime.now(UTC)
    return Criteria(
        states=states,
        since=parse_time(since, now, clock.zone) if since else None,
        function=filters["function"],
        family=filters["family"],
        queue=filters["queue"],
        user=filters["user"],
        customer=filters["customer"],
        error=filters["error"],
    )


def _list(config: Settings, criteria: Criteria, clock: Clock, *, as_json: bool) -> None:
    count, redactor, width, out = 0, Redactor(config.redact), terminal.columns(), terminal.console()
    with connect(config) as redis:
        for job in live.find(redis, criteria, with_error=True):
            count += 1
            shown = replace(job, error=redactor.text(job.error) if job.error else None)
            if as_json:
                sys.stdout.buffer.write(printable_json(asdict(shown)))
            else:
                for text in texts(shown, clock, width):
                    out.print(text, soft_wrap=True)
    if not as_json:
        click.echo(f"{count} jobs.", err=True)


def texts(job: JobState, clock: Clock, width: int | None) -> Iterator[Text]:
    """A job as lines: one in a pipe, as many as it takes on a terminal of `width` columns."""
    at = clock.full(job.updated_at) if job.updated_at else NOTHING
    shown: list[Field] = [(at, 0, "dim"), (job.state, 11, "red" if job.state == "dead" else "")]
    shown += [(printable(part or NOTHING), 0, "") for part in (job.job_id, job.queue, job.function, job.user)]
    error = printable(job.error or "")
    if width is None:
        yield beside_each_other([*shown, (error, 0, "")])
        return
    yield from folded(shown, width)
    yield from wrapped(error, INDENT, width) if error else ()


def _act(
    config: Settings,
    act: str,
    criteria: Criteria,
    name: str,
    *,
    rate: float | None,
    reason: str | None,
    yes: bool,
    afresh: bool,
) -> None:
    from ..operate.bulk import Plan
    from ..operate.single import prepared

    plan = Plan(prepared(config, None), act, criteria, name)
    if afresh:
        plan.drop()
    going_on = plan.left()
    try:
        with bar("Choosing") as chosen:
            count = plan.choose(chosen)
    except KeyboardInterrupt:
        raise ShipperError("Interrupted. Nothing was done.") from None
    if going_on:
        click.echo(f"Going on with an interrupted run: {count} of its jobs are left. --afresh chooses again.", err=True)
    if not count:
        click.echo("No job matches.", err=True)
        return
    if not yes and not _agreed(act, count, name):
        if not going_on:
            plan.drop()
        raise ShipperError("Nothing was done.")
    with bar("Requeueing" if act == "requeue" else "Discarding") as progress:
        try:
            outcome = plan.run(rate=rate, reason=reason, progress=progress)
        except KeyboardInterrupt:
            raise ShipperError(f"Interrupted. The same command goes on with the {plan.left()} jobs left.") from None
    verb = {"requeue": "requeued", "discard": "discarded"}[act]
    left_alone = f", {outcome.changed} had changed and were left alone" if outcome.changed else ""
    click.echo(f"{outcome.done} jobs {verb}{left_alone}.", err=True)


def _agreed(act: str, count: int, name: str) -> bool:
    try:
        return click.confirm(f"{act.capitalize()} {count} jobs ({printable(name)})?", err=True)
    except click.Abort:
        return False
