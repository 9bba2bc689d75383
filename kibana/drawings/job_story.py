"""One job: what became of it, and its attempts as bars to scale."""

from __future__ import annotations

from shipper.state import CLOSING_ACTIONS, WAITING_ACTIONS

from ..colours import DUE_LATER, GREY, MEANINGS, RUNS, WAITS
from ..vega import (
    CLOCK,
    ENDINGS,
    MONOSPACE,
    Drawing,
    ask,
    derived,
    either,
    formula,
    mark,
    only,
    scaled,
    signal,
    span,
    unfold,
    value,
)
from ..words import ACTION, JOB, TIME

JOBS = "rq-job-*"
NO_ONE_JOB = "Choose one job above, or follow a job's id from another page."
ONE_JOB = {"jobs": {"cardinality": {"field": JOB}}}
"""What a search asks for so that `is_one` can tell whether a single job is chosen."""
ROWS = 8  # attempts that are drawn, the newest
TRACE_LINES = 16  # of a stack trace, the innermost

# A job that could not get into a critical section goes on unless it was put back: then it has a time for that.
_ENDED = (
    f"indexof({sorted(CLOSING_ACTIONS)!s}, datum.action) >= 0 && (datum.action != 'job-busy' || datum.s.rq.retry_at)"
)
_NOT_STARTED = f"indexof({sorted(WAITING_ACTIONS)!s}, datum.action) >= 0"
_COLOURS = {action.removeprefix("job-"): colour for action, colour in ENDINGS.items()}
_COLOURS |= {"waited": WAITS, "paused until the next attempt": DUE_LATER, "running": RUNS}


def is_one(data: str) -> str:
    """Whether a search, by its name, found records of a single job."""
    return f"data('{data}')[0].aggregations && data('{data}')[0].aggregations.jobs.value == 1"


def _bar(name: str, where: str, start: str, end: str, kind: str) -> dict[str, object]:
    """Bars of one kind: from the records that match, each from one time to another."""
    return derived(
        name, "records", only(where), formula("from", start), formula("to", end), formula("kind", kind),
        {"type": "project", "fields": ["row", "from", "to", "kind"]},
    )  # fmt: skip


ATTEMPTS = Drawing(
    title="Its attempts: waiting and running, to scale",
    description="For each attempt of the job, a bar for each time that it waited, ran, or paused before the next.",
    data=[
        ask(
            "found", JOBS, size=500, sort=[{TIME: "asc"}], aggs=ONE_JOB,
            _source=[TIME, "event.action", "event.start", "event.end", "event.reason", "error.type", "rq.lag_ms",
                     "rq.execution_id", "rq.attempt", "rq.retry_at", "rq.enqueued_at", "rq.started_at"],
        ),
        derived(
            "records", "found", only("datum.aggregations && datum.aggregations.jobs.value == 1"),
            unfold("hits.hits", "hit"),
            formula("s", "datum.hit._source"), formula("action", "datum.s.event.action"),
            formula("at", "toDate(datum.s['@timestamp'])"), formula(
                "start", "toDate(datum.action == 'job-busy' ? datum.s.rq.started_at : datum.s.event.start)"
            ),
            formula("end", "datum.s.event.end ? toDate(datum.s.event.end) : datum.at"),
            formula("is_end", f"{_ENDED} ? 1 : 0"),
            formula("row", "datum.s.rq.execution_id || 'not started'"),
            formula("lag", "datum.action == 'job-started' ? datum.s.rq.lag_ms : null"),
            formula("ran", "datum.is_end && datum.start ? datum.end - datum.start : null"),
            formula("attempt", "datum.s.rq.attempt || 1"),
            {"type": "joinaggregate", "groupby": ["row"], "ops": ["max"], "fields": ["is_end"], "as": ["row_ended"]},
            {"type": "joinaggregate", "ops": ["max"], "fields": ["at"], "as": ["last_at"]},
        ),
        _bar("waits", "datum.lag != null", "datum.at - datum.lag", "datum.at", "'waited'"),
        _bar("runs", "datum.ran != null", "datum.start", "datum.end", "slice(datum.action, 4)"),
        _bar("running", "datum.action == 'job-started' && !datum.row_ended", "datum.at", "now()", "'running'"),
        _bar("never", "datum.is_end && !datum.start", "toDate(datum.s.rq.enqueued_at) || datum.at", "datum.at",
             "'waited'"),
        _bar("waiting", f"{_NOT_STARTED} && datum.at == datum.last_at", "datum.at", "now()", "'waited'"),
        _bar("pauses", "datum.is_end && datum.s.rq.retry_at", "datum.end",
             "toDate(datum.s.rq.retry_at)", "'paused until the next attempt'"),
        derived(
            "all bars", ["waits", "runs", "running", "never", "waiting", "pauses"],
            {"type": "joinaggregate", "groupby": ["row"], "ops": ["min"], "fields": ["from"], "as": ["row_from"]},
            {"type": "window", "sort": {"field": "row_from"}, "ops": ["dense_rank"], "as": ["rank"]},
            {"type": "joinaggregate", "ops": ["max"], "fields": ["rank"], "as": ["rows"]},
            only(f"datum.rank > datum.rows - {ROWS}"),
        ),
        derived("kinds", "all bars", {"type": "aggregate", "groupby": ["kind"]}),
        # What the records of a row say of it, below the row's own place in time.
        derived(
            "told", "records",
            {"type": "aggregate", "groupby": ["row"], "ops": ["max", "max", "argmax", "max"],
             "fields": ["lag", "ran", "at", "attempt"], "as": ["lag", "ran", "last", "attempt"]},
        ),
        derived(
            "rows", "all bars",
            {"type": "aggregate", "groupby": ["row"], "ops": ["min", "max", "min"], "fields": ["from", "to", "rank"],
             "as": ["from", "to", "rank"]},
            {"type": "lookup", "from": "told", "key": "row", "fields": ["row"],
             "values": ["lag", "ran", "last", "attempt"]},
            formula("waited_ms", "datum.lag != null ? datum.lag : datum.ran == null ? datum.to - datum.from : null"),
            formula("why", "datum.last.s.error && datum.last.s.error.type || datum.last.s.event.reason || ''"),
            formula("ended", "datum.last.is_end ? slice(datum.last.action, 4) : "
                             "datum.row == 'not started' ? 'still waiting' : 'still running'"),
            formula("text", "(datum.row == 'not started' ? 'Not started' : 'Attempt ' + datum.attempt)"
                            f" + (datum.waited_ms == null ? '' : ': waited ' + ({span('datum.waited_ms')}))"
                            f" + (datum.ran == null ? '' : ', ran ' + ({span('datum.ran')}))"
                            " + ', ' + datum.ended + (datum.why ? ' (' + datum.why + ')' : '')"),
        ),
    ],
    signals=[signal("chosen", "length(data('records')) > 0"), signal("kinds", "pluck(data('kinds'), 'kind')")],
    scales=[
        {"name": "x", "type": "time", "range": "width",
         "domain": {"fields": [{"data": "all bars", "field": "from"}, {"data": "all bars", "field": "to"}]}},
        {"name": "y", "type": "band", "range": "height", "paddingInner": 0.1,
         "domain": {"data": "rows", "field": "row", "sort": {"op": "min", "field": "rank"}}},
        {"name": "colour", "type": "ordinal", "domain": list(_COLOURS), "range": list(_COLOURS.values())},
    ],
    axes=[{"orient": "bottom", "scale": "x", "tickCount": 6, "labelOverlap": True, "labelBound": True,
           "format": {**CLOCK, "seconds": "%H:%M:%S"}}],
    legends=[{"fill": "colour", "orient": "top", "direction": "horizontal", "symbolType": "square",
              "values": {"signal": "kinds"}}],
    marks=[
        mark("rect", "all bars", x=scaled("x", "from"),
             # A run of milliseconds beside a wait of hours is seen, too.
             x2="max(scale('x', datum.to), scale('x', datum.from) + 3)",
             y="scale('y', datum.row) + bandwidth('y') * 0.45", height="bandwidth('y') * 0.5",
             fill=scaled("colour", "kind"), tooltip=f"datum.kind + ': ' + ({span('datum.to - datum.from')})",
             description=f"datum.kind + ': ' + ({span('datum.to - datum.from')})"),
        mark("text", "rows", x=value(0), y="scale('y', datum.row) + bandwidth('y') * 0.4",
             baseline=value("bottom"), fontSize=value(12), text="datum.text", limit="width", description="datum.text"),
        mark("text", x=value(8), y=value(20), fontSize=value(14), limit="width",
             text=f"chosen ? '' : \"{NO_ONE_JOB}\""),
    ],
)  # fmt: skip


# Elasticsearch puts the arguments into one text: Vega cannot tell the names of an object.
_ARGUMENTS = (
    "def rq = params._source.rq; def parts = new ArrayList(); "
    "if (rq instanceof Map && rq.args instanceof Map) { for (v in rq.args.values()) { parts.add('' + v) } } "
    "if (rq instanceof Map && rq.kwargs instanceof Map) "
    "{ for (e in rq.kwargs.entrySet()) { parts.add(e.getKey() + '=' + e.getValue()) } } "
    "if (parts.size() > 0) { emit(String.join(', ', parts)) }"
)


def _latest(name: str, *having: str) -> dict[str, object]:
    """The newest record that has one of these fields."""
    where = [{"bool": {"should": [{"exists": {"field": field}} for field in having]}}] if having else []
    return ask(
        name, JOBS, where=where, size=1, sort=[{TIME: "desc"}],
        aggs=ONE_JOB, runtime_mappings={"shown_arguments": {"type": "keyword", "script": {"source": _ARGUMENTS}}},
        fields=["shown_arguments"],
    )  # fmt: skip


_CAN_RUN_AGAIN = "indexof(['job-dead', 'job-stopped', 'job-canceled'], last.event.action) >= 0"


def again(job: str) -> str:
    """An expression: the command that runs a job again, for a shell. A job's id may hold anything."""
    plain = f"test(regexp('^[A-Za-z0-9][A-Za-z0-9_.:@-]*$'), {job})"
    quoted = f"\"'\" + replace({job}, regexp(\"'\", 'g'), \"'\\\\''\") + \"'\""
    return f"({plain} ? 'shipper job --requeue ' + {job} : 'shipper job --requeue -- ' + {quoted})"


def _line(label: str, expression: str) -> str:
    return f"{{label: '{label}', text: {expression}}}"


STATES = {action: action.removeprefix("job-") for action in ENDINGS} | {
    "job-enqueued": "waiting", "job-scheduled": "scheduled", "job-deferred": "waiting for other jobs",
    "job-started": "running", "job-progressed": "running", "job-busy": "waiting for its section",
    "job-rate-limited": "waiting for its rate limit", "job-refused": "refused",
}  # fmt: skip
_FAULT = "fault ? fault.type + (fault.message ? ': ' + split(fault.message, '\\n')[0] : '') : ''"
_STATE_COLOURS = {STATES[action]: colour for action, colour in MEANINGS[ACTION].items()}
_LINES = ", ".join(
    (
        _line("function", "last.code ? last.code.function.name : '-'"),
        _line("queue", "last.messaging.destination.name || '-'"),
        _line("customer", "last.organization ? last.organization.id : '-'"),
        _line("user", "last.user ? last.user.id : '-'"),
        _line("release", "(last.service.name || '') + ' ' + (last.service.version || '')"),
        _line("worker", "last.messaging.client ? last.messaging.client.id : '-'"),
        _line("arguments", "shown"),
        _line("job", "last.messaging.message.id"),
        _line("run it again", f"({_CAN_RUN_AGAIN}) ? {again('last.messaging.message.id')} : '-'"),
    )
)

STORY = Drawing(
    title="What became of it?",
    description="The job's state, its error with the end of the stack trace, and whom and what it was for.",
    data=[
        _latest("newest"), _latest("faults", "error.type"), _latest("told", "rq.args", "rq.kwargs"),
        {"name": "facts", "transform": [
            {"type": "sequence", "start": 0, "stop": {"signal": "length(lines)"}, "as": "n"},
            formula("label", "lines[datum.n].label"), formula("text", "lines[datum.n].text"),
        ]},
    ],
    signals=[
        signal("one", is_one("newest")),
        signal("last", "one ? data('newest')[0].hits.hits[0]._source : null"),
        signal("fault", "one && data('faults')[0].hits.hits[0] ? data('faults')[0].hits.hits[0]._source.error : null"),
        signal("told_hit", "one && data('told')[0].hits.hits[0] ? data('told')[0].hits.hits[0] : null"),
        signal("shown", "told_hit && told_hit.fields ? told_hit.fields.shown_arguments[0] : '-'"),
        signal("state", f"one ? {either(STATES, 'last.event.action', 'unknown')} : ''"),
        signal("lines", f"one ? [{_LINES}] : []"),
        signal("trace", "fault && fault.stack_trace "
                        f"? slice(split(trim(fault.stack_trace), '\\n'), -{TRACE_LINES}) : []"),
        signal("half", "floor(width * 0.4)"),
    ],
    marks=[
        # In the colour of text, with a spot of the state's own: yellow letters on white cannot be read.
        mark("symbol", x=value(9), y=value(10), size=value(260), opacity="one ? 1 : 0",
             fill=either(_STATE_COLOURS, "state", GREY)),
        mark("text", x="one ? 26 : 0", y=value(18), fontSize=value(22), fontWeight=value("bold"), limit="width - 26",
             text=f"one ? upper(slice(state, 0, 1)) + slice(state, 1) : \"{NO_ONE_JOB}\"", description="state"),
        mark("text", x=value(0), y=value(42), fontSize=value(14), limit="width", description=_FAULT,
             text=_FAULT),
        mark("text", "facts", x=value(0), y="68 + datum.n * 18", fontSize=value(12), opacity=value(0.7),
             text="datum.label"),
        mark("text", "facts", x=value(90), y="68 + datum.n * 18", fontSize=value(12), limit="half - 100",
             text="datum.text", tooltip="datum.text", description="datum.label + ': ' + datum.text"),
        mark("text", x="half", y=value(70), fontSize=value(11), font=value(MONOSPACE), lineHeight=value(15),
             limit="width - half", text="trace", description="join(trace, '\\n')"),
    ],
)  # fmt: skip
