"""`shipper check`: the rules of the watch once, for monitoring plugins and autoscalers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from .. import settings
from ..errors import SettingsError, ShipperError
from ..live.connection import connect
from ..setting_values import duration
from ..settings import Settings
from . import options

if TYPE_CHECKING:
    from ..watch.alarms import Finding
    from ..watch.checking import Checked

# The exit statuses of monitoring plugins (https://www.monitoring-plugins.org/doc/guidelines.html).
OK, WARNING, CRITICAL, UNKNOWN = range(4)
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


_SHOWN = ("rule", "subject", "severity", "message", "value", "limit", "unit")


class _Plugin(click.Command):
    """A command whose usage errors are UNKNOWN: 2 would be CRITICAL."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as wrong:
            wrong.exit_code = UNKNOWN  # type: ignore[misc]
            raise


class _Seconds(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no ParamType[float]
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return duration(value)
        except ValueError as wrong:
            self.fail(f"{value!r} {wrong}.", param, ctx)


@click.command(
    cls=_Plugin,
    epilog=options.examples("shipper check --queue low --max-age 60s", "shipper check --queue low --print oldest-age"),
)
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Only this queue. May be given several times.")
@click.option("--max-age", type=_Seconds(), metavar="TIME", help="The oldest job may wait for so long: 60s, 15m.")
@click.option("--max-depth", type=click.IntRange(0), metavar="N", help="So many jobs may wait in a queue.")
@click.option("--min-workers", type=click.IntRange(0), metavar="N", help="Live workers that each queue needs.")
@click.option("--max-memory", type=click.FloatRange(0, 100), metavar="PERCENT", help="Share of Redis's maxmemory.")
@click.option("--rule", "rules", multiple=True, metavar="NAME", help="Only this rule. May be given several times.")
@click.option(
    "--print",
    "figure",
    type=click.Choice(["oldest-age", "depth", "workers", "busy-workers", "utilization", "jobs-per-worker"]),
    help="Only print this figure of the queues, for an autoscaler.",
)
@options.elasticsearch
@options.namespace
@options.json
def command(
    queues: tuple[str, ...],
    max_age: float | None,
    max_depth: int | None,
    min_workers: int | None,
    max_memory: float | None,
    rules: tuple[str, ...],
    figure: str | None,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Check the rules of `shipper watch` once, for monitoring.

    Exit status, as monitoring plugins have it: 0 all is well, 1 warning, 2 critical, 3 unknown, as Redis does not
    answer or a setting is wrong.

    Without limits, all rules are checked with the settings. With limits such as --max-age, only those are, and what is
    beyond them is critical. Rules that rest on records are left out if Elasticsearch is not there.
    """
    limits: dict[str, dict[str, Any]] = {
        "oldest_job": {"max_age": max_age},
        "queue_depth": {"max": max_depth},
        "no_worker": {"min_workers": min_workers, "always": True},
        "redis_memory": {"percent": max_memory},
    }
    given = {rule: values for rule, values in limits.items() if None not in values.values()}
    try:
        config = settings.load(flags)
        checked = _check(config, queues, given, rules, figure)
    except ShipperError as wrong:
        _exit(UNKNOWN, wrong.problems if isinstance(wrong, SettingsError) else [str(wrong)], [], as_json)
    if figure:
        for name in checked.unknown:
            click.echo(f"There is no queue {name} yet.", err=True)
        click.echo(f"{checked.figures()[figure.replace('-', '_')]:g}")
        return
    if checked.unknown:
        _exit(UNKNOWN, [checked.no_such_queue()], [], as_json, checked)
    status = _status(checked.findings)
    said = [one.message for one in checked.findings] or [checked.summary]
    _exit(status, said, checked.findings, as_json, checked)


def _check(
    config: Settings, queues: Sequence[str], limits: dict[str, dict[str, Any]], rules: Sequence[str], figure: str | None
) -> Checked:
    from ..watch import checking, options

    wanted = options.read(config)
    names = checking.rules_named(rules or tuple(limits) or None)
    for rule, values in limits.items():
        changed = replace(getattr(wanted, rule), enabled=True, severity="critical", **values)
        wanted = replace(wanted, **{rule: changed})
    with connect(config) as redis:
        return checking.check(config, wanted, redis, queues, names, datetime.now(UTC), asks_records=figure is None)


def _status(findings: Sequence[Finding]) -> int:
    if not findings:
        return OK
    return CRITICAL if any(one.severity == "critical" for one in findings) else WARNING


def _exit(
    status: int, said: Sequence[str], findings: Sequence[Finding], as_json: bool, checked: Checked | None = None
) -> None:
    if as_json:
        import orjson

        content = {
            "status": _WORDS[status].lower(),
            "problems": list(said) if status else [],
            "findings": [
                {
                    name: getattr(one, name)
                    for name in ("rule", "subject", "severity", "message", "value", "limit", "unit")
                }
                for one in findings
            ],
            "figures": checked.figures() if checked else {},
            "not_checked": list(checked.not_checked) if checked else [],
        }
        click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())
    else:
        data = ""
        if checked:
            data = " | " + " ".join(
                f"{name}={value:g}{'s' * (name == 'oldest_age')}" for name, value in checked.figures().items()
            )
        click.echo(f"RQ {_WORDS[status]}: {' '.join(said)}{data}")
    sys.exit(status)
