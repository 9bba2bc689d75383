"""Clocks: records are ordered, kept and deleted by the time of the machine that wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..finding import Finding, error, warning

SUBJECT = "clock"
OFF_S = 2.0  # a Date header has whole seconds
WRONG_S = 60.0  # RQ's registries and leases are wrong by as much


def findings(offsets: Mapping[str, float]) -> Iterator[Finding]:
    """`offsets`: whose clock → seconds by which it is ahead of this machine's at least."""
    for whose, offset in offsets.items():
        if abs(offset) < OFF_S:
            continue
        make = error if abs(offset) >= WRONG_S else warning
        yield make(
            SUBJECT,
            f"The clock of {whose} is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} this machine's. "
            "Times in records, waiting times and timeouts are wrong by as much.",
            "Synchronise both by NTP: `timedatectl` or `chronyc tracking` shows which of them is off.",
        )
