"""Kibana's objects: data views, saved searches, dashboards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..finding import Finding, warning

SUBJECT = "Kibana"


@dataclass(frozen=True, slots=True, kw_only=True)
class KibanaFacts:
    """`missing`: the titles of objects that are not there, of `wanted` in all."""

    where: str
    space: str
    missing: Sequence[str] = ()
    wanted: int = 0


def findings(facts: KibanaFacts) -> Iterator[Finding]:
    """What is missing."""
    if facts.missing:
        named = ", ".join(facts.missing[:5]) + (", …" if len(facts.missing) > 5 else "")
        yield warning(
            SUBJECT,
            f"{len(facts.missing)} of {facts.wanted} objects are not in {facts.where}, space {facts.space}: {named}.",
            "`shipper setup --kibana URL` installs them.",
        )
