"""The shipper of this state folder: does it run, how far behind is it, what could not be indexed?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..finding import Finding, error, note, warning

SUBJECT = "shipper"
BEHIND_S = 60.0  # a backlog that has not moved for so long is not just the next second's work
NEARLY_FULL = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingFacts:
    """`status`: the content of the status file, None without one. `age_s`: how old it is. `is_old`: too old to be true.

    `log_bytes`: size of the files that are to be shipped. `dead_letter_bytes` of `dead_letter_limit`: those that are
    stored. `elasticsearch`: what these settings say.
    """

    state: Path
    status: Mapping[str, Any] | None
    age_s: float = 0.0
    is_old: bool = False
    log_bytes: int = 0
    dead_letter_bytes: int = 0
    dead_letter_limit: int = 1
    elasticsearch: str = ""


def findings(facts: ShippingFacts) -> Iterator[Finding]:
    """What is wrong with the shipper."""
    if facts.dead_letter_bytes:
        share = facts.dead_letter_bytes / facts.dead_letter_limit
        full = (
            f" {share:.0%} of the room for them is used; when it is full, shipping waits."
            if share > NEARLY_FULL
            else ""
        )
        make = error if full else warning
        yield make(
            SUBJECT,
            f"There are lines that could not be indexed ({facts.dead_letter_bytes} bytes).{full}",
            "`shipper deadletter list` shows them with the reason; `replay` or `purge` removes them.",
        )
    if facts.status is None:
        make = warning if facts.log_bytes else note
        waiting = f" {facts.log_bytes} bytes of records wait." if facts.log_bytes else ""
        yield make(
            SUBJECT,
            f"No shipper has run with the state folder {facts.state}.{waiting}",
            "Start one with `shipper run`. If it runs elsewhere, or with another folder, ask there.",
        )
        return
    yield from _of_the_process(facts.status, facts)
    yield from _of_the_records(facts.status)


def _of_the_process(status: Mapping[str, Any], facts: ShippingFacts) -> Iterator[Finding]:
    if status["state"] == "stuck":
        yield error(
            SUBJECT,
            f"The shipper hangs: its main loop has done nothing for {status.get('pulse_age_s', 0):.0f} s.",
            "Is a disk or network file system not answering? Restart it; it continues where it was.",
        )
    elif status["state"] == "stopped" or facts.is_old:
        yield error(
            SUBJECT,
            f"The shipper does not run; it was last heard of {facts.age_s:.0f} s ago.",
            "Start it with `shipper run`, or by its service: it continues where it was.",
        )
    elif status["state"] == "waiting":
        yield error(
            SUBJECT,
            f"Requests have been failing for {status.get('retrying_s', 0):.0f} s: {status.get('last_error')}",
            "Records wait in the log, and nothing is lost as long as the disk has room. See elasticsearch here.",
        )
    elif status.get("elasticsearch") and facts.elasticsearch and status["elasticsearch"] != facts.elasticsearch:
        yield warning(
            SUBJECT,
            f"The running shipper sends to {status['elasticsearch']}, and these settings say {facts.elasticsearch}.",
            "Run this with the shipper's settings, or restart the shipper.",
        )
    if status.get("not_listening"):
        yield warning(
            SUBJECT,
            f"The shipper has no metrics and health at {status['not_listening']}.",
            "Another process has the address. Set SHIPPER_LISTEN to another one, or to off.",
        )


def _of_the_records(status: Mapping[str, Any]) -> Iterator[Finding]:
    behind, for_s = status.get("backlog_bytes", 0), status.get("backlog_age_s", 0.0)
    if behind and for_s >= BEHIND_S:
        yield warning(
            SUBJECT,
            f"{behind} bytes of records wait, and have for {for_s:.0f} s.",
            "`shipper status` shows of which file, and the last error.",
        )
    if status.get("waiting_bytes"):
        yield error(
            SUBJECT,
            f"{status['waiting_bytes']} bytes of documents wait, as their index takes none.",
            "The shipper's log names the index and the reason: a block, a closed index, or a missing privilege.",
        )
    if status.get("not_indexed"):
        yield error(
            SUBJECT,
            f"{status['not_indexed']} records were taken by Elasticsearch and not indexed.",
            "An ingest pipeline dropped them, or a failure store has them: remove the pipeline from our indices.",
        )
