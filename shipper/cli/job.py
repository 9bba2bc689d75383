"""`shipper job ID`: show one job's state and records."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
from redis import RedisError

from .. import jobs, settings
from ..errors import ShipperError
from ..live.connection import unreachable
from ..printable import printable_json
from ..settings import Settings
from . import options
from .clock import Clock
from .lines import Layout
from .shown import printable


@click.command(
    epilog=options.examples("shipper job 3f2b8c1e", "shipper job 3f2b8c1e --requeue --reason 'the provider is back'")
)
@click.argument("job_id", metavar="ID")
@options.elasticsearch
@options.namespace
@options.json
@click.option("--requeue", "act", flag_value="requeue", help="Run a dead, stopped or canceled job again.")
@click.option("--cancel", "act", flag_value="cancel", help="Cancel a job that waits.")
@click.option("--stop", "act", flag_value="stop", help="Stop a job that runs.")
@click.option("--discard", "act", flag_value="discard", help="Delete a job that does not run, with its result.")
@options.reason
@options.actor
@options.redis
def command(
    job_id: str, as_json: bool, act: str | None, reason: str | None, actor: str | None, **flags: str | None
) -> None:
    """Show one job, or act on it.

    Its state, executions and log lines. Each act is audited, with --actor and --reason.
    """
    options.act_as(actor)
    if not job_id.strip():
        raise ShipperError("A job's id is not empty. It is `messaging.message.id` on its records, and job.id in RQ.")
    config = settings.load(flags)
    if act is not None:
        _act(act, job_id, reason, config)
        return
    from .. import client
    from ..read import timeline

    try:
        state = jobs.get(job_id, settings=config)
    except RedisError as error:
        click.echo(f"Redis cannot be asked ({printable(error)}). Is it running, and is SHIPPER_REDIS right?", err=True)
        state = jobs.from_elasticsearch(job_id, config)
    with client.connect_reader(config) as search:
        records = list(timeline.query(search, config, timeline.Query(job=job_id)))
    if state is None and not records:
        raise ShipperError(
            f"Nobody knows a job {job_id}: neither Redis nor Elasticsearch (namespace {config.namespace})."
        )
    if as_json:
        content = {"state": asdict(state) if state else None, "records": records}
        sys.stdout.buffer.write(printable_json(content))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for name, value in (asdict(state) if state else {}).items():
        if value is not None:
            console.print(Text.assemble((f"{name:12}", "dim"), f" {printable(value)}"))
    layout = Layout(Clock(), None)
    for record in records:
        for text in layout.texts(record):
            console.print(text)


def _act(act: str, job_id: str, reason: str | None, config: Settings) -> None:
    from .. import operate

    acts = {"requeue": operate.requeue, "cancel": operate.cancel, "stop": operate.stop, "discard": operate.discard}
    try:
        acts[act](job_id, reason=reason, settings=config)
    except RedisError as error:
        raise unreachable(error) from error
    done = {"requeue": "requeued", "cancel": "canceled", "stop": "told to stop", "discard": "discarded"}[act]
    click.echo(f"{printable(job_id)} was {done}.", err=True)
