"""`shipper inspect`: show which keys RQ has in Redis, how many, how large, how old, and what one of them holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import orjson
from redis import RedisError
from rich.table import Table

from .. import settings
from ..errors import ShipperError
from ..live import inspection
from ..live.connection import connect, unreachable
from ..live.inspection import KINDS, KeyFacts, Overview
from ..redact import Redactor
from . import options
from .shown import size, span, text
from .terminal import console


@click.command(epilog=options.examples("shipper inspect", "shipper inspect queue", "shipper inspect rq:workers"))
@click.argument("what", required=False)
@click.option(
    "--limit",
    default=10_000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Look at so many keys. If there are more, they are drawn at random, and numbers are estimates.",
)
@click.option("--size", "rows", default=20, show_default=True, type=click.IntRange(1), help="Rows of a list of keys.")
@click.option("--redis", metavar="URL", help="RQ's Redis (SHIPPER_REDIS).")
@options.json
def command(what: str | None, limit: int, rows: int, redis: str | None, as_json: bool) -> None:
    """Show what RQ keeps in Redis.

    Without WHAT an overview: kinds of keys, how many, how large, how old. With the name of a kind (job, queue,
    registry, result, worker, …) its largest keys. With a key, or the name of a job, queue or worker, what it holds,
    decoded where that is safe: nothing is unpickled, secrets are redacted. Redis is not changed.
    """
    config = settings.load({"redis": redis})
    with connect(config) as connection:
        try:
            if what is None:
                content: Any = inspection.overview(connection, limit)
                shown = _overview(content)
            elif what in KINDS:
                content = inspection.of_kind(connection, what, limit)[:rows]
                shown = _keys(what, content)
            else:
                content = _one(connection, what, Redactor(config.redact))
                shown = _content(content)
        except RedisError as error:
            raise unreachable(error) from error
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z))
    else:
        console().print(shown)


def _one(connection: Any, name: str, redactor: Redactor) -> dict[str, Any]:
    key = inspection.find(connection, name)
    facts = inspection.facts_of(connection, [key]) if key else []
    if not facts:
        raise ShipperError(f"Redis has no key, job, queue or worker {name!r}. `shipper inspect` shows what it has.")
    return asdict(facts[0]) | {"content": inspection.content(connection, facts[0], redactor)}


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold", no_wrap=name == "kind")
    for name in right:
        table.add_column(name, justify="right")
    return table


def _overview(found: Overview) -> Table:
    about = f", estimated from {found.looked_at} of them" if found.is_estimate else ""
    table = _table(
        f"{found.total} keys{about}", ["kind"], ["keys", "memory", "that expire", "largest", "oldest", "longest unused"]
    )
    for one in found.kinds:
        table.add_row(
            one.kind,
            str(one.keys),
            size(one.size_bytes),
            str(one.expiring),
            size(one.largest.size_bytes or 0),
            _age(one.oldest),
            span(one.longest_idle_s),
        )
    return table


def _keys(kind: str, found: list[KeyFacts]) -> Table:
    names = ["memory", "length", "age", "expires in"]
    table = _table(f"Keys of the kind {kind}, largest first", ["key", "function"], names)
    for one in found:
        table.add_row(
            text(one.key),
            text(one.function or "-"),
            size(one.size_bytes or 0),
            str(one.length),
            _age(one.created_at),
            span(one.expires_in_s),
        )
    return table


def _content(found: dict[str, Any]) -> Table:
    table = Table(show_header=False, show_edge=False, pad_edge=False, box=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name in ("key", "kind", "type", "length", "created_at"):
        if found[name] is not None:
            table.add_row(name, text(found[name]))
    table.add_row("memory", size(found["size_bytes"] or 0))
    table.add_row("expires in", span(found["expires_in_s"]))
    table.add_row("unused for", span(found["idle_s"]))
    table.add_section()
    for name, value in found["content"]:
        table.add_row(text(name), text(value, limit=2000))
    return table


def _age(then: datetime | None) -> str:
    return span((datetime.now(UTC) - then).total_seconds()) if then else "-"
