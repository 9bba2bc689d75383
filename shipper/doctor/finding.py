"""What the examination finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "note"]
"""error: records are lost, cannot be shipped or cannot be believed. warning: that may become so, or something does not
work. note: worth knowing, and may be on purpose."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. `what`: one or two sentences. `do`: what to do about it."""

    subject: str
    severity: Severity
    what: str
    do: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, the gravest first. `checked`: subjects. `not_checked`: subject → why it could not be."""

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    not_checked: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Whether there is nothing but notes."""
        return all(one.severity == "note" for one in self.findings)


def error(subject: str, what: str, do: str) -> Finding:
    return Finding(subject, "error", what, do)


def warning(subject: str, what: str, do: str) -> Finding:
    return Finding(subject, "warning", what, do)


def note(subject: str, what: str, do: str) -> Finding:
    return Finding(subject, "note", what, do)
