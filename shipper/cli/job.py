"""`shipper job ID`: show what is known of one job, or act on it."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from .. import settings
from ..errors import ShipperError
from ..printable import printable_json
from ..read.clock import Clock
from ..settings import Settings
from . import options, terminal
from .shown import printable


@click.command(
    epilog=options.examples(
        "shipper job 3f2b8c1e",
        "shipper job 3f2b8c1e --requeue --reason 'the provider is back'",
    )
)
@click.argument("given", metavar="ID")
@options.elasticsearch
@options.namespace
@options.json
@options.utc
@click.option("--requeue", "act", flag_value="requeue", help="Run a dead, stopped or canceled job again.")
@click.option("--cancel", "act", flag_value="cancel", help="Cancel a job that waits.")
@click.option("--stop", "act", flag_value="stop", help="Stop a job that runs.")
@click.option("--discard", "act", flag_value="discard", help="Delete a job that does not run, with its result.")
@options.reason
@options.actor
@options.redis
def command(
    given: str, as_json: bool, utc: bool, act: str | None, reason: str | None, actor: str | None, **flags: str | None
) -> None:
    """Show one job, or act on it.

    ID is the job's id, or the beginning of it if no other job's id begins so. Shown are its state, error and arguments,
    who asked for it, its attempts, the jobs it comes from and those that come from it, its stack trace and records.

    Each act is audited, with --actor and --reason.
    """
    options.act_as(actor)
    if not given.strip():
        raise ShipperError("A job's id is not empty. It is `messaging.message.id` on its records, and job.id in RQ.")
    from . import job_report

    config = settings.load(flags)
    job_id = job_report.resolve(given.strip(), config)
    if act is not None:
        _act(act, job_id, reason, config)
        return
    report = job_report.read(job_id, config)
    if as_json:
        sys.stdout.buffer.write(printable_json(asdict(report)))
        return
    for text in job_report.texts(report, Clock.of(utc), terminal.columns()):
        terminal.console().print(text, soft_wrap=True)


def _act(act: str, job_id: str, reason: str | None, config: Settings) -> None:
    from redis import RedisError

    from .. import operate
    from ..live.connection import unreachable

    acts = {"requeue": operate.requeue, "cancel": operate.cancel, "stop": operate.stop, "discard": operate.discard}
    try:
        acts[act](job_id, reason=reason, settings=config)
    except RedisError as error:
        raise unreachable(error) from error
    done = {"requeue": "requeued", "cancel": "canceled", "stop": "told to stop", "discard": "discarded"}[act]
    click.echo(f"{printable(job_id)} was {done}.", err=True)
