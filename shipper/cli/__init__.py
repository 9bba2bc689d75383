"""The command line `shipper`: one module for each command, imported when it is used."""

from __future__ import annotations

import sys
from importlib import import_module
from keyword import iskeyword

import click

from ..errors import SettingsError, ShipperError
from ..printable import printable_lines

_COMMANDS = (
    "run", "import", "setup", "prune", "timeline", "top", "job", "jobs", "locks", "audit", "worker", "now", "inspect",
    "watch", "check", "status", "deadletter", "redact",
)  # fmt: skip


class _Lazy(click.Group):
    """A group that imports its commands when they are used: `shipper COMMAND` imports no other command."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f".{name}{'_' * iskeyword(name)}", __name__).command
        return command


def _show_version(context: click.Context, _flag: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        from ..ship.reader.framer import CHECKED_IN

        click.echo(f"shipper {version('rq-shipper')}; lines are checked in {CHECKED_IN}")
        context.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version, and whether lines are checked in C.",
)
def cli() -> None:
    """Ship RQ job records to Elasticsearch, and query them."""


def main() -> None:
    """Run the command line. A ShipperError is one line on stderr, and exit status 1 (2 for settings and flags)."""
    try:
        cli(prog_name="shipper")
    except SettingsError as wrong:
        for problem in wrong.problems:
            click.echo(f"error: {printable_lines(problem)}", err=True)
        sys.exit(2)
    except ShipperError as wrong:
        click.echo(f"error: {printable_lines(wrong)}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)  # the reader of our output, such as `head`, has closed it
