"""What happened around the jobs: alarms, what operators did, and releases, on the same time axis as the charts."""

from __future__ import annotations

from ..colours import AMBER, BLUE, BY_OPERATOR, RED
from ..vega import CLOCK, Drawing, ask, derived, formula, mark, only, signal, unfold, value
from ..words import SERVICE, TIME, VERSION

_BEGIN, _END = {"%timefilter%": "min"}, {"%timefilter%": "max"}
# The answer has a bucket at each end of the range: so Vega knows the range.
_RANGE = {"date_histogram": {"field": TIME, "interval": {"%autointerval%": True}, "min_doc_count": 0,
                             "extended_bounds": {"min": _BEGIN, "max": _END}}}  # fmt: skip
# An alarm may have opened before the range began.
_ALARMS = {"range": {TIME: {"gte": {**_BEGIN, "shift": -7, "unit": "day"}, "lte": _END}}}
_LANES = ("alarms", "operators", "releases")
_LEFT, _HEIGHT = 72, 26


def _lane(name: str) -> str:
    return str(_LANES.index(name) * _HEIGHT + 4)


_ROOM = {"type": "window", "sort": {"field": "at"}, "ops": ["lead", "lag"], "fields": ["at", "at"],
         "as": ["next", "before"]}  # fmt: skip
_FITS = "scale('x', datum.next || end) - scale('x', datum.at) - 14"
# The newest stands at the right edge: its text goes to its left, where nothing else is.
_FITS_LEFT = (
    "!datum.next && scale('x', datum.at) - scale('x', datum.before || begin) > 250 "
    "&& width - scale('x', datum.at) < 200"
)
_SHOWN = f"({_FITS} > 60 || {_FITS_LEFT})"


def _text(source: str, middle: str, beside: int) -> dict[str, object]:
    left = f"({_FITS_LEFT})"
    return mark(
        "text", source, x=f"scale('x', datum.at) + ({left} ? -{beside} : {beside})", y=middle,
        align=f"{left} ? 'right' : 'left'", baseline=value("middle"), fontSize=value(11),
        limit=f"{left} ? 240 : {_FITS}", text=f"{_SHOWN} ? datum.text : ''",
    )  # fmt: skip


def _labelled(name: str, colour: str, shape: str) -> list[dict[str, object]]:
    """Marks at times, each with its text beside it as far as there is room before the next."""
    middle = f"{_lane(name)} + 9"
    return [
        mark("symbol", name, x="scale('x', datum.at)", y=middle, size=value(90), shape=value(shape),
             fill=value(colour), tooltip="datum.text", description="datum.text"),
        _text(name, middle, 9),
    ]  # fmt: skip


HAPPENED = Drawing(
    title="Meanwhile: alarms, what operators did, and releases",
    description="On the time axis of the page: alarms from their opening to their closing, actions of operators, and "
    "the first record of each release.",
    data=[
        ask(
            "found", "rq-job-*", chosen=False, size=0,
            aggs={
                "span": _RANGE,
                "services": {"terms": {"field": SERVICE, "size": 20}, "aggs": {
                    "versions": {"terms": {"field": VERSION, "size": 20, "order": {"first": "asc"}},
                                 "aggs": {"first": {"min": {"field": TIME}}}},
                }},
            },
        ),
        ask("told", "rq-alert-*", where=[_ALARMS], timed=False, chosen=False, size=500, sort=[{TIME: "asc"}]),
        ask("acts", "rq-audit-*", where=[{"term": {"audit.actor.type": "operator"}}], chosen=False, size=200,
            sort=[{TIME: "asc"}]),
        derived("range", "found", unfold("aggregations.span.buckets", "b"), formula("at", "datum.b.key")),
        derived(
            "steps", "told", unfold("hits.hits", "h"), formula("s", "datum.h._source"),
            formula("id", "datum.s.rq.alert.id"), formula("is_end", "datum.s.event.action == 'alarm-closed' ? 1 : 0"),
        ),
        derived("closed", "steps", only("datum.is_end"), formula("end", "toDate(datum.s.event.end)")),
        derived(
            "alarms", "steps", only("!datum.is_end"),
            {"type": "lookup", "from": "closed", "key": "id", "fields": ["id"], "values": ["end"]},
            formula("at", "max(begin, toDate(datum.s.event.start))"),
            formula("until", "datum.end ? datum.end : end"), only("datum.until >= begin"),
            formula("text", "datum.s.rule.name + ' ' + datum.s.rq.alert.subject"
                            " + (datum.end ? ', until ' + timeFormat(datum.end, '%H:%M') : ', open')"),
            formula("colour", f"datum.s.rq.alert.severity == 'critical' ? '{RED}' : '{AMBER}'"), _ROOM,
        ),
        derived(
            "operators", "acts", unfold("hits.hits", "h"), formula("s", "datum.h._source"),
            formula("at", "toDate(datum.s['@timestamp'])"),
            formula("which", "datum.s.audit.resource && datum.s.audit.resource.id || ''"),
            formula("text", "(datum.s.user ? datum.s.user.id : '?') + ': ' + datum.s.event.action + ' ' + datum.which"),
            _ROOM,
        ),
        derived(
            # The first version of the range was there before; the others began in it.
            "releases", "found", unfold("aggregations.services.buckets", "s"),
            {**unfold("s.versions.buckets", "v"), "index": "number"}, only("datum.number > 0"),
            formula("at", "datum.v.first.value"), formula("text", "datum.s.key + ' ' + datum.v.key"), _ROOM,
        ),
        {"name": "lanes", "values": [{"name": name, "y": int(_lane(name))} for name in _LANES]},
    ],
    signals=[
        signal("begin", "extent(pluck(data('range'), 'at'))[0] || now() - 86400000"),
        signal("end", "max(begin + 1, extent(pluck(data('range'), 'at'))[1] || now())"),
    ],
    scales=[
        {"name": "x", "type": "time", "domain": [{"signal": "begin"}, {"signal": "end"}],
         "range": [_LEFT, {"signal": "width"}]},
    ],
    axes=[{"orient": "bottom", "scale": "x", "tickCount": 8, "labelOverlap": True, "labelBound": True,
           "format": CLOCK}],
    marks=[
        mark("text", "lanes", x=value(0), y="datum.y + 9", baseline=value("middle"), fontSize=value(12),
             text="datum.name", opacity=value(0.7)),
        mark("rect", "alarms", x="scale('x', datum.at)", x2="max(scale('x', datum.at) + 4, scale('x', datum.until))",
             y=value(int(_lane("alarms"))), height=value(18), fill="datum.colour", fillOpacity=value(0.75),
             tooltip="datum.s.message", description="datum.text"),
        _text("alarms", f"{_lane('alarms')} + 9", 5),
        *_labelled("operators", BY_OPERATOR, "diamond"),
        *_labelled("releases", BLUE, "triangle-right"),
    ],
)  # fmt: skip
