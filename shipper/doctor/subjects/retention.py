"""What deletes old indices, and whether two settings of indices contradict what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..finding import Finding, error, note, warning

SUBJECT = "retention"
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionFacts:
    """`prunes`: `shipper run` deletes once a day. `managed`, `unmanaged`: our indices with and without an ILM policy.

    `past`: indices that should have been deleted days ago. `doubled`: indices of days or months of which records go to
    other indices by the setting `index_period`.
    """

    lifecycle: str
    prunes: bool
    managed: Sequence[str] = ()
    unmanaged: Sequence[str] = ()
    past: Sequence[str] = ()
    doubled: Sequence[str] = ()


def findings(facts: RetentionFacts) -> Iterator[Finding]:
    """Indices that nobody deletes, or that two delete, and days that are in two indices."""
    if facts.lifecycle == "prune" and facts.managed:
        yield error(
            SUBJECT,
            f"SHIPPER_LIFECYCLE is prune, and indices have an ILM policy: {_some(facts.managed)}. The shipper deletes "
            "nothing then, as only one may.",
            "Set SHIPPER_LIFECYCLE=ilm; or take the policies away: POST /rq-*/_ilm/remove, then `shipper setup`.",
        )
    elif facts.lifecycle == "ilm" and facts.unmanaged:
        yield warning(
            SUBJECT,
            f"SHIPPER_LIFECYCLE is ilm, and indices have no ILM policy: {_some(facts.unmanaged)}. Nobody deletes them.",
            "`shipper setup` gives it to them.",
        )
    elif facts.lifecycle == "prune" and facts.past:
        make = note if facts.prunes else warning
        yield make(
            SUBJECT,
            f"Past their retention and still there: {_some(facts.past)}.",
            "`shipper run` deletes them once a day, with a key that may (role `pruner`)."
            if facts.prunes
            else "SHIPPER_PRUNE is false: run `shipper prune --daily`, with a key that may (role `pruner`).",
        )
    if facts.doubled:
        yield warning(
            SUBJECT,
            f"By SHIPPER_INDEX_PERIOD, records of the time of these indices go to others: {_some(facts.doubled)}. A "
            "line of that time that is read again is indexed twice.",
            'Set the month from which on it holds, such as SHIPPER_INDEX_PERIOD="month since 2027-01".',
        )


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
