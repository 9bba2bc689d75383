"""Which personal fields were erased on whose order: `forget` declares it in a record, `verify` compares.

"audit": {"erased": [{"chain": "web-1-9f2c", "group": "actor", "sequences": "3-7,12"}]}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from .chain import Head
from .report import TrailProblem

ERASED_ACTION = "person-erased"


def declaration(erased: Iterable[tuple[Head, Iterable[str]]]) -> list[dict[str, str]]:
    """The content of `audit.erased` for these records and groups of personal fields."""
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for head, groups in erased:
        for group in groups:
            numbers[head.id, group].add(head.sequence)
    return [
        {"chain": chain, "group": group, "sequences": ",".join(_ranges(sorted(found)))}
        for (chain, group), found in numbers.items()
    ]


def _ranges(numbers: list[int]) -> Iterator[str]:
    start = 0
    for at, number in enumerate(numbers):
        if at + 1 == len(numbers) or numbers[at + 1] != number + 1:
            yield str(number) if numbers[start] == number else f"{numbers[start]}-{number}"
            start = at + 1


class Erasures:
    """Collects what was erased, and what was declared to be."""

    def __init__(self) -> None:
        self._seen: list[tuple[Head, list[str], str]] = []
        self._declared: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)

    def seen(self, head: Head, groups: list[str], where: str) -> None:
        """A record has lost these groups of personal fields."""
        self._seen.append((head, groups, where))

    def declared(self, content: Any) -> None:
        """A good record has this `audit.erased`. What is not in its form declares nothing."""
        for one in content if isinstance(content, list) else []:
            try:
                for part in one["sequences"].split(","):
                    first, _, last = part.partition("-")
                    self._declared[one["chain"], one["group"]].append((int(first), int(last or first)))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue

    def findings(self) -> Iterator[TrailProblem]:
        """Records that have lost personal fields without a declaration."""
        for head, groups, where in self._seen:
            missing = [group for group in groups if not self._is_declared(head, group)]
            if missing:
                detail = f"{', '.join(missing)}: personal fields are gone, and no record says who erased them"
                yield TrailProblem("erased", head.id, head.sequence, where, detail)

    def _is_declared(self, head: Head, group: str) -> bool:
        return any(first <= head.sequence <= last for first, last in self._declared.get((head.id, group), ()))
