"""The index templates and the ingest pipeline, and indices that are not as the templates make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...index.conformity import Deviation
from ...index.setup import Change
from ..finding import Finding, error, note, warning

SUBJECT = "templates"
SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFacts:
    """`changes`: what `shipper setup` would do. `deviations`: None if indices could not be looked at."""

    changes: Sequence[Change] = ()
    deviations: Sequence[Deviation] | None = None


def findings(facts: TemplateFacts) -> Iterator[Finding]:
    """What is missing, old, or differs."""
    missing, old, newer = (_named(facts.changes, action) for action in ("create", "update", "leave"))
    if missing:
        yield error(
            SUBJECT,
            f"Not installed: {missing}. Without them Elasticsearch guesses the types of fields at the first record.",
            "`shipper setup`, with a key that may (manage_index_templates, manage_ingest_pipelines).",
        )
    if old:
        yield warning(
            SUBJECT, f"Of an older release or other settings, or changed: {old}.", "`shipper setup` installs them."
        )
    if newer:
        yield note(
            SUBJECT,
            f"Of a newer release than this one: {newer}.",
            "They are kept. Upgrade rq-shipper on this machine, too.",
        )
    deviations = facts.deviations or ()
    for one in deviations[:SHOWN]:
        yield warning(
            SUBJECT,
            f"An index is not as the templates make it: {one}.",
            "Somebody changed it, or another release made it. Where records are hidden or changed by it, `shipper "
            "import` the logs into a new index; otherwise it goes with its retention.",
        )
    if len(deviations) > SHOWN:
        rest = len(deviations) - SHOWN
        yield warning(SUBJECT, f"{rest} more such differences.", "`shipper setup --dry-run` lists all of them.")


def _named(changes: Sequence[Change], action: str) -> str:
    return ", ".join(f"{one.part.kind.replace('_', ' ')} {one.part.name}" for one in changes if one.action == action)
