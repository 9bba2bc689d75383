"""Columns: what a panel counts and measures, and what it groups that by. Each is a question to Elasticsearch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..colours import AMBER, BLUE, GREEN, GREY, PINK, RED, VIOLET, Bands
from ..words import DEAD, FINISHED, RETRIED, TAKEN_AWAY, TIME
from . import formulas
from .formulas import Call, over, times

RECORDS = "___records___"  # Lens's name for "no field: count the records"


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One column of a Lens layer. `where` is KQL. A column with a `formula` is computed from other columns."""

    label: str
    operation: str
    of: str | None = None
    type: str = "number"
    bucketed: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    colour: str | None = None
    bands: Bands = ()
    per_minute: bool = False
    formula: Call | None = None
    width: int | None = None

    @property
    def id(self) -> str:
        return re.sub(r"[^a-z0-9]+", "_", self.label.lower()).strip("_")

    def states(self) -> dict[str, dict[str, Any]]:
        """The column as Lens keeps it, by its id; a formula's parts come after it."""
        if self.formula:
            return formulas.states(self, self.formula)
        state: dict[str, Any] = {
            "label": self.label,
            "customLabel": True,
            "dataType": self.type,
            "operationType": self.operation,
            "isBucketed": self.bucketed,
            "scale": _scale(self),
            "params": dict(self.params),
        }
        if self.of:
            state["sourceField"] = self.of
        if self.where:
            state["filter"] = kql(self.where)
        if self.per_minute:
            state["timeScale"] = "m"
        if self.operation == "static_value":
            state |= {"isStaticValue": True, "references": []}
        return {self.id: state}


def _scale(column: Column) -> str:
    if column.operation == "date_histogram":
        return "interval"
    return "ratio" if column.type in ("number", "date") and not column.bucketed else "ordinal"


def kql(query: str) -> dict[str, str]:
    """A query as Kibana keeps it."""
    return {"query": query, "language": "kuery"}


def both(first: str, second: str) -> str:
    """KQL of what matches both; either may be empty."""
    return f"({first}) and ({second})" if first and second else first or second


# --- what is counted and measured ---


def count(
    label: str, where: str = "", *, colour: str | None = None, per_minute: bool = False, bands: Bands = ()
) -> Column:
    """How many records. None at all is shown as 0: that is an answer, too."""
    return Column(
        label=label,
        operation="count",
        of=RECORDS,
        where=where,
        colour=colour,
        per_minute=per_minute,
        bands=bands,
        params={"emptyAsNull": False},
    )


def total(label: str, of: str, where: str = "") -> Column:
    """The sum of a field."""
    return Column(label=label, operation="sum", of=of, where=where, params={"emptyAsNull": True})


def mean(label: str, of: str, where: str = "", *, colour: str | None = None) -> Column:
    return Column(label=label, operation="average", of=of, where=where, colour=colour, params={"emptyAsNull": True})


def largest(label: str, of: str, *, where: str = "", bands: Bands = (), colour: str | None = None) -> Column:
    return Column(
        label=label, operation="max", of=of, where=where, bands=bands, colour=colour, params={"emptyAsNull": True}
    )


def smallest(label: str, of: str, *, where: str = "") -> Column:
    return Column(label=label, operation="min", of=of, where=where, params={"emptyAsNull": True})


def newest(label: str) -> Column:
    """The time of the last record."""
    return Column(label=label, operation="max", of=TIME, type="date", params={"emptyAsNull": True})


def earliest(label: str, of: str = TIME) -> Column:
    """The first of its times."""
    return Column(label=label, operation="min", of=of, type="date", params={"emptyAsNull": True})


def share(percent: int, of: str, *, label: str = "", where: str = "", bands: Bands = ()) -> Column:
    """A percentile, p50 to p99. Those three have a colour each as series, the same everywhere."""
    return Column(
        label=label or f"p{percent}",
        operation="percentile",
        of=of,
        where=where,
        params={"percentile": percent},
        colour=None if label else PERCENTILES.get(percent),
        bands=bands,
    )


PERCENTILES = {50: BLUE, 95: VIOLET, 99: PINK}


def distinct(label: str, of: str, where: str = "", *, bands: Bands = ()) -> Column:
    return Column(label=label, operation="unique_count", of=of, where=where, bands=bands, params={"emptyAsNull": False})


def latest(
    label: str, of: str, *, type: str = "number", where: str = "", bands: Bands = (), width: int | None = None
) -> Column:
    """The value of the last record that has one."""
    return Column(
        label=label,
        operation="last_value",
        of=of,
        type=type,
        params={"sortField": TIME},
        where=both(f'"{of}" : *', where) if where else f'"{of}" : *',
        bands=bands,
        width=width,
    )


# --- what is computed ---


def computed(
    label: str, formula: Call, *, format: Mapping[str, Any] | None = None, bands: Bands = (), colour: str | None = None
) -> Column:
    """The value of a formula."""
    params = {"format": dict(format)} if format else {}
    return Column(label=label, operation="formula", formula=formula, params=params, bands=bands, colour=colour)


def decimals(number: int, suffix: str = "") -> dict[str, Any]:
    """A number's format: so many decimals, zeros at the end apart, and a unit."""
    params: dict[str, Any] = {"decimals": number, **({"suffix": suffix} if suffix else {})}
    if not number:
        return {"id": "number", "params": params}
    return {"id": "custom", "params": {**params, "pattern": f"0,0.[{'0' * number}]"}}


PERCENT = {"id": "percent", "params": {"decimals": 1}}


def ratio(label: str, part: str, *, whole: str = "", bands: Bands = (), colour: str | None = None) -> Column:
    """What share of the records matches `part`, of those that match `whole`: 0 to 1, written as percent."""
    quotient = over(count("part", part), count("whole", whole))
    return computed(label, quotient, format=PERCENT, bands=bands, colour=colour)


def among(label: str, part: str, *, whole: str = "", bands: Bands = (), colour: str | None = None) -> Column:
    """How many records match `part`, and no answer where none matches `whole`: no data is not zero, nor good."""
    return _if_any(label, count("part", both(part, whole)), whole, bands=bands, colour=colour)


def different(label: str, of: str, part: str, *, whole: str, bands: Bands = ()) -> Column:
    """How many values of a field there are where `part` matches, and no answer where nothing matches `whole`."""
    return _if_any(label, distinct("values", of, both(part, whole)), whole, bands=bands)


def _if_any(label: str, figure: Column, whole: str, *, bands: Bands = (), colour: str | None = None) -> Column:
    one = over(count("some", whole), count("as many", whole))
    return computed(label, times(figure, one), format=decimals(0), bands=bands, colour=colour)


def in_unit(figure: Column, divisor: float, unit: str, *, digits: int = 3) -> Column:
    """A figure in a unit whose round numbers an axis can be divided by, such as minutes instead of milliseconds."""
    return computed(
        figure.label,
        over(figure, divisor),
        format=decimals(digits, f" {unit}"),
        bands=figure.bands,
        colour=figure.colour,
    )


def by_outcome(*, per_minute: bool = False) -> tuple[Column, ...]:
    """Four series, one for each way in which an attempt ends. Their colours mean the same on every page."""
    return (
        count("finished", FINISHED, colour=GREEN, per_minute=per_minute),
        count("retried", RETRIED, colour=AMBER, per_minute=per_minute),
        count("dead", DEAD, colour=RED, per_minute=per_minute),
        count("taken away", TAKEN_AWAY, colour=GREY, per_minute=per_minute),
    )


# --- what they are grouped by ---


def by(of: str, label: str, *, size: int = 10, width: int | None = None) -> Column:
    """A row, bar or slice for each value of a field: the `size` that weigh most by the panel's first figure.

    Records without a value have no row: Kibana would call it "(missing value)". Where they count, group by a field that
    the data view computes for them (`kibana/views.py`). `width`: of a table's column, in pixels.
    """
    params = {"size": size}
    return Column(label=label, operation="terms", of=of, type="string", bucketed=True, params=params, width=width)


def spread(label: str, of: str) -> Column:
    """A bar for each range of a duration: the field's name says whether it is in milliseconds or nanoseconds.

    The ranges grow as durations do, each about three times the one before, and have names that people read.
    """
    unit = 1 if of.endswith("_ms") else 1_000_000
    edges = [0, *(ms for ms, _ in _SPANS)]
    ranges = [
        {"from": start * unit, "to": end * unit, "label": f"< {name}"}
        for start, (end, name) in zip(edges, _SPANS, strict=False)
    ]
    ranges.append({"from": edges[-1] * unit, "to": None, "label": f"≥ {_SPANS[-1][1]}"})
    params = {
        "type": "range",
        "ranges": ranges,
        "maxBars": "auto",
        "parentFormat": {"id": "range", "params": {"template": "arrow_right", "replaceInfinity": True}},
    }
    return Column(label=label, operation="range", of=of, type="string", bucketed=True, params=params)


_SPANS = (
    (10, "10 ms"), (30, "30 ms"), (100, "100 ms"), (300, "300 ms"), (1_000, "1 s"), (3_000, "3 s"), (10_000, "10 s"),
    (30_000, "30 s"), (60_000, "1 min"), (180_000, "3 min"), (600_000, "10 min"), (1_800_000, "30 min"),
    (3_600_000, "1 h"),
)  # fmt: skip


def over_time(label: str = "time") -> Column:
    params = {"interval": "auto", "includeEmptyRows": True, "dropPartials": False}
    return Column(label=label, operation="date_histogram", of=TIME, type="date", bucketed=True, params=params)
