"""`shipper now`: show queues, workers, running jobs, Redis and cron jobs as they are now."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from datetime import datetime
from typing import Any

import click
import orjson
from redis import RedisError
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .. import settings
from ..live import present
from ..live.connection import connect, unreachable
from ..live.present import SECTIONS, Present
from . import options
from .shown import size, span, text
from .terminal import console

Tables = Callable[[Present], list[Any]]


@click.command(epilog=options.examples("shipper now queues workers", "shipper now --watch"))
@click.argument("sections", nargs=-1, type=click.Choice(SECTIONS))
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option("--every", default=2.0, show_default=True, type=click.FloatRange(0.2), help="Seconds, with --watch.")
@click.option("--redis", metavar="URL", help="RQ's Redis (SHIPPER_REDIS).")
@options.json
def command(sections: tuple[str, ...], watch: bool, every: float, redis: str | None, as_json: bool) -> None:
    """Show queues, workers, jobs, Redis and cron jobs now.

    SECTIONS are some of queues, workers, running, redis and cron; all by default. Redis is read, and not changed.
    """
    chosen = sections or SECTIONS
    config = settings.load({"redis": redis})
    with connect(config) as connection:
        if as_json:
            _print_json(connection, chosen, every if watch else None)
        elif watch:
            _watch(connection, chosen, every)
        else:
            console().print(show(_read(connection, chosen), chosen))


def show(sample: Present, sections: Sequence[str]) -> Group:
    """A sample for people."""
    parts: list[Any] = []
    if sample.suspended:
        parts.append(Text("Suspended: `rq suspend` told all workers to take no jobs.", style="bold yellow"))
    for name in SECTIONS:
        if name in sections:
            for part in _TABLES[name](sample):
                if isinstance(part, Table):  # its own title would be wrapped to the width of the table
                    parts.append(Text(str(part.title), style="bold"))
                    part.title = None
                parts += [part, Text()]
    return Group(*parts)


def _read(connection: Any, sections: Sequence[str]) -> Present:
    try:
        return present.read(connection, sections)
    except RedisError as error:
        raise unreachable(error) from error


def _watch(connection: Any, sections: Sequence[str], every: float) -> None:
    """Redis may go away and come back: then it says so, and goes on. In a pipe each look is printed below the last."""
    out = console()
    live = Live(console=out, screen=True, auto_refresh=False) if out.is_terminal else None
    with live or nullcontext(), suppress(KeyboardInterrupt):
        while True:
            try:
                shown: Any = show(present.read(connection, sections), sections)
            except RedisError as error:
                shown = text(unreachable(error), "bold red", 1000)
            if live:
                live.update(shown, refresh=True)
            else:
                out.print(shown)
            time.sleep(every)


def _print_json(connection: Any, sections: Sequence[str], every: float | None) -> None:
    """One document, or one on a line every so often."""
    while True:
        content = present.as_json(_read(connection, sections), sections)
        sys.stdout.buffer.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z))
        sys.stdout.flush()
        if every is None:
            return
        time.sleep(every)


def _table(title: str, *columns: str, right: str = "") -> Table:
    """`right`: the columns that are aligned to the right, separated by |."""
    table = Table(title=title, show_edge=False, pad_edge=False)
    numbers = right.split("|")
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return table


def _queues(sample: Present) -> list[Any]:
    names = ("waiting", "oldest", "starts in", "workers", "running", "scheduled", "deferred", "rate limited", "failed")
    table = _table("Queues", "queue", *names, right="|".join(names))
    for one in sorted(sample.queues, key=lambda one: (-one.oldest_age_s(sample.at), one.name)):
        live = len(sample.workers_of(one.name))
        alarming = "red" if one.depth and not live else ""
        table.add_row(
            text(one.name, alarming), str(one.depth), span(one.oldest_age_s(sample.at)) if one.oldest else "-",
            span(sample.eta_s(one)), Text(str(live), style=alarming),
            Text(f"{one.started} (+{one.abandoned} abandoned)" if one.abandoned else str(one.started)),
            str(one.scheduled), str(one.deferred), str(one.rate_limited), str(one.failed),
        )  # fmt: skip
    return [table if sample.queues else Text("No queues.", style="dim")]


def _workers(sample: Present) -> list[Any]:
    table = _table(
        "Workers", "worker", "state", "queues", "beat", "runs", "done", "failed", "busy", "memory",
        right="beat|done|failed|busy|memory",
    )  # fmt: skip
    for one in sample.workers:
        state, style = (one.state, "") if one.is_live else (f"{one.state}, not alive", "red")
        used = present.utilisation(one, sample.at)
        table.add_row(
            text(one.name, style), Text(state, style=style), text(", ".join(one.queues)),
            span(_since(one.last_heartbeat, sample.at)),
            text(", ".join(job.function or job.job_id for job in one.running) or "-"),
            str(one.successes), str(one.failures), "-" if used is None else f"{used:.0%}",
            "-" if one.rss_bytes is None else size(one.rss_bytes),
        )  # fmt: skip
    return [table if sample.workers else Text("No workers.", style="dim")]


def _running(sample: Present) -> list[Any]:
    table = _table("Running", "for", "timeout", "function", "job", "queue", "worker", right="for|timeout")
    for worker, job in sample.running():
        for_s = _since(job.since, sample.at)
        late = for_s is not None and job.timeout_s is not None and for_s > job.timeout_s
        table.add_row(
            Text(span(for_s), style="red" if late else ""), span(job.timeout_s), text(job.function or "-"),
            text(job.job_id), text(job.queue or "-"), text(worker.name, "" if worker.is_live else "red"),
        )  # fmt: skip
    return [table if table.row_count else Text("Nothing runs.", style="dim")]


def _redis(sample: Present) -> list[Any]:
    servers = _table(
        "Redis", "server", "db", "used", "of", "peak", "policy", "evicted", "refused", "clients", "keys",
        right="db|used|of|peak|evicted|refused|clients|keys",
    )  # fmt: skip
    for one in sample.servers:
        share = one.used_share
        style = "red" if share is not None and share >= 0.8 else ""
        servers.add_row(
            text(one.address), str(one.database), Text(size(one.used_bytes), style=style),
            Text("no limit" if share is None else f"{size(one.maxmemory_bytes)} ({share:.0%})", style=style),
            size(one.peak_bytes), text(one.policy), str(one.evicted_keys), str(one.rejected_commands),
            str(one.clients), str(one.keys),
        )  # fmt: skip
    keys = sample.keys
    about = "" if keys.taken >= keys.population else f", estimated from {keys.taken} of {keys.population} keys"
    kinds = _table(f"Memory by kind of key{about}", "kind", "memory", right="memory")
    for kind, used in present.largest_kinds(keys)[:10]:
        kinds.add_row(kind, size(keys.estimate(used)))
    functions = _table(
        "Jobs in Redis by function", "function", "jobs", "memory", "largest payload",
        right="jobs|memory|largest payload",
    )  # fmt: skip
    for name, (count, used, largest) in present.fattest_functions(keys)[:10]:
        functions.add_row(text(name), str(keys.estimate(count)), size(keys.estimate(used)), size(largest))
    return [servers, *(table for table in (kinds, functions) if table.row_count)]


def _cron(sample: Present) -> list[Any]:
    table = _table("Cron", "name", "schedule", "queue", "last", "next", "outcomes", right="last|next")
    for one in sorted(sample.cron, key=lambda one: (one.next is None, one.next or sample.at, one.name)):
        due = (one.next - sample.at).total_seconds() if one.next else None
        table.add_row(
            text(one.name), text(one.schedule), text(one.queue),
            f"{span(_since(one.last, sample.at))} ago" if one.last else "-",
            "-" if due is None else Text(f"in {span(due)}") if due >= 0 else Text(f"{span(-due)} overdue", style="red"),
            text(", ".join(f"{status} {count}" for status, count in one.outcomes) or "-"),
        )  # fmt: skip
    return [table if sample.cron else Text("No cron jobs.", style="dim")]


def _since(then: datetime | None, now: datetime) -> float | None:
    return None if then is None else max(0.0, (now - then).total_seconds())


_TABLES: dict[str, Tables] = {
    "queues": _queues, "workers": _workers, "running": _running, "redis": _redis, "cron": _cron,
}  # fmt: skip
