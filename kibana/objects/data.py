"""Data views, saved searches and saved queries, as Kibana keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..lens import kql
from ..words import ACTION, ATTEMPT, CUSTOMER, DATASET, FUNCTION, HOST, JOB, OUTCOME, USER, WHAT_FAILED, WORKER
from .saved import PREFIX, TAGGED, Object, reference, saved, search_id, text, view_id

ONE_LINE = 1
"""Lines of a row in Discover. 0 was a single line until 9.1, which no longer knows it."""

WHOLE = -1
"""Rows as high as what they hold."""

TO_THE_SECOND, TO_THE_MILLISECOND = 165, 195
"""Pixels of Discover's column of times."""
WIDTHS = {FUNCTION: 170, ATTEMPT: 122}
"""Pixels of columns that would else be cut on a small screen, or take more than they need."""
SENTENCES = ("message", "error.message", "error.stack_trace")
BESIDE_SENTENCES = {
    ACTION: 130, OUTCOME: 106, DATASET: 85, USER: 100, CUSTOMER: 115, JOB: 120, WORKER: 105, HOST: 120,
    WHAT_FAILED: 160, "log.level": 92,
}  # fmt: skip
"""Pixels of columns beside a sentence, which gets what is left: all columns of one width would cut it first."""


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A keyword field, or one of another `type`, that Elasticsearch computes as it is asked. `script` is Painless."""

    script: str
    type: str = "keyword"

    def built(self) -> dict[str, Any]:
        return {"type": self.type, "script": {"source": self.script}}


@dataclass(frozen=True, kw_only=True)
class View:
    """A data view. Without `time` the time range of a page does not apply to it: what it holds is of now.

    `names`: what people call a field, in columns, filters and lists alike. `formats`: how its values are written.
    """

    name: str
    title: str
    indices: str
    time: str | None = "@timestamp"
    formats: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    computed: Mapping[str, Computed] = field(default_factory=dict)

    def built(self) -> Object:
        kept: dict[str, Any] = {
            "title": self.indices,
            "name": self.title,
            "fieldFormatMap": text(self.formats),
            "fieldAttrs": text({name: {"customLabel": label} for name, label in self.names.items()}),
        }
        if self.computed:
            kept["runtimeFieldMap"] = text({name: one.built() for name, one in self.computed.items()})
        if self.time:
            kept["timeFieldName"] = self.time
        return saved("index-pattern", view_id(self.name), kept)


@dataclass(frozen=True, kw_only=True)
class Search:
    """A saved search: columns of records, sorted. Alone in Discover, and as a panel.

    `since`: the time range with which it opens in Discover. On a page it goes by that of the page. `widths`: of
    columns, in pixels, unless they are those of WIDTHS and BESIDE_SENTENCES; the others share what is left.
    """

    name: str
    title: str
    description: str
    view: str
    columns: tuple[str, ...]
    where: str = ""
    sort: tuple[tuple[str, str], ...] = (("@timestamp", "desc"),)
    since: str = "now-7d"
    widths: Mapping[str, int] = field(default_factory=dict)
    lines: int = ONE_LINE

    def built(self) -> Object:
        index = "kibanaSavedObjectMeta.searchSourceJSON.index"
        of_time = TO_THE_MILLISECOND if self.view == "records" else TO_THE_SECOND
        usual = WIDTHS | (BESIDE_SENTENCES if set(SENTENCES) & set(self.columns) else {})
        widths = {"@timestamp": of_time, **{name: usual[name] for name in self.columns if name in usual}}
        widths |= self.widths
        source = {"query": kql(self.where), "filter": [], "indexRefName": index}
        kept = {
            "title": self.title,
            "description": self.description,
            "columns": list(self.columns),
            "sort": [list(one) for one in self.sort],
            "grid": {"columns": {name: {"width": width} for name, width in widths.items()}},
            "hideChart": False,
            "isTextBasedQuery": False,
            "rowHeight": self.lines,
            "timeRestore": True,
            "timeRange": {"from": self.since, "to": "now"},
            "kibanaSavedObjectMeta": {"searchSourceJSON": text(source)},
        }
        references = [reference("index-pattern", view_id(self.view), index), TAGGED]
        return saved("search", search_id(self.name), kept, references)


@dataclass(frozen=True, kw_only=True)
class Query:
    """A saved query: a part of KQL to pick in the search bar."""

    name: str
    title: str
    where: str

    def built(self) -> Object:
        kept = {"title": self.title, "description": "", "query": kql(self.where), "filters": []}
        return saved("query", f"{PREFIX}query-{self.name}", kept)
