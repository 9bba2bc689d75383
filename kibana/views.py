"""Data views: which indices a panel asks, and how their values are written for people."""

from __future__ import annotations

from typing import Any

from .objects import View, dashboard_id
from .words import CUSTOMER, DEPENDS_ON, DURATION, JOB, LAG, PARENT, PAYLOAD, ROOT, TIME

_BYTES = {"id": "bytes"}


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


def _link(page: str, field: str) -> dict[str, Any]:
    """A value that leads to its own page. Kibana puts its address and the space before a path that begins with /app."""
    query = f"_a=(query:(language:kuery,query:'{field}:%22{{{{value}}}}%22'))"
    address = f"/app/dashboards#/view/{dashboard_id(page)}?{query}"
    params = {"type": "a", "urlTemplate": address, "labelTemplate": "{{value}}", "openLinkInCurrentTab": True}
    return {"id": "url", "params": params}


_COMMON = {JOB: _link("job", JOB), CUSTOMER: _link("customer", CUSTOMER), DURATION: _duration("nanoseconds")}
_JOBS = {
    **_COMMON,
    PARENT: _COMMON[JOB],
    ROOT: _COMMON[JOB],
    DEPENDS_ON: _COMMON[JOB],
    LAG: _duration("milliseconds"),
    "rq.total_ms": _duration("milliseconds"),
    PAYLOAD: _BYTES,
    "rq.payload_stored_bytes": _BYTES,
    "rq.result_bytes": _BYTES,
}
_SHIPPER: dict[str, dict[str, Any]] = {
    # Short, for the time of the last status has to fit into one large figure.
    TIME: {"id": "date", "params": {"pattern": "MMM D, HH:mm:ss"}},
    "shipper.backlog_bytes": _BYTES,
    "shipper.bytes_per_s": _BYTES,
    "shipper.memory_bytes": _BYTES,
    "shipper.backlog_age_s": _duration("seconds"),
    "shipper.lag_ms": _duration("milliseconds"),
    "shipper.retrying_s": _duration("seconds"),
}

RELATIVE = "rq.relative_id"
# A record of a job, found by the jobs that it comes from or waits for: what is chosen above the page of one job is its
# id, and in this view that finds the jobs that it has enqueued, or that wait for it.
_RELATIVES = {
    JOB: " ".join(
        f"if (doc.containsKey('{field}')) {{ for (one in doc['{field}']) {{ emit(one) }} }}"
        for field in (PARENT, ROOT, DEPENDS_ON)
    ),
    RELATIVE: "if (params._source.messaging != null && params._source.messaging.message != null) "
    "{ emit(params._source.messaging.message.id) }",
}

VIEWS = (
    View(name="jobs", title="RQ: job records", indices="rq-job-*", formats=_JOBS),
    View(name="logs", title="RQ: log lines of applications", indices="rq-app-*", formats=_COMMON),
    View(name="audit", title="RQ: audit records", indices="rq-audit-*", formats=_COMMON),
    View(name="records", title="RQ: everything that happened", indices="rq-job-*,rq-app-*,rq-audit-*", formats=_JOBS),
    # Where each job is now, however long ago it got there: the time range of a page must not hide a dead job.
    View(
        name="states",
        title="RQ: where jobs are now",
        indices="rq-state-*",
        time=None,
        formats={CUSTOMER: _COMMON[CUSTOMER]},
    ),
    View(
        name="relatives",
        title="RQ: jobs by those that they come from or wait for",
        indices="rq-job-*",
        formats={**_JOBS, RELATIVE: _COMMON[JOB]},
        computed=_RELATIVES,
    ),
    View(name="shipper", title="RQ: the shipper's own status", indices="rq-shipper-*", formats=_SHIPPER),
)
