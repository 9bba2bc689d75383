"""`shipper timeline`: show records in order."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import click

from .. import settings
from ..errors import ShipperError
from ..printable import printable_json
from ..read.clock import Clock
from ..records import Record
from ..state import INFERRED_STATES, STATES
from . import options, terminal
from .lines import Layout

_FIRST = 1000  # records that are looked at before the first is shown: what differs between them gets a column
PAGE_LIMIT = 2000  # records of an HTML page: some 4 MB, which a browser opens at once


@click.command(
    epilog=options.examples(
        "shipper timeline --customer 42 --since 2h",
        "shipper timeline --state dead --last 20",
        "shipper timeline --user ann --since 'yesterday 14:00' --html day.html",
        "shipper timeline --follow",
    )
)
@options.filters(default_since=None)
@click.option("--action", multiple=True, metavar="NAME", help="Records of this action (job-dead); repeatable.")
@click.option(
    "--outcome",
    multiple=True,
    type=click.Choice(["success", "failure", "unknown"]),
    help="Records with this outcome; repeatable.",
)
@click.option(
    "--state",
    multiple=True,
    type=click.Choice(sorted({*STATES.values(), *INFERRED_STATES})),
    metavar="STATE",
    help="Records that brought a job into this state: dead, finished, …; repeatable.",
)
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the newest N, oldest first.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N, from the first on.")
@click.option("--newest-first", is_flag=True, help="Newest first.")
@options.elasticsearch
@options.namespace
@options.json
@click.option("--follow", "-f", is_flag=True, help="Also show new records as they are indexed, until Ctrl-C.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a self-contained HTML page, grouped by request and job, with a chart.",
)
def command(
    as_json: bool,
    follow: bool,
    html: Path | None,
    last: int | None,
    limit: int | None,
    newest_first: bool,
    utc: bool,
    since: str | None,
    until: str | None,
    elasticsearch: str | None,
    namespace: str | None,
    **restrictions: Any,
) -> None:
    """Show records in order, oldest first.

    Audit records, job records and application logs are on one timeline. Each line has the time, action, job, user,
    queue and message; the service and the host where they differ. `shipper job` takes the beginning of a job's id.

    Without --since they are those of the last 24 hours; with --last or --job, of any time.
    """
    _check(follow=follow, html=html, as_json=as_json, last=last, limit=limit, newest_first=newest_first)
    from .. import client
    from ..read import timeline

    zone = Clock.of(utc)
    config = settings.load({"elasticsearch": elasticsearch, "namespace": namespace})
    if since is None and last is None and not restrictions["job"]:
        since = "24h"
    criteria = options.query_from(since, until, zone.zone, **restrictions)
    with client.connect_reader(config) as search:
        if follow:
            records: Any = timeline.follow(search, config, criteria, begin_with=last)
        elif last is not None:
            newest = timeline.last(search, config, criteria, last)
            records = (record for record in (newest[::-1] if newest_first else newest))
        else:
            records = timeline.query(search, config, criteria, newest_first=newest_first)
        with closing(records):
            if html:
                _write_page(html, records, limit or PAGE_LIMIT, _title(restrictions, since, until), zone)
                return
            try:
                _show(islice(records, limit), zone, as_json=as_json, at_once=follow)
                if limit is not None and next(records, None) is not None:
                    click.echo(f"There are more than {limit} (--limit).", err=True)
            except KeyboardInterrupt:
                return


def _check(
    *, html: Path | None, follow: bool, as_json: bool, last: int | None, limit: int | None, newest_first: bool
) -> None:
    if html and (follow or as_json or newest_first):
        raise click.UsageError("--html excludes --follow, --json and --newest-first: a page has an end and an order.")
    if follow and (limit or newest_first):
        raise click.UsageError("--follow excludes --limit and --newest-first. --last N says with how many to begin.")
    if last and limit:
        raise click.UsageError("--last excludes --limit: the newest N, or the first N.")


def _title(restrictions: dict[str, Any], since: str | None, until: str | None) -> str:
    shown = ", ".join(f"{name} {_words(value)}" for name, value in restrictions.items() if value)
    of = f"Timeline of {shown or 'everything'}"
    return f"{of}{f', since {since}' if since else ''}{f' until {until}' if until else ''}"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return str(value) if isinstance(value, str) else ", ".join(map(str, value))


def _show(records: Iterator[Record], zone: Clock, *, as_json: bool, at_once: bool) -> None:
    if as_json:
        for record in records:
            sys.stdout.buffer.write(printable_json(record))
            sys.stdout.buffer.flush()
        return
    layout, console = Layout(zone, terminal.columns()), terminal.console()
    first = list(islice(records, 1 if at_once else _FIRST))
    if not first:
        click.echo("No records. A wider --since, or another filter, may find some.", err=True)
        return
    layout.look_at(first)
    for group in (first, records):
        for record in group:
            for text in layout.texts(record):
                console.print(text, soft_wrap=True)


def _write_page(file: Path, records: Iterator[Record], limit: int, title: str, zone: Clock) -> None:
    """Write the page with mode 0600, also over a file of another mode, as it contains personal data."""
    from ..read import page

    with page.lay_out(records, limit=limit, clock=zone) as laid_out:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as out:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    os.fchmod(descriptor, 0o600)  # it may have been there, with another mode
                out.writelines(page.chunks(laid_out, title))
        except OSError as error:
            raise ShipperError(f"The page cannot be written to {file}: {error.strerror}.") from error
        cut = f" It has the first {limit} records, and there are more (--limit)." if laid_out.is_cut else ""
    click.echo(f"The page is {file}.{cut}", err=True)
