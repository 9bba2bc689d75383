"""The command line `shipper`: one module for each command, imported when it is used."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..errors import SettingsError, ShipperError
from ..printable import printable_lines
from . import options, terminal
from .groups import LazyGroup

COMMANDS = {
    "run": "Tail the files, and index every line exactly once.",
    "import": "Import old logs, once.",
    "setup": "Install index templates and Kibana dashboards.",
    "prune": "Delete what is past its retention.",
    "timeline": "Show records in order, oldest first.",
    "top": "Show slow functions and busy queues.",
    "job": "Show one job, or act on it.",
    "jobs": "List the jobs in Redis that match all filters.",
    "locks": "Show who holds which critical section, and who waits.",
    "audit": "Write, verify and erase audit records.",
    "worker": "Run `rq worker` and write job records.",
    "now": "Show queues, workers, jobs, Redis and cron jobs now.",
    "inspect": "Show what RQ keeps in Redis.",
    "watch": "Watch queues, workers and Redis; tell before users do.",
    "check": "Check the rules of `shipper watch` once, for monitoring.",
    "doctor": "Find what is wrong, and say what to do about it.",
    "init": "Write a settings file that explains every setting.",
    "status": "Show the shipper's status.",
    "deadletter": "List, show, replay and purge dead letters.",
    "redact": "Show texts without their secrets.",
}
"""The summary of each command. They are the first paragraphs of the commands' help, which is imported when needed."""


class _Commands(LazyGroup):
    known = COMMANDS

    def invoke(self, ctx: click.Context) -> Any:
        with terminal.until_nobody_reads():
            return super().invoke(ctx)


def _show_version(context: click.Context, _flag: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        from ..ship.reader.framer import CHECKED_IN

        click.echo(f"shipper {version('rq-shipper')}; lines are checked in {CHECKED_IN}")
        context.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=options.examples("shipper timeline --since 2h", "shipper timeline --help"),
)
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
    terminal.prepare()
    try:
        cli(prog_name="shipper")
    except SettingsError as wrong:
        for problem in wrong.problems:
            click.echo(f"error: {printable_lines(problem)}", err=True)
        sys.exit(2)
    except ShipperError as wrong:
        click.echo(f"error: {printable_lines(wrong)}", err=True)
        sys.exit(1)
