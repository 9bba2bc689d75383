"""`shipper worker`: `rq worker`, watched."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Run `rq worker` with everything that it takes, and write job records."""
    from rq.cli.cli import main as rq

    import shipper

    shipper.instrument()
    rq.main(["worker", *arguments], prog_name="rq")
