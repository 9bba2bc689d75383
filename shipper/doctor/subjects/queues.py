"""Who works on which queue: one service each, on one release of RQ, and with records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...emit.instrument import OLDEST
from ...live.workers import WorkerSample
from ..finding import Finding, error, warning

SUBJECT = "queues"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """`workers`: those that live. `services`: queue → service.name → executions of the last days that it started.

    `recorded`: worker → executions that it recorded; None if Elasticsearch was not asked.
    """

    workers: Sequence[WorkerSample] = ()
    services: Mapping[str, Mapping[str, int]] | None = None
    recorded: Mapping[str, int] | None = None


def findings(facts: QueueFacts) -> Iterator[Finding]:
    """What is wrong with the workers of each queue."""
    for queue, counts in sorted((facts.services or {}).items()):
        if len(counts) > 1:
            shares = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
            yield error(
                SUBJECT,
                f"Several services take jobs from the queue {queue}: {shares}. Each may take a job that only another's "
                "code can run.",
                "Give each service queues of its own, or its own Redis database; if it is one service, set "
                "SHIPPER_SERVICE, or SHIPPER_SERVICES, alike for all of its processes.",
            )
    yield from _of_releases(facts.workers)
    for worker in facts.workers:
        ended = worker.successes + worker.failures
        if facts.recorded is not None and ended and not facts.recorded.get(worker.name):
            yield error(
                SUBJECT,
                f"The worker {worker.name} on {worker.host} has run {ended} jobs, and not one is recorded.",
                "Start it with RQ_JOB_CLASS=shipper.LoggedJob and SHIPPER_LOG. If it is so, is its machine's shipper "
                "behind?",
            )


def _of_releases(workers: Sequence[WorkerSample]) -> Iterator[Finding]:
    by_queue: dict[str, set[str]] = {}
    for worker in workers:
        if worker.rq_version:
            for queue in worker.queues:
                by_queue.setdefault(queue, set()).add(worker.rq_version)
    for queue, versions in sorted(by_queue.items()):
        if len({_minor(version) for version in versions}) > 1:
            yield warning(
                SUBJECT,
                f"Workers of the queue {queue} run different releases of RQ: {', '.join(sorted(versions))}.",
                "Let all of them run one: what a newer one writes, an older one may not understand.",
            )
    old = sorted({version for found in by_queue.values() for version in found if _minor(version) < OLDEST})
    if old:
        yield error(
            SUBJECT,
            f"There are workers with RQ {', '.join(old)}, whose jobs are not recorded.",
            f"Upgrade them to RQ {'.'.join(map(str, OLDEST))} or newer.",
        )


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
