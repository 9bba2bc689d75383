"""What is promised of a figure, and whether it was kept: each benchmark returns some, `make bench` shows them all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """`shown` is how a value is written: a format such as `{:.2f} x`."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None
    shown: str = "{:.2f}"

    @property
    def kept(self) -> bool:
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    def row(self) -> str:
        bound = "≥ " + self.shown.format(self.least) if self.least is not None else "≤ " + self.shown.format(self.most)
        return f"  {self.what:62} {self.shown.format(self.value):>12} {bound:>14}  {'yes' if self.kept else 'NO'}"


def show(promises: Iterable[Promise]) -> bool:
    """Print them as a table. True if all were kept."""
    promises = list(promises)
    print(f"  {'promise':62} {'figure':>12} {'bound':>14}  kept")
    for promise in promises:
        print(promise.row())
    return all(promise.kept for promise in promises)
