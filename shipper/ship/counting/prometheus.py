"""The counters of jobs as Prometheus has them: `rq_jobs_finished_total{service,queue,function}` and so on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from .counter import JobCounter
from .tally import BOUNDS_S, EVENTS, MEASURES, buckets, event_count

LABELS = ["service", "queue", "function"]
ABOUT_EVENTS = {
    "enqueued": "Pushes of jobs to queues.",
    "scheduled": "Jobs that were scheduled for later.",
    "deferred": "Jobs that wait for their dependencies.",
    "rate_limited": "Jobs that wait for their rate limit.",
    "refused": "Jobs that RQ refused, as their id exists.",
    "started": "Executions that were started.",
    "busy": "Jobs that could not get into a critical section.",
    "finished": "Jobs whose function returned.",
    "failed": "Attempts that failed: retried or dead.",
    "retried": "Attempts that failed and are followed by another.",
    "dead": "Jobs that failed for good.",
    "stopped": "Jobs that somebody stopped.",
    "canceled": "Jobs that were cancelled before they had ended.",
    "deleted": "Jobs that were deleted before they had ended.",
    "timeout": "Attempts that ran into their timeout. They are failed, too.",
}
ABOUT_MEASURES = {
    "duration": "How long an execution took.",
    "lag": "How long a job waited for its start: from its push, or from when it was due.",
    "total": "From a job's creation to its end.",
}
_NAMES = {"timeout": "timeouts"}


class JobCollector:
    """For a prometheus_client registry."""

    def __init__(self, counter: JobCounter) -> None:
        self._counter = counter

    def collect(self) -> Iterator[Metric]:
        read = self._counter.read()
        for event in [*EVENTS, "failed"]:
            family = CounterMetricFamily(f"rq_jobs_{_NAMES.get(event, event)}", ABOUT_EVENTS[event], labels=LABELS)
            for labels, numbers in read:
                if count := event_count(numbers, event):
                    family.add_metric(labels, count)
            yield family
        for measure in MEASURES:
            histogram = HistogramMetricFamily(f"rq_job_{measure}_seconds", ABOUT_MEASURES[measure], labels=LABELS)
            for labels, numbers in read:
                counts, total_s = buckets(numbers, measure)
                if any(counts):
                    cumulated = zip((*map(str, BOUNDS_S), "+Inf"), accumulate(counts), strict=True)
                    histogram.add_metric(labels, list(cumulated), total_s)
            yield histogram
