"""What runs now, and how long that is for its function: from the last gauge of each worker."""

from __future__ import annotations

from ..colours import AMBER, RED, RUNS
from ..vega import Drawing, ask, derived, formula, mark, only, scaled, signal, span, unfold, value
from ..words import ACTION, DATASET, DURATION, FUNCTION, JOB, TIME

WORKER = "messaging.client.id"
ROWS = 15
LATE, OVERDUE = 1, 3  # times the 95th percentile: from then on amber, red
_NOW = {"range": {TIME: {"gte": "now-6m"}}}
_P95 = "datum.usual && datum.usual.p95.values['95.0'] ? datum.usual.p95.values['95.0'] / 1e6 : null"
_USUAL = f"(datum.p95 ? 'p95 ' + ({span('datum.p95')}) : 'never finished in 7 days')"
_DONE = "(datum.progress ? format(datum.progress.percent.value, '.0f') + ' % done, ' : '')"

RUNNING_NOW = Drawing(
    title="What runs now, and for how long compared with its function's p95 of 7 days? (now)",
    description="A bar for each running job: how long it has run. The black line is the 95th percentile of its "
    "function. The longest compared with that comes first.",
    data=[
        ask(
            "gauges", "rq-metric-*", where=[{"term": {DATASET: "rq.worker"}}, _NOW], timed=False, size=0,
            aggs={"workers": {
                "terms": {"field": WORKER, "size": 500},
                "aggs": {"last": {"top_hits": {"size": 1, "sort": [{TIME: "desc"}]}}},
            }},
        ),
        ask(
            "durations", "rq-job-*", where=[{"term": {ACTION: "job-finished"}}, {"range": {TIME: {"gte": "now-7d"}}}],
            timed=False, chosen=False, size=0,
            aggs={"functions": {"terms": {"field": FUNCTION, "size": 1000},
                                "aggs": {"p95": {"percentiles": {"field": DURATION, "percents": [95]}}}}},
        ),
        ask(
            "reports", "rq-job-*", where=[{"term": {ACTION: "job-progressed"}}, {"range": {TIME: {"gte": "now-1d"}}}],
            timed=False, chosen=False, size=0,
            aggs={"jobs": {"terms": {"field": JOB, "size": 1000, "order": {"last": "desc"}},
                           "aggs": {"last": {"max": {"field": TIME}},
                                    "percent": {"max": {"field": "rq.progress.percent"}}}}},
        ),
        derived("usual", "durations", unfold("aggregations.functions.buckets", "f"), formula("key", "datum.f.key"),
                formula("p95", "datum.f.p95")),
        derived("progress", "reports", unfold("aggregations.jobs.buckets", "j"), formula("key", "datum.j.key"),
                formula("percent", "datum.j.percent")),
        derived("workers", "gauges", unfold("aggregations.workers.buckets", "w"),
                formula("s", "datum.w.last.hits.hits[0]._source"), formula("at", "toDate(datum.s['@timestamp'])"),
                # All workers are sampled at one time: one that is not in the newest sample has ended.
                {"type": "joinaggregate", "ops": ["max"], "fields": ["at"], "as": ["newest"]},
                only("datum.newest - datum.at < 60000")),
        derived(
            "running", "workers", only("datum.s.rq.worker.busy_s != null"),
            formula("job", "datum.s.messaging.message.id"),
            formula("function", "datum.s.code ? datum.s.code.function.name : '?'"),
            # It has gone on since the gauge.
            formula("ms", "1000 * datum.s.rq.worker.busy_s + now() - datum.at"),
            {"type": "lookup", "from": "usual", "key": "key", "fields": ["function"], "as": ["usual"]},
            {"type": "lookup", "from": "progress", "key": "key", "fields": ["job"], "as": ["progress"]},
            formula("p95", _P95), formula("times", "datum.p95 ? datum.ms / datum.p95 : 0"),
            {"type": "window", "sort": {"field": ["times", "ms"], "order": ["descending", "descending"]},
             "ops": ["row_number"], "as": ["rank"]},
            only(f"datum.rank <= {ROWS}"),
            formula("text", f"({span('datum.ms')}) + ' (' + {_USUAL} + '), ' + {_DONE} + datum.w.key"),
            formula("colour", f"datum.times >= {OVERDUE} ? '{RED}' : datum.times >= {LATE} ? '{AMBER}' : '{RUNS}'"),
        ),
    ],
    signals=[
        signal("any", "length(data('running'))"),
        signal("bars_x", "width * 0.24"),
        signal("most", "max(1, extent(pluck(data('running'), 'ms'))[1] || 1)"),
    ],
    scales=[
        {"name": "y", "type": "band", "range": [0, {"signal": "min(height, 34 * any)"}], "paddingInner": 0.3,
         "domain": {"data": "running", "field": "job", "sort": {"op": "min", "field": "rank"}}},
        {"name": "x", "type": "linear", "domain": [0, {"signal": "most"}],
         "range": [{"signal": "bars_x"}, {"signal": "width * 0.62"}], "clamp": True},
    ],
    marks=[
        mark("text", "running", x=value(0), y=scaled("y", "job", band=0.5), baseline=value("middle"),
             fontSize=value(12), limit="bars_x - 10", text="peek(split(datum.function, '.'))",
             tooltip="datum.function + ', job ' + datum.job"),
        mark("rect", "running", x="bars_x", x2="max(bars_x + 2, scale('x', datum.ms))", y=scaled("y", "job"),
             height={"scale": "y", "band": 1}, fill="datum.colour",
             tooltip="datum.function + ': ' + datum.text + ', job ' + datum.job",
             description="datum.function + ': ' + datum.text + ', job ' + datum.job"),
        mark("rule", "running", x="scale('x', datum.p95 || 0)", y=scaled("y", "job"),
             y2="scale('y', datum.job) + bandwidth('y')", strokeWidth=value(2), stroke=value("#343741"),
             opacity="datum.p95 && datum.p95 <= most ? 1 : 0"),
        mark("text", "running", x="scale('x', datum.ms) + 8", y=scaled("y", "job", band=0.5), text="datum.text",
             baseline=value("middle"), fontSize=value(12), limit="width - scale('x', datum.ms) - 8"),
        mark("text", x=value(0), y=value(16), fontSize=value(13), limit="width",
             text="any ? '' : length(data('workers')) ? 'Nothing runs now.' : "
                  "'No worker was seen within the last 6 minutes. Does shipper watch run?'"),
    ],
)  # fmt: skip
