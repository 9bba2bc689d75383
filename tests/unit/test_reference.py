"""The reference pages say what the code says."""

from __future__ import annotations

import click
import pytest

from reference import commands, figures, records
from reference.__main__ import ROOT, stale
from shipper.cli import COMMANDS


def test_the_pages_are_what_the_code_says() -> None:
    found = [str(file.relative_to(ROOT)) for file in stale()]
    assert not found, f"{', '.join(found)}: run `make reference`, and look at what it changed"


def test_every_command_has_a_section_and_says_what_it_does() -> None:
    named = [context.command_path.split()[1] for context in commands.commands()]
    assert list(dict.fromkeys(named)) == list(COMMANDS)
    assert all(context.command.help for context in commands.commands())


def test_an_exit_status_is_what_the_help_says_of_it() -> None:
    told = click.Command("x", help="Do it.\n\nMore.\n\nExit status 0: all is\ngood. 1: it is *not*.\n\nThe end.")
    assert commands.exit_status(told) == r"0: all is good. 1: it is \*not\*."
    assert commands.exit_status(click.Command("x", help="Do it.")) == ""


@pytest.mark.parametrize(
    ("name", "kind", "unit"),
    [
        ("event.duration", "long", "nanoseconds"),
        ("rq.lag_ms", "long", "milliseconds"),
        ("rq.queue.enqueued_per_s", "double", "per second"),
        ("rq.redis.bytes_per_s", "double", "bytes per second"),
        ("rq.queue.oldest_age_s", "double", "seconds"),
        ("rq.redis.bytes_by_kind.job", "long", "bytes"),
        ("rq.max_rss_kb", "long", "KiB"),
        ("rq.started_at", "date", "UTC"),
        ("rq.redis.address", "keyword", ""),
        ("rq.attempt", "long", ""),
    ],
)
def test_the_unit_is_in_the_name(name: str, kind: str, unit: str) -> None:
    assert records.unit(name, kind) == unit


@pytest.mark.parametrize("command", sorted({by for _, _, by in figures.COSTS}))
def test_who_measures_a_figure_is_there(command: str) -> None:
    assert (ROOT / f"benchmarks/{command}.py").is_file()


def test_sizes_are_shown_with_a_unit() -> None:
    assert [figures._bytes(size) for size in (999, 3273, 28_278_720_000)] == ["999 B", "3.3 kB", "28 GB"]
