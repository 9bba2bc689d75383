"""Before and after a release: what became slower, what fails more, and which errors nobody had seen before it.

A release is a version that the records of a service have (`service.version`), and it begins with the first of them. Two
are compared: the one that began last within the time range, and the one before it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..colours import GREEN, GREY, RED
from ..vega import Drawing, ask, derived, formula, mark, only, scaled, signal, span, unfold, value
from ..words import ATTEMPTED_ACTIONS, ERROR, FAILED_ACTIONS, FUNCTION, JOB, SERVICE, TIME, VERSION, attempts_query

ENOUGH = 5
"""Executions on each side below which a comparison says little: such functions come last, and are pale."""
ROWS = 12
_ATTEMPTED, _FAILED = attempts_query(ATTEMPTED_ACTIONS), attempts_query(FAILED_ACTIONS)
_FIRST = {"min": {"field": TIME}}
NO_RELEASE = "No two releases to compare in this time range: choose a longer one."


def _versions(size: int, **aggs: object) -> dict[str, object]:
    """The versions of each service, the one that began last first."""
    versions = {
        "terms": {"field": VERSION, "size": size, "order": {"first": "desc"}}, "aggs": {"first": _FIRST, **aggs}
    }  # fmt: skip
    return {"services": {"terms": {"field": SERVICE, "size": 20}, "aggs": {"versions": versions}}}


_FUNCTIONS = {
    "terms": {"field": FUNCTION, "size": 200},
    "aggs": {"p95": {"percentiles": {"field": "event.duration", "percents": [95]}}, "failed": {"filter": _FAILED}},
}
_COLUMNS = {"name": 0.0, "values": 0.34, "middle": 0.68}  # where they begin, of the width
_BAR = 0.13  # of the width, to each side of the middle


def _comparison(
    title: str,
    description: str,
    measure: str,
    shown: Callable[[str], str],
    change: str,
    told: str,
    worse: str,
    better: str,
) -> Drawing:
    """A row for each function that both releases executed, the worst change first.

    `measure`: of one side's functions (`datum.f`). `shown`: an expression of a measure → that of how it is written.
    `change`: of `datum.before.measure` and `datum.measure`, more is worse. `told`: the change in words. `worse`,
    `better`: from which change on it is red or green.
    """
    before, after = shown("datum.before.measure"), shown("datum.measure")
    compared = f"{before} + ' → ' + {after}"
    runs = "datum.before.n + ' and ' + datum.n + ' executions'"
    return Drawing(
        title=title,
        description=description,
        data=[
            ask("found", "rq-job-*", where=[_ATTEMPTED], size=0, aggs=_versions(2, functions=_FUNCTIONS)),
            derived(
                "sides", "found", unfold("aggregations.services.buckets", "s"),
                {**unfold("s.versions.buckets", "v"), "index": "age"},
                formula("service", "datum.s.key"), formula("version", "datum.v.key"),
                formula("first", "datum.v.first.value"),
            ),
            derived(
                "functions", "sides", unfold("v.functions.buckets", "f"), formula("function", "datum.f.key"),
                formula("n", "datum.f.doc_count"), formula("measure", measure),
                formula("key", "datum.service + '\\n' + datum.function"),
                only("isValid(datum.measure) && !isNaN(datum.measure)"),
            ),
            derived("before", "functions", only("datum.age == 1")),
            derived(
                "compared", "functions", only("datum.age == 0"),
                {"type": "lookup", "from": "before", "key": "key", "fields": ["key"], "as": ["before"]},
                only("datum.before"), formula("change", change), only("isValid(datum.change)"),
                formula("enough", f"min(datum.n, datum.before.n) >= {ENOUGH} ? 1 : 0"),
                formula("told", told), formula("values", compared), formula("runs", runs),
                formula("colour", f"datum.change > {worse} ? '{RED}' : datum.change < {better} ? '{GREEN}' : '{GREY}'"),
                {"type": "window", "sort": {"field": ["enough", "change"], "order": ["descending", "descending"]},
                 "ops": ["row_number"], "as": ["rank"]},
                only(f"datum.rank <= {ROWS}"),
            ),
            derived("few", "compared", only("!datum.enough")),
            derived("earlier", "sides", only("datum.age == 1")),
            derived(
                "releases", "sides", only("datum.age == 0"),
                {"type": "lookup", "from": "earlier", "key": "service", "fields": ["service"], "as": ["earlier"]},
                only("datum.earlier"),
                formula("since", "timeFormat(datum.first, '%b %d %H:%M')"),
                formula("text", "datum.service + ' ' + datum.version + ', since ' + datum.since"
                                " + ', against ' + datum.earlier.version"),
            ),
        ],
        signals=[
            signal("headline", "length(data('releases')) ? join(pluck(data('releases'), 'text'), '; ') : "
                               f"\"{NO_RELEASE}\""),
            signal("values_x", f"width * {_COLUMNS['values']}"),
            signal("middle", f"width * {_COLUMNS['middle']}"),
            signal("most", "max(0.2, extent(pluck(data('compared'), 'change'))[1] || 0, "
                           "-(extent(pluck(data('compared'), 'change'))[0] || 0))"),
            {"name": "clicked", "on": [{
                "events": "@names:click",
                "update": f"kibanaAddFilter({{match_phrase: {{'{FUNCTION}': datum.function}}}}, 'rq-job-*', "
                          "datum.function)",
            }]},
        ],
        scales=[
            {"name": "y", "type": "band", "paddingInner": 0.25,
             "range": [36, {"signal": "min(height, 36 + 34 * length(data('compared')))"}],
             "domain": {"data": "compared", "field": "function", "sort": {"op": "min", "field": "rank"}}},
            {"name": "length", "type": "linear", "domain": [0, {"signal": "most"}],
             "range": [0, {"signal": f"width * {_BAR}"}]},
        ],
        marks=[
            mark("text", x=value(0), y=value(12), fontSize=value(13), fontWeight=value("bold"), limit="width",
                 text="headline", description="headline"),
            mark("text", x=value(0), y=value(28), fontSize=value(11), opacity=value(0.8), limit="width",
                 text=f"length(data('few')) ? 'pale: fewer than {ENOUGH} executions in one of them' : ''"),
            {**mark("text", "compared", x=value(0), y=scaled("y", "function", band=0.5), baseline=value("middle"),
                    fontSize=value(12), opacity="datum.enough ? 1 : 0.8", limit="values_x - 10",
                    # From its last part: what tells functions apart stands there.
                    text="peek(split(datum.function, '.'))", tooltip="datum.function + ': ' + datum.runs",
                    cursor=value("pointer")), "name": "names"},
            mark("text", "compared", x="values_x", y=scaled("y", "function", band=0.5), baseline=value("middle"),
                 fontSize=value(12), opacity="datum.enough ? 1 : 0.8", text="datum.values", tooltip="datum.runs",
                 limit="middle - values_x"),
            mark("rect", "compared", y=scaled("y", "function"), height={"scale": "y", "band": 1},
                 x="datum.change < 0 ? middle - scale('length', -datum.change) : middle",
                 x2="datum.change < 0 ? middle : middle + max(2, scale('length', datum.change))",
                 fill="datum.colour", fillOpacity="datum.enough ? 1 : 0.4",
                 tooltip="datum.function + ': ' + datum.values + ', ' + datum.told + ', ' + datum.runs",
                 description="datum.function + ': ' + datum.values + ', ' + datum.told + ', ' + datum.runs"),
            mark("text", "compared", baseline=value("middle"), fontSize=value(12), fontWeight=value("bold"),
                 y=scaled("y", "function", band=0.5), text="datum.told",
                 x="datum.change < 0 ? middle + 6 : middle + max(2, scale('length', datum.change)) + 6",
                 fill="datum.colour", opacity="datum.enough ? 1 : 0.8"),
        ],
    )  # fmt: skip


def _signed(expression: str) -> str:
    return f"(({expression}) > 0 ? '+' : '') + format({expression}, '.0f')"


SLOWER = _comparison(
    "What became slower? (p95 of durations, the worst change first)",
    "For each function, the 95th percentile of its durations in the release before and in the newest one, and the "
    "change in percent. The worst comes first, functions with few executions last.",
    measure="datum.f.p95.values['95.0'] / 1e6",
    shown=lambda ms: f"({span(ms)})",
    change="datum.before.measure ? datum.measure / datum.before.measure - 1 : null",
    told=_signed("100 * datum.change") + " + ' %'",
    worse="0.1",
    better="-0.1",
)
FAILS_MORE = _comparison(
    "What fails more? (failure rate, the worst change first)",
    "For each function, the share of failed attempts in the release before and in the newest one, and the change in "
    "percentage points. The worst comes first, functions with few executions last.",
    measure="datum.f.failed.doc_count / datum.f.doc_count",
    shown=lambda rate: f"format({rate}, '.1%')",
    change="datum.measure - datum.before.measure",
    told="(datum.change > 0 ? '+' : '') + format(100 * datum.change, '.1f') + ' points'",
    worse="0.01",
    better="-0.01",
)


_ERRORS = {
    "terms": {"field": ERROR, "size": 100, "order": {"first": "desc"}},
    "aggs": {
        "first": _FIRST,
        "functions": {"terms": {"field": FUNCTION, "size": 3}},
        "jobs": {"cardinality": {"field": JOB}},
        "customers": {"cardinality": {"field": "organization.id"}},
    },
}
_SERVICES = _versions(2)
_SERVICES["services"]["aggs"]["errors"] = _ERRORS  # type: ignore[index]

NEW_ERRORS = Drawing(
    title="Which errors were first seen since the last release?",
    description="Errors whose first record of the time range came after the newest release had begun.",
    data=[
        ask("found", "rq-job-*", where=[_ATTEMPTED], size=0, aggs=_SERVICES),
        derived(
            "errors", "found", unfold("aggregations.services.buckets", "s"),
            only("length(datum.s.versions.buckets) > 1"),
            formula("release", "datum.s.versions.buckets[0]"), unfold("s.errors.buckets", "e"),
            only("datum.e.first.value >= datum.release.first.value"),
            {"type": "window", "sort": {"field": "e.jobs.value", "order": "descending"}, "ops": ["row_number"],
             "as": ["rank"]},
            only(f"datum.rank <= {ROWS}"),
            formula("where", "join(pluck(datum.e.functions.buckets, 'key'), ', ')"),
            formula("much", "datum.e.jobs.value + (datum.e.jobs.value == 1 ? ' job' : ' jobs') + ', '"
                            " + datum.e.customers.value + (datum.e.customers.value == 1 ? ' customer' : ' customers')"),
            formula("since", f"({span('datum.e.first.value - datum.release.first.value')})"
                             " + ' after ' + datum.s.key + ' ' + datum.release.key"),
        ),
    ],
    signals=[
        signal("any", "length(data('errors'))"),
        {"name": "clicked", "on": [{
            "events": "@names:click",
            "update": f"kibanaAddFilter({{match_phrase: {{'{ERROR}': datum.e.key}}}}, 'rq-job-*', datum.e.key)",
        }]},
    ],
    scales=[
        {"name": "y", "type": "band", "range": [0, {"signal": "min(height, 44 * any)"}],
         "domain": {"data": "errors", "field": "e.key", "sort": {"op": "min", "field": "rank"}}},
    ],
    marks=[
        {**mark("text", "errors", x=value(0), y="scale('y', datum.e.key) + 16", fontSize=value(13),
                fontWeight=value("bold"), fill=value(RED), text="datum.e.key + '  (' + datum.much + ')'", limit="width",
                cursor=value("pointer"), tooltip="datum.e.key + ' in ' + datum.where",
                description="datum.e.key + ' in ' + datum.where + ': ' + datum.much + ', ' + datum.since"),
         "name": "names"},
        mark("text", "errors", x=value(0), y="scale('y', datum.e.key) + 33", fontSize=value(12), limit="width",
             text="'in ' + datum.where + ', first ' + datum.since"),
        mark("text", x=value(0), y=value(16), fontSize=value(13), limit="width",
             text="any ? '' : 'None: no release began in this time range, or nothing new failed since.'"),
    ],
)  # fmt: skip
