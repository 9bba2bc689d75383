"""Data views: which indices a panel asks, what people call the fields, and how their values are written."""

from __future__ import annotations

from typing import Any

from . import names
from .dashboards.customer import CUSTOMER_PAGE
from .dashboards.job import JOB_PAGE
from .objects import Computed, View, to_value
from .words import (
    AGAIN,
    AGAIN_CUSTOMER,
    AGAIN_QUEUE,
    CUSTOMER,
    DEPENDS_ON,
    DUE,
    DURATION,
    FUNCTION,
    JOB,
    KINDS_OF_KEYS,
    LAG,
    MAX_RSS,
    OF_OBJECTIVE,
    PARENT,
    PAYLOAD,
    REASON_OR_NONE,
    RESOURCE_OR_NONE,
    ROOT,
    TIME,
    WHAT_FAILED,
)

_BYTES = {"id": "bytes"}
# A function's name from its last part: shop.payments.charge_card is written s.p.charge_card, so that two functions of
# one name can still be told apart. Filters and exports have the whole name.
_FUNCTION = {"id": "string", "params": {"transform": "short"}}
_SECONDS = {"id": "date", "params": {"pattern": "YYYY-MM-DD HH:mm:ss"}}
_MILLISECONDS = {"id": "date", "params": {"pattern": "YYYY-MM-DD HH:mm:ss.SSS"}}


def _duration(unit: str) -> dict[str, Any]:
    """A span of time in the unit that reads best: 346 ms, 1.5 min."""
    params = {
        "inputFormat": unit,
        "outputFormat": "humanizePrecise",
        "outputPrecision": 1,
        "useShortSuffix": True,
        "includeSpaceWithSuffix": True,
    }
    return {"id": "duration", "params": params}


_CUSTOMER = to_value(CUSTOMER_PAGE, CUSTOMER)
_COMMON: dict[str, dict[str, Any]] = {
    TIME: _SECONDS,
    JOB: to_value(JOB_PAGE, JOB),
    CUSTOMER: _CUSTOMER,
    FUNCTION: _FUNCTION,
    DURATION: _duration("nanoseconds"),
}
_JOBS = {
    **_COMMON,
    PARENT: _COMMON[JOB],
    ROOT: _COMMON[JOB],
    DEPENDS_ON: _COMMON[JOB],
    "rq.retry_at": _SECONDS,
    "rq.scheduled_at": _SECONDS,
    LAG: _duration("milliseconds"),
    "rq.total_ms": _duration("milliseconds"),
    PAYLOAD: _BYTES,
    "rq.payload_stored_bytes": _BYTES,
    "rq.result_bytes": _BYTES,
}
_SHIPPER: dict[str, dict[str, Any]] = {
    TIME: _SECONDS,
    "shipper.backlog_bytes": _BYTES,
    "shipper.bytes_per_s": _BYTES,
    "shipper.memory_bytes": _BYTES,
    "shipper.backlog_age_s": _duration("seconds"),
    "shipper.lag_ms": _duration("milliseconds"),
    "shipper.retrying_s": _duration("seconds"),
}
_GAUGES: dict[str, dict[str, Any]] = {
    TIME: _SECONDS,
    JOB: _COMMON[JOB],
    "rq.queue.oldest_job_id": _COMMON[JOB],
    FUNCTION: _FUNCTION,
    "rq.redis.fattest.function": _FUNCTION,
    OF_OBJECTIVE: {"id": "percent", "params": {"pattern": "0%"}},
    "rq.queue.utilization": {"id": "percent", "params": {"pattern": "0%"}},
    **{name: _duration("seconds") for name in names.GAUGES if name.endswith("_s") and not name.endswith("_per_s")},
    **{name: _BYTES for name in names.GAUGES if name.endswith(("_bytes", "bytes_per_s", ".bytes"))},
    **{f"rq.redis.bytes_by_kind.{kind}": _BYTES for kind in KINDS_OF_KEYS},
    **{name: _SECONDS for name in names.GAUGES if name.endswith(("_at", "last_heartbeat"))},
}
_ALARMS = {
    TIME: _SECONDS,
    FUNCTION: _FUNCTION,
    DURATION: _COMMON[DURATION],
    "event.start": _SECONDS,
    "event.end": _SECONDS,
    "event.created": _SECONDS,
}


def _first_of(*fields: str, otherwise: str = "") -> Computed:
    """The value of the first of these fields that has one. All have to be mapped in each index of the view."""
    tests = [f"if (doc['{name}'].size() > 0) {{ emit(doc['{name}'].value) }}" for name in fields]
    last = [f"{{ emit('{otherwise}') }}"] if otherwise else []
    return Computed(script=" else ".join([*tests, *last]))


_WHAT_FAILED = _first_of("error.type", "event.reason", otherwise="no error")
_SHARE = Computed(
    script="if (doc['rq.queue.oldest_age_s'].size() > 0 && doc['rq.queue.objective_s'].size() > 0 && "
    "doc['rq.queue.objective_s'].value > 0) "
    "{ emit(doc['rq.queue.oldest_age_s'].value / doc['rq.queue.objective_s'].value) }",
    type="double",
)
_IN_BYTES = Computed(
    script="if (doc['rq.max_rss_kb'].size() > 0) { emit(doc['rq.max_rss_kb'].value * 1024) }", type="long"
)

_DUE = Computed(
    script="if (doc['rq.retry_at'].size() > 0) { emit(doc['rq.retry_at'].value.toInstant().toEpochMilli()) } "
    "else if (doc['rq.scheduled_at'].size() > 0) { emit(doc['rq.scheduled_at'].value.toInstant().toEpochMilli()) }",
    type="date",
)


def _again(**options: str) -> Computed:
    """The command that runs jobs again, with an option for each field that has a value, quoted for a shell.

    A value may hold anything: it stands between single quotes unless it is of harmless characters, and characters that
    a terminal would obey are replaced.
    """
    parts = " ".join(
        f"if (doc['{field}'].size() > 0) {{ line += ' --{option} ' + quoted(doc['{field}'].value) }}"
        for option, field in options.items()
    )
    return Computed(
        script="String quoted(String s) { boolean plain = s.length() > 0; def out = new StringBuilder(); "
        "for (int i = 0; i < s.length(); i++) { char c = s.charAt(i); String one = String.valueOf(c); "
        "if (!Character.isLetterOrDigit(c) && '._:/@-'.indexOf(one) < 0) { plain = false } "
        "if (one == \"'\") { out.append(\"'\\\\''\") } "
        "else if (Character.isISOControl(c)) { out.append('?') } else { out.append(one) } } "
        'return plain ? s : "\'" + out.toString() + "\'" } '
        f"def line = 'shipper jobs'; {parts} emit(line + ' --requeue')"
    )


VIEWS = (
    View(
        name="jobs", title="RQ: job records", indices="rq-job-*", formats={**_JOBS, MAX_RSS: _BYTES}, names=names.JOBS,
        computed={WHAT_FAILED: _WHAT_FAILED, MAX_RSS: _IN_BYTES},
    ),
    View(name="logs", title="RQ: log lines of applications", indices="rq-app-*", formats=_COMMON, names=names.RECORDS),
    View(
        name="audit", title="RQ: audit records", indices="rq-audit-*", formats=_COMMON, names=names.AUDIT,
        computed={
            RESOURCE_OR_NONE: _first_of("audit.resource.type", otherwise="none"),
            REASON_OR_NONE: _first_of("event.reason", otherwise="none given"),
        },
    ),
    View(
        name="records", title="RQ: everything that happened", indices="rq-job-*,rq-app-*,rq-audit-*",
        # To the millisecond: here records of many kinds stand in their order.
        formats={**_JOBS, TIME: _MILLISECONDS}, names=names.EVERYTHING,
    ),
    # Where each job is now, however long ago it got there: the time range of a page must not hide a dead job.
    View(
        name="states", title="RQ: where jobs are now", indices="rq-state-*", time=None, names=names.STATES,
        formats={CUSTOMER: _CUSTOMER, FUNCTION: _FUNCTION},
        computed={
            WHAT_FAILED: _first_of("error.type", "state"),
            AGAIN: _again(function="job_type", error="error.type"),
            AGAIN_QUEUE: _again(queue="queue", function="job_type"),
            AGAIN_CUSTOMER: _again(customer="organization.id", function="job_type"),
        },
    ),
    # What is due lies ahead of every time range.
    View(
        name="due", title="RQ: jobs that are retried or due later", indices="rq-job-*", time=None,
        formats={**_JOBS, DUE: _SECONDS}, names={**names.JOBS, DUE: "Due"}, computed={DUE: _DUE},
    ),
    View(
        name="shipper", title="RQ: the shipper's own status", indices="rq-shipper-*", formats=_SHIPPER,
        names=names.SHIPPER,
    ),
    View(
        name="gauges", title="RQ: queues, workers, Redis and cron jobs, sampled by the watch", indices="rq-metric-*",
        formats=_GAUGES, names=names.GAUGES, computed={OF_OBJECTIVE: _SHARE},
    ),
    View(name="alarms", title="RQ: alarms of the watch", indices="rq-alert-*", formats=_ALARMS, names=names.ALARMS),
)  # fmt: skip
