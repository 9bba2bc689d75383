"""Panels as Lens keeps them: columns, which are questions to Elasticsearch, and a picture of them.

What Lens keeps is not validated by an import, so a mistake shows only as a broken panel. The shapes here are those of
Kibana's own types (kbn-lens-common: datasources and visualizations), and tests/unit/test_kibana_objects.py holds the
built file against each rule that Kibana would otherwise check in front of the user.

    columns.py     what is counted and measured, and what that is grouped by
    formulas.py    figures that are computed from others
    panels.py      a panel as a whole, and the order of its columns
    pictures.py    large figures, tables, bars, lines, donuts
"""

from __future__ import annotations

from .columns import (
    PERCENT,
    PERCENTILES,
    RECORDS,
    Column,
    among,
    by,
    by_outcome,
    computed,
    count,
    decimals,
    different,
    distinct,
    earliest,
    in_unit,
    kql,
    largest,
    latest,
    mean,
    newest,
    over_time,
    ratio,
    share,
    smallest,
    spread,
    total,
)
from .formulas import less, over, times
from .panels import SORTABLE, Annotation, Panel, attributes
from .pictures import chart, donut, figure, lines, ranking, table

__all__ = [
    "PERCENT", "PERCENTILES", "RECORDS", "SORTABLE", "Annotation", "Column", "Panel", "among", "attributes", "by",
    "by_outcome",
    "chart", "computed", "count", "decimals", "different", "distinct", "donut", "earliest", "figure", "in_unit",
    "kql", "largest", "latest", "less", "lines", "mean", "newest", "over", "over_time", "ranking", "ratio",
    "share", "smallest", "spread", "table", "times", "total",
]  # fmt: skip
