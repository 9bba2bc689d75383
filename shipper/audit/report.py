"""What `verify` found: problems, notes, and what could not be checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from .chain import Head


class TrailProblem(NamedTuple):
    """One finding. The table in docs/audit.md lists the kinds.

    `chain` and `sequence` are the position in the chain, `where` is `index/_id` of the document, "" if there is none.
    """

    kind: str
    chain: str
    sequence: int
    where: str
    detail: str

    def __str__(self) -> str:
        place = f"{self.chain} #{self.sequence}" if self.chain else "no chain"
        return " ".join(part for part in (f"{self.kind}:", place, self.where, self.detail) if part)


class ChainEnd(NamedTuple):
    """The end of a chain. `sealed`: the last head that a valid signature covers, its key's id, and the signature."""

    head: Head
    at: datetime | None = None
    sealed: tuple[Head, str, str] | None = None


@dataclass(slots=True)
class Report:
    """The result of verifying: numbers of records, the findings, the ends of the chains, and harmless notes.

    `erased`: records without personal fields. `unchecked`: records whose hash or signature could not be checked.
    `waiting`: the newest records of signed chains, whose seal is not due yet. `unsure`: why the newest records may be
    missing.
    """

    records: int = 0
    erased: int = 0
    unchecked: int = 0
    waiting: int = 0
    unsure: str = ""
    findings: list[TrailProblem] = field(default_factory=list)
    ends: list[ChainEnd] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def heads(self) -> list[Head]:
        return [end.head for end in self.ends]

    @property
    def exit_status(self) -> int:
        """0: all is good. 1: there are findings. 3: not all could be checked."""
        return 1 if self.findings else 3 if self.unchecked else 0

    @property
    def conclusion(self) -> str:
        """One sentence, which never says more than what was checked."""
        counted = f"{self.records} records in {len(self.ends)} chains"
        if self.findings:
            return f"{counted}: {len(self.findings)} findings."
        if self.unchecked:
            rest = "" if self.unchecked >= self.records else "; the others are as they were written"
            return f"{counted}: {self.unchecked} of them could not be checked{rest}."
        if self.waiting:
            return f"{counted}: as they were written up to the last seals. {self.waiting} are not sealed yet."
        if self.unsure:
            return f"{counted}: what could be read is as it was written. {self.unsure}"
        return f"{counted}: all is as it was written."
