"""Which functions' jobs fill Redis, from the newest sample of its keys."""

from __future__ import annotations

from ..colours import BLUE
from ..vega import Drawing, ask, derived, formula, mark, only, scaled, signal, unfold, value
from ..words import DATASET, TIME

_BYTES = (
    "{0} < 1024 ? format({0}, '.0f') + 'B' : {0} < 1048576 ? format({0} / 1024, '.1f') + 'KB' : "
    "{0} < 1073741824 ? format({0} / 1048576, '.1f') + 'MB' : format({0} / 1073741824, '.2f') + 'GB'"
)

FATTEST = Drawing(
    title="Which functions' jobs fill it? (newest sample)",
    description="A bar for each function: the memory of its jobs in Redis, estimated from a sample of its keys.",
    data=[
        ask("newest", "rq-metric-*", size=1, sort=[{TIME: "desc"}],
            where=[{"term": {DATASET: "rq.redis"}}, {"exists": {"field": "rq.redis.fattest.bytes"}}]),
        derived(
            "functions", "newest", only("datum.hits.hits[0]"),
            formula("rows", "datum.hits.hits[0]._source.rq.redis.fattest"),
            unfold("rows", "f"), formula("function", "datum.f.function"), formula("bytes", "datum.f.bytes"),
            formula("text", f"({_BYTES.format('datum.bytes')}) + ', ' + datum.f.jobs"
                            " + (datum.f.jobs == 1 ? ' job' : ' jobs')"),
        ),
    ],
    signals=[signal("any", "length(data('functions'))"), signal("bars_x", "width * 0.34"),
             signal("most", "max(1, extent(pluck(data('functions'), 'bytes'))[1] || 1)")],
    scales=[
        {"name": "y", "type": "band", "range": [0, {"signal": "min(height, 36 * any)"}], "paddingInner": 0.3,
         "domain": {"data": "functions", "field": "function", "sort": {"op": "max", "field": "bytes",
                                                                     "order": "descending"}}},
        {"name": "x", "type": "linear", "domain": [0, {"signal": "most"}],
         "range": [{"signal": "bars_x"}, {"signal": "width * 0.68"}]},
    ],
    marks=[
        mark("text", "functions", x=value(0), y=scaled("y", "function", band=0.5), baseline=value("middle"),
             fontSize=value(12), limit="bars_x - 10", text="peek(split(datum.function, '.'))",
             tooltip="datum.function"),
        mark("rect", "functions", x="bars_x", x2="max(bars_x + 2, scale('x', datum.bytes))", y=scaled("y", "function"),
             height={"scale": "y", "band": 1}, fill=value(BLUE), tooltip="datum.function + ': ' + datum.text",
             description="datum.function + ': ' + datum.text"),
        mark("text", "functions", x="scale('x', datum.bytes) + 8", y=scaled("y", "function", band=0.5),
             baseline=value("middle"), fontSize=value(12), text="datum.text"),
        mark("text", x=value(0), y=value(16), fontSize=value(13), limit="width",
             text="any ? '' : 'Redis was not sampled in this time range. Does shipper watch run?'"),
    ],
)  # fmt: skip
