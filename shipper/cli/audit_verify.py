"""`shipper audit verify`: check the audit trail."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from .. import settings
from ..errors import DestinationError, ShipperError
from ..printable import printable, printable_json
from ..read.clock import Clock
from ..settings import Settings
from . import options, progress

NOT_CHECKABLE = 3


@click.command(
    epilog=options.examples("shipper audit verify --since 7d", "shipper audit verify --anchor /mnt/backup/heads.jsonl")
)
@click.option("--since", metavar="TIME", help='Only records from then on: ISO 8601, an age, or "yesterday 14:00".')
@click.option(
    "--anchor",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compare the trail with the heads in FILE, and add the current ones. Keep FILE on another machine.",
)
@options.elasticsearch
@options.namespace
@options.json
@options.utc
def command(since: str | None, utc: bool, anchor: Path | None, as_json: bool, **flags: str | None) -> None:
    """Check the audit trail, and show what is wrong.

    Checked are hashes, numbers, seals and signatures.

    Exit status 0: all is good. 1: there are findings. 3: not all could be checked, as Elasticsearch does not answer, or
    a key is missing here: SHIPPER_AUDIT_KEY for hashes with a key, SHIPPER_AUDIT_PUBLIC_KEYS for signatures.
    """
    from .. import client
    from ..audit import anchors
    from ..audit import verify as verifying
    from ..client import translated_errors
    from ..read import timeline

    config = settings.load(flags)
    now = datetime.now(UTC)
    keys, signers = verifying.keys_of(config), verifying.signers_of(config)
    kept = anchors.parse(_read(anchor), keys, signers) if anchor else None
    begin = timeline.parse_time(since, now, Clock.of(utc).zone) if since else None
    try:
        with client.connect_reader(config) as search, progress.bar("Verifying") as moved:
            report = verifying.verify(search, config, begin, moved)
            if kept is not None:
                with translated_errors(config):
                    anchors.compare(search, config, report, kept, keys, now)
    except DestinationError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(NOT_CHECKABLE)
    except KeyboardInterrupt:
        click.echo("Interrupted: not all was checked. Nothing was changed; --since checks a part of it.", err=True)
        sys.exit(NOT_CHECKABLE)
    if as_json:
        sys.stdout.buffer.write(printable_json(_plain(report)))
    else:
        _print(report, config)
    if report.exit_status:
        sys.exit(report.exit_status)
    if anchor:
        _append(anchor, anchors.lines(report.ends, keys, now))
        click.echo(f"{len(report.ends)} heads added to {anchor}.", err=True)


def _print(report: Any, config: Settings) -> None:
    for finding in report.findings:
        click.echo(printable(finding))
    for note in report.notes:
        click.echo(f"note: {printable(note)}")
    if report.erased:
        click.echo(f"erased: personal fields of {report.erased} records are gone; the rest of them holds.")
    if report.unchecked:
        click.echo(
            f"unchecked: {report.unchecked} records have a hash or a signature of a key that is not set here "
            "(SHIPPER_AUDIT_KEY, SHIPPER_AUDIT_PUBLIC_KEYS)."
        )
    if not report.records and not report.findings:
        click.echo(f"There are no audit records in the namespace {config.namespace}.")
        return
    click.echo(report.conclusion)


def _plain(report: Any) -> dict[str, Any]:
    return {
        "records": report.records,
        "erased": report.erased,
        "unchecked": report.unchecked,
        "waiting": report.waiting,
        "unsure": report.unsure,
        "conclusion": report.conclusion,
        "notes": report.notes,
        "findings": [one._asdict() for one in report.findings],
        "heads": [one._asdict() for one in report.heads],
    }


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes() if file.exists() else b""
    except OSError as error:
        raise ShipperError(f"The anchors in {file} cannot be read: {error.strerror}.") from error


def _append(file: Path, lines: Iterable[bytes]) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "ab") as out:
            out.writelines(lines)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise ShipperError(f"The anchors cannot be written to {file}: {error.strerror}.") from error
