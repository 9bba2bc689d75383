"""`shipper job ID`: show one job's state and records."""

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
    """Show a job's state, executions and log lines."""
    config = settings.load(flags)
    try:
        state = jobs.get(job_id, settings=config)
    except RedisError as error:
        click.echo(f"Redis cannot be asked ({error}). Is it running, and is SHIPPER_REDIS right?", err=True)
        state = jobs.from_elasticsearch(job_id, config)
    with client.connect_reader(config) as search:
        records = list(timeline.query(search, config, Query(job=job_id)))
    if state is None and not records:
        raise ShipperError(
            f"Nobody knows a job {job_id}: neither Redis nor Elasticsearch (namespace {config.namespace})."
        )
    if as_json:
        content = {"state": asdict(state) if state else None, "records": records}
        sys.stdout.buffer.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))
        return
    console = Console(soft_wrap=True, highlight=False)
    for name, value in (asdict(state) if state else {}).items():
        if value is not None:
            console.print(f"[dim]{name:12}[/] {value}")
    for record in records:
        console.print(line(record))
