"""`shipper worker`: `rq worker`, watched."""

from __future__ import annotations

import os

import click

from .. import settings


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Run `rq worker` with everything that it takes, and write job records.

    Its Redis is that of SHIPPER_REDIS, unless RQ is told of another: by --url, --config, RQ_REDIS_URL or RQ_CONFIG.
    """
    from rq.cli.cli import main as rq

    import shipper

    shipper.instrument()
    redis = settings.load(complain=lambda _: None).redis  # instrument() has told of what is wrong
    if redis != settings.DEFAULT_REDIS and not _names_redis(arguments):
        os.environ["RQ_REDIS_URL"] = redis  # a flag would show its password to everybody on this machine
    rq.main(["worker", *arguments], prog_name="rq")


def _names_redis(arguments: tuple[str, ...]) -> bool:
    """Whether RQ finds its Redis by itself. A flag of one letter may have its value behind it: -uredis://…"""
    if any(os.environ.get(name) for name in ("RQ_REDIS_URL", "RQ_CONFIG")):
        return True
    return any(one.startswith(("-u", "-c", "--url", "--config")) for one in arguments)
