"""`shipper job ID`: all there is to know of one job."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
import orjson
from redis import RedisError
from rich.console import Console

from .. import client, jobs, settings
from ..errors import ShipperError
from ..read import timeline
from ..read.timeline import Query
from . import options
from .timeline import line


@click.command()
@click.argument("job_id", metavar="ID")
@options.elasticsearch
@options.namespace
@options.json
def command(job_id: str, as_json: bool, **flags: str | None) -> None:
    """Show where a job is, whom it is for, every execution of it, and its own log lines."""
    made = settings.load(flags)
    try:
        state = jobs.get(job_id, settings=made)
    except RedisError as error:
        click.echo(f"Redis cannot be asked ({error}). Is it running, and is SHIPPER_REDIS right?", err=True)
        state = jobs.kept(job_id, made)
    with client.connect_reader(made) as search:
        records = list(timeline.query(search, made, Query(job=job_id)))
    if state is None and not records:
        raise ShipperError(
            f"Nobody knows a job {job_id}: neither Redis nor Elasticsearch (namespace {made.namespace})."
        )
    if as_json:
        found = {"state": asdict(state) if state else None, "records": records}
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
        return
    console = Console(soft_wrap=True, highlight=False)
    for name, value in (asdict(state) if state else {}).items():
        if value is not None:
            console.print(f"[dim]{name:12}[/] {value}")
    for record in records:
        console.print(line(record))
