"""`shipper locks`: who holds which critical section, and who waits for it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from redis import RedisError

from .. import settings
from ..errors import SettingsError
from ..live.connection import connect, unreachable
from ..printable import printable_json
from ..sections import listing
from ..sections.listing import HeldSection
from . import options
from .shown import printable, span


@click.command(
    epilog=options.examples("shipper locks", "shipper locks --release financial:42 --reason 'worker-3 is gone'")
)
@options.redis
@options.json
@click.option("--release", "key", metavar="NAME", help="Let others into this section. Its holder is not stopped.")
@options.reason
@options.actor
def command(key: str | None, reason: str | None, actor: str | None, as_json: bool, **flags: str | None) -> None:
    """Show who holds which critical section, and who waits.

    --release lets others into a section whose holder is known to be dead or stuck. It is audited, with --reason.
    """
    options.act_as(actor)
    config = settings.load(flags)
    if key is not None:
        from ..operate import release_section

        if not reason:
            raise SettingsError(["Say why with --reason: releasing a section is audited."])
        release_section(key, reason=reason, settings=config)
        click.echo(f"{printable(key)} is released.", err=True)
        return
    try:
        with connect(config) as redis:
            sections, counters = list(listing.held(redis)), listing.counters(redis)
    except RedisError as error:
        raise unreachable(error) from error
    if as_json:
        content = {"sections": [asdict(section) for section in sections], "counters": counters}
        sys.stdout.buffer.write(printable_json(content))
        return
    now = datetime.now(UTC)
    for section in sections:
        click.echo(_line(section, now))
        for waiter in section.waiters:
            age = span((now - waiter.since).total_seconds())
            click.echo(f"    waits: {printable(waiter.who)} for {age}, {waiter.tries} tries")
    if not sections:
        click.echo("No section is held or waited for.", err=True)
    for template, counts in sorted(counters.items()):
        waited = span(counts.get("waited_ms", 0) / 1000)
        name = printable(template)
        click.echo(f"{name}: {counts.get('waits', 0)} tries in vain so far, {waited} waited", err=True)


def _line(section: HeldSection, now: datetime) -> str:
    shown: list[Any] = [printable(section.name)]
    if section.since is None:
        shown.append("free")
    else:
        shown.append(f"held by {printable(section.holder or 'a process that runs no job')}")
        if section.function:
            shown.append(printable(section.function))
        shown.append(f"for {span((now - section.since).total_seconds())}")
        shown.append(f"fence {section.fence}")
        shown.append(f"lease {section.lease_s:.0f} s")
    return "  ".join(shown)
