"""All rules by name, each with how patient it is. docs/watch.md explains each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..alarms import Finding, Patience
from ..evidence import Evidence, NoEvidence
from . import from_records, from_redis

_PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class Rule:
    """`find` returns the findings, and raises NoEvidence if it cannot tell. `description` is one sentence.

    `rests_on_records`: Elasticsearch has to be asked for it.
    """

    find: Callable[[Evidence], list[Finding]]
    description: str
    patience: Patience = _PATIENT
    rests_on_records: bool = False


def _of_records(find: Callable[[Evidence], list[Finding]], description: str, patience: Patience = _PATIENT) -> Rule:
    return Rule(find, description, patience, rests_on_records=True)


def _clock_skew(evidence: Evidence) -> list[Finding]:
    """Both kinds of evidence: without one of them its alarms would close."""
    return from_redis.clock_skew(evidence) + from_records.clock_skew_of_records(evidence)


# Twice in a row: a worker that is replaced is gone for a moment.
_TWICE = Patience(opens_after=2)

RULES: Mapping[str, Rule] = {
    "redis_memory": Rule(from_redis.redis_memory, "Redis uses most of its maxmemory."),
    "redis_rejects": Rule(
        from_redis.redis_rejects, "Redis refuses commands or evicts keys.", Patience(closes_after=20)
    ),
    "redis_unreachable": Rule(from_redis.redis_unreachable, "Redis does not answer."),
    "elasticsearch_unreachable": _of_records(from_records.elasticsearch_unreachable, "Elasticsearch does not answer."),
    "oldest_job": Rule(from_redis.oldest_job, "The oldest job of a queue waits for too long."),
    "latency": _of_records(from_records.latency, "Too many jobs of a queue start too late."),
    "queue_depth": Rule(from_redis.queue_depth, "Too many jobs wait in a queue."),
    "no_worker": Rule(from_redis.no_worker, "Jobs wait in a queue without a live worker.", _TWICE),
    "worker_silent": Rule(from_redis.worker_silent, "A worker stopped beating.", _TWICE),
    "job_overrun": _of_records(from_records.job_overrun, "A job runs far longer than its function does."),
    "function_failures": _of_records(from_records.function_failures, "Too many executions of a function fail."),
    "dead_jobs": _of_records(from_records.dead_jobs, "Jobs of a function fail for good."),
    "cron_missed": Rule(from_redis.cron_missed, "A run of a cron job did not come.", Patience(closes_after=1)),
    "clock_skew": _of_records(_clock_skew, "Clocks differ.", Patience(closes_after=20)),
    "shipper_backlog": _of_records(from_records.shipper_backlog, "A shipper does not get on."),
    "dead_letters": _of_records(from_records.dead_letters, "Lines became dead letters."),
    "shipper_silent": _of_records(from_records.shipper_silent, "A shipper fell silent.", _TWICE),
    "host_silent": _of_records(from_records.host_silent, "Records of a host's jobs do not arrive.", _TWICE),
    "shared_queue": _of_records(from_records.shared_queue, "Several services work on one queue."),
}

PATIENCE: Mapping[str, Patience] = {name: rule.patience for name, rule in RULES.items()}


def evaluate(evidence: Evidence, names: Iterable[str] = RULES) -> dict[str, list[Finding]]:
    """Rule → its findings, of those that are enabled and can tell. A rule that is disabled finds nothing."""
    found: dict[str, list[Finding]] = {}
    for name in names:
        options = getattr(evidence.options, name)
        with suppress(NoEvidence):
            findings = RULES[name].find(evidence) if options.enabled else []
            found[name] = [one for one in findings if not options.ignores(one.subject)]
    return found
