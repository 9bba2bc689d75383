"""The jobs that one job has enqueued, and those that wait for it.

They are found by what their records say of where they come from, so what is chosen above the page, a job's id, has to
be compared with other fields. Each search of this drawing computes the field anew, which Elasticsearch prefers to the
mapped one. A data view could not: Kibana passes over what it computes if a field of that name is mapped
(data_views/common/data_views, getRuntimeMappings).
"""

from __future__ import annotations

from ..vega import Drawing, ask, derived, either, formula, mark, only, signal, unfold, value
from ..words import ACTION, DEPENDS_ON, FUNCTION, JOB, PARENT, ROOT, TIME
from .job_story import JOBS, NO_ONE_JOB, ONE_JOB, STATES, is_one

ROWS = 10
NOBODY = "It has enqueued no job in this time range, and none waits for it."
_OWN = "own_id"
_COMES_FROM = " ".join(
    f"if (doc.containsKey('{field}')) {{ for (one in doc['{field}']) {{ emit(one) }} }}"
    for field in (PARENT, ROOT, DEPENDS_ON)
)
_ID = (
    "if (params._source.messaging != null && params._source.messaging.message != null) "
    "{ emit(params._source.messaging.message.id) }"
)
_COLUMNS = {"job": 0.0, "function": 0.26, "last": 0.5, "at": 0.62, "enqueued by": 0.76}
"""Where they begin, of the width: an id is a UUID."""
_TOP, _ROW = 16, 20  # pixels


def _column(name: str, text: str, room: float, tooltip: str = "") -> list[dict[str, object]]:
    """A heading and a text for each job. `room`: of the width."""
    place, limit = f"width * {_COLUMNS[name]}", f"width * {room} - 10"
    return [
        mark("text", x=place, y=value(_TOP), fontSize=value(12), fontWeight=value("bold"), limit=limit,
             text=f"any ? '{name}' : ''"),
        mark("text", "jobs", x=place, y=f"{_TOP} + datum.rank * {_ROW}", fontSize=value(12), limit=limit, text=text,
             tooltip=tooltip or text),
    ]  # fmt: skip


RELATIVES = Drawing(
    title="Which jobs has it enqueued, or do wait for it?",
    description="A line for each such job, the latest first: its id, function, last record, and who enqueued it.",
    data=[
        ask("chosen", JOBS, size=0, aggs=ONE_JOB),
        ask(
            "found", JOBS, size=0,
            where=[{"bool": {"should": [{"exists": {"field": field}} for field in (PARENT, ROOT, DEPENDS_ON)]}}],
            runtime_mappings={
                JOB: {"type": "keyword", "script": {"source": _COMES_FROM}},
                _OWN: {"type": "keyword", "script": {"source": _ID}},
            },
            aggs={
                "all": {"cardinality": {"field": _OWN}},
                "jobs": {
                    "terms": {"field": _OWN, "size": ROWS, "order": {"at": "desc"}},
                    "aggs": {
                        "at": {"max": {"field": TIME}},
                        "last": {"top_hits": {"size": 1, "sort": [{TIME: "desc"}],
                                              "_source": [ACTION, FUNCTION, PARENT]}},
                    },
                },
            },
        ),
        derived(
            "jobs", "found", only("one"), unfold("aggregations.jobs.buckets", "b"),
            formula("s", "datum.b.last.hits.hits[0]._source"), formula("job", "datum.b.key"),
            formula("function", "datum.s.code ? datum.s.code.function.name : '-'"),
            formula("last", either(STATES, "datum.s.event.action", "unknown")),
            formula("at", "timeFormat(datum.b.at.value, '%Y-%m-%d %H:%M:%S')"),
            formula("parent", "datum.s.rq && datum.s.rq.parent_job_id || '-'"),
            {"type": "window", "ops": ["row_number"], "as": ["rank"]},
        ),
    ],
    signals=[
        signal("one", is_one("chosen")),
        signal("any", "length(data('jobs'))"),
        signal("more", "any ? data('found')[0].aggregations.all.value - any : 0"),
    ],
    marks=[
        *_column("job", "datum.job", 0.26),
        *_column("function", "peek(split(datum.function, '.'))", 0.24, tooltip="datum.function"),
        *_column("last", "datum.last", 0.12),
        *_column("at", "datum.at", 0.14),
        *_column("enqueued by", "datum.parent", 0.24),
        # For the reader of a screen: each job in one sentence.
        mark("rect", "jobs", x=value(0), y=f"{_TOP} + datum.rank * {_ROW} - 14", x2="width", height=value(_ROW),
             opacity=value(0), description="datum.job + ': ' + datum.function + ', ' + datum.last"
                                           " + ', enqueued by ' + datum.parent"),
        mark("text", x=value(0), y=f"{_TOP} + (any + 1) * {_ROW}", fontSize=value(12), opacity=value(0.8),
             text="more > 0 ? 'and ' + more + ' older ones' : ''"),
        mark("text", x=value(0), y=value(_TOP), fontSize=value(13), limit="width",
             text=f"!one ? \"{NO_ONE_JOB}\" : any ? '' : '{NOBODY}'"),
    ],
)  # fmt: skip
