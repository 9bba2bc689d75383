"""`shipper worker`: `rq worker`, instrumented."""

from __future__ import annotations

import os

import click

from .. import settings
from . import options


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    epilog=options.examples(
        "shipper worker payments mails", "shipper worker --with-scheduler --max-jobs 1000 payments"
    ),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Run `rq worker` and write job records.

    All arguments are passed to `rq worker`. The Redis is that of SHIPPER_REDIS, unless RQ's --url, --config,
    RQ_REDIS_URL or RQ_CONFIG is given.
    """
    if "--help" in arguments:
        click.echo(f"{click.get_current_context().get_help()}\n\n`rq worker` says:\n")
    from rq.cli.cli import main as rq

    import shipper

    shipper.instrument()
    redis = settings.load(complain=lambda _: None).redis  # instrument() has logged the problems
    if redis != settings.DEFAULT_REDIS and not _names_redis(arguments):
        os.environ["RQ_REDIS_URL"] = redis  # all users of this machine could see the password in a flag
    rq.main(["worker", *arguments], prog_name="rq")


def _names_redis(arguments: tuple[str, ...]) -> bool:
    """Whether RQ is configured with a Redis of its own. A short option may include its value: -uredis://…"""
    if any(os.environ.get(name) for name in ("RQ_REDIS_URL", "RQ_CONFIG")):
        return True
    return any(one.startswith(("-u", "-c", "--url", "--config")) for one in arguments)
