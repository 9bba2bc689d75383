# ruff: noqa: E501, S608 - a log is easier to read in one line; it has SQL in error messages
"""Text logs of every kind that docs/legacy.md lists, with what is right for them.

A case is a log, and for lines of it what their records have to be. The tests of all three ways take their cases from
here, and which way has to read which kind from the table in docs/legacy.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ZONE, CHANGED = "Europe/Berlin", "2026-02-10T11:00:00Z"
NANOSECONDS = 1_000_000_000

_STACK = 'Traceback (most recent call last):\n  File "/srv/app/jobs.py", line 12, in f\n    g()\n    ~^^\n'


def job(number: int) -> str:
    return f"aaaaaaaa-0000-4000-8000-{number:012}"


A, B, C = job(1), job(2), job(3)


@dataclass(frozen=True, slots=True)
class Want:
    """What the record whose message or stack trace contains `text` has to be.

    `s`: the duration in seconds. `at`: the time in UTC. None: not looked at; "" or 0: must not be there.
    """

    text: str
    action: str | None = None
    job: str | None = None
    queue: str | None = None
    function: str | None = None
    worker: str | None = None
    host: str | None = None
    pid: int | None = None
    s: float | None = None
    at: str | None = None
    type: str | None = None
    error: str | None = None
    reason: str | None = None
    level: str | None = None
    stack: str | None = None
    tag: str | None = None

    def wrong(self, records: Sequence[Mapping[str, Any]], *, combined: bool = True) -> list[str]:
        """What is wrong. Not `combined`: the end does not have what only its start says."""
        found = [one for one in records if self.text in one["message"]] or [
            one for one in records if self.text in (_get(one, "error.stack_trace") or "")
        ]
        if not found:
            return [f"no record has {self.text!r}"]
        record = next((one for one in found if _get(one, "event.action") == self.action), found[0])
        fields = {
            "action": "event.action", "job": "messaging.message.id", "queue": "messaging.destination.name",
            "function": "code.function.name", "worker": "messaging.client.id", "host": "host.name",
            "pid": "process.pid", "type": "error.type", "error": "error.message", "reason": "event.reason",
            "level": "log.level",
        }  # fmt: skip
        bad = []
        is_end = not combined and (self.action or "") not in ("job-started", "job-enqueued")
        for name, path in fields.items():
            wanted, value = getattr(self, name), _get(record, path)
            if is_end and value is None and name in ("job", "queue", "function"):
                continue
            if is_end and wanted == "job-retried":
                wanted = "job-dead"
            if wanted is not None and (value or "") != wanted:
                bad.append(f"{self.text!r}: {name} is {value!r}, not {wanted!r}")
        if (
            self.s is not None
            and (combined or _get(record, "event.duration"))
            and _get(record, "event.duration") != round(self.s * NANOSECONDS)
        ):
            bad.append(f"{self.text!r}: duration is {_get(record, 'event.duration')}, not {self.s} s")
        if self.at is not None and record["@timestamp"][: len(self.at)] != self.at:
            bad.append(f"{self.text!r}: time is {record['@timestamp']}, not {self.at}")
        if self.stack is not None and self.stack not in (_get(record, "error.stack_trace") or ""):
            bad.append(f"{self.text!r}: the stack trace lacks {self.stack!r}")
        if self.tag is not None and self.tag not in record["tags"]:
            bad.append(f"{self.text!r}: tag {self.tag} is missing")
        return bad


@dataclass(frozen=True, slots=True)
class Case:
    """A log of a kind. `count`: its records in all."""

    kind: str
    log: str
    wants: Sequence[Want]
    count: int | None = None
    zone: str = ZONE
    changed: str = CHANGED
    encoding: str = "utf-8"
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.log.encode(self.encoding)

    def wrong(self, records: Sequence[Mapping[str, Any]], *, combined: bool = True) -> list[str]:
        bad = [one for want in self.wants for one in want.wrong(records, combined=combined)]
        if self.count is not None and len(records) != self.count:
            bad.append(f"{len(records)} records, not {self.count}")
        return bad


def _get(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _pair(kind: str, start: str, end: str, at: str = "2026-02-10T09:00:01", s: float = 3, **more: Any) -> Case:
    """A start at 10:00:01 and its end at 10:00:04 in Berlin, in some format."""
    wants = [
        Want("jobs.f(1)", "job-started", job=A, queue="default", function="jobs.f", at=at, **more),
        Want("Job OK", "job-finished", job=A, queue="default", s=s, **more),
    ]
    body, ok = f"default: jobs.f(1) ({A})", f"default: Job OK ({A})"
    return Case(kind, f"{start.replace('%', body)}\n{end.replace('%', ok)}\n", wants, 2)


def _format(kind: str, line: str, **more: Any) -> Case:
    """A format of lines, with the time 10:00:01 in it."""
    return _pair(kind, line, line.replace("0:01", "0:04"), **more)


def _raised(number: int, log: str, type_: str, error: str | None = None, **more: Any) -> Case:
    """An exception of a job, between a start before it and one after it."""
    text = (
        f"10:00:00 default: jobs.f({number}) ({A})\n"
        f"10:00:02 [Job {A}]: exception raised while executing (jobs.f)\n{log}\n"
        f"10:00:03 default: jobs.g() ({B})\n"
    )
    wants = [
        Want("exception raised", "job-dead", job=A, s=2, type=type_, error=error, **more),
        Want("jobs.g()", "job-started", job=B, at="2026-02-10T09:00:03"),
    ]
    return Case("tracebacks", text, wants, 3)


FORMATS = (
    "10:00:01 %",
    "2026-02-10 10:00:01 %",
    "2026-02-10 10:00:01,000 INFO %",
    "2026-02-10 10:00:01,000\tINFO\trq.worker\t%",
    "2026-02-10 10:00:01,000 INFO     rq.worker        %",
    "2026-02-10 10:00:01,000 | INFO | rq.worker | %",
    "2026-02-10 10:00:01.000|INFO|rq.worker|%",
    "[2026-02-10 10:00:01] [INFO] [rq.worker] %",
    "[2026-02-10 10:00:01,000] {worker.py:123} INFO - %",
    "[2026-02-10 10:00:01,000: INFO/MainProcess] %",
    "[2026-02-10 10:00:01,000] [1234] [INFO] %",
    "[10:00:01] %",
    "[10:00:01] INFO: %",
    "(10:00:01) %",
    "INFO 2026-02-10 10:00:01,000 %",
    "INFO:2026-02-10 10:00:01,000:%",
    "INFO - 2026-02-10 10:00:01,000 - %",
    "[INFO] 2026-02-10 10:00:01,000 rq.worker: %",
    "INFO    |2026-02-10 10:00:01,000|%",
    "INFO 2026-02-10 10:00:01,000 worker 123 1404232 %",
    "rq.worker 2026-02-10 10:00:01,000 INFO %",
    "rq.worker INFO 2026-02-10 10:00:01,000 %",
    "2026-02-10 10:00:01,000 - rq.worker - INFO - %",
    "2026-02-10 10:00:01,000 rq.worker: %",
    "2026-02-10 10:00:01,000 [INFO] rq.worker: %",
    "2026-02-10 10:00:01,000 [INFO] [rq.worker:123] %",
    "2026-02-10 10:00:01,000 INFO [rq.worker] [MainThread] %",
    "2026-02-10 10:00:01,000 (MainThread) INFO %",
    "2026-02-10 10:00:01,000 MainThread INFO rq.worker: %",
    "2026-02-10 10:00:01,000 1234 INFO rq.worker %",
    "2026-02-10 10:00:01,000 INFO rq.worker:1234 %",
    "2026-02-10 10:00:01,000 INFO myapp.worker %",
    "2026-02-10 10:00:01,000 INFO myapp.worker: %",
    "2026-02-10 10:00:01,000 INFO worker.py:123 %",
    "2026-02-10 10:00:01,000 INFO worker.py:123 execute: %",
    "2026-02-10 10:00:01.000 | INFO     | rq.worker:execute_job:1500 - %",
    "2026-02-10T10:00:01 %",
    "2026-02-10T10:00:01.000 INFO %",
    "2026-02-10T09:00:01Z %",
    "2026-02-10T09:00:01.000000Z INFO rq.worker %",
    "2026-02-10T14:30:01+05:30 INFO %",
    "2026-02-10 10:00:01 +0100 %",
    "2026-02-10 10:00:01+01:00 %",
    "2026-02-10 10:00:01 CET %",
    "2026-02-10 09:00:01 UTC [rq.worker] INFO %",
    "2026-02-10 04:00:01 EST INFO %",
    "2026-02-10 10:00:01 Europe/Berlin %",
    "2026/02/10 10:00:01 %",
    "2026.02.10 10:00:01 INFO %",
    "20260210 10:00:01 %",
    "20260210 10:00:01.000 INFO %",
    "10.02.2026 10:00:01 INFO %",
    "10.02.2026, 10:00:01 %",
    "10.2.2026 10:00:01 %",
    "02/10/2026 10:00:01 %",
    "02/10/2026 10:00:01 AM %",
    "2/10/2026, 10:00:01 AM INFO %",
    "10 Feb 2026 10:00:01 %",
    "10-Feb-2026 10:00:01 INFO %",
    "10/Feb/2026:10:00:01 +0100 %",
    "[10/Feb/2026 10:00:01] INFO %",
    "Feb 10, 2026 10:00:01 %",
    "Tue Feb 10 10:00:01 2026 INFO %",
    "Tue, 10 Feb 2026 09:00:01 GMT %",
    "I0210 10:00:01.000000 1234 worker.py:45] %",
    "I 2026-02-10 10:00:01,000 %",
    "10:00:01.000 INFO %",
    "10:00:01,000 [INFO ] rq.worker - %",
    "10:00:01 - INFO - %",
    "10:00:01 INFO rq.worker: %",
    "10:00:01 AM %",
    "10:00:01 [rq] %",
)

CARRIERS = (
    "Feb 10 10:00:01 web1 rq[123]: %",
    "Feb 10 10:00:01 web1 rq[123]: 10:00:01 %",
    "Feb 10 10:00:01 web1 rq: 10:00:01 %",
    "<30>Feb 10 10:00:01 web1 rq[123]: %",
    "Feb 10 10:00:01.123456 web1 rq[123]: INFO %",
    "Feb 10 10:00:01 2026 web1 rq[123]: %",
    "2026-02-10T10:00:01+0100 web1 rq[123]: %",
    "2026-02-10T10:00:01.123456+01:00 web1 rqworker: 10:00:01 %",
    "2026-02-10T09:00:01Z web1 rq[123]: [10:00:01] INFO: %",
    "<30>1 2026-02-10T09:00:01.5Z web1 rq 123 - - %",
    "<30>1 2026-02-10T09:00:01Z web1 rq 123 ID47 [meta@1 a=\"b\"] 10:00:01 %",
    "<190>1 2026-02-10T09:00:01+00:00 web1 app worker.1 - %",
    "83 <40>1 2026-02-10T09:00:01+00:00 web1 app worker.1 - %",
    "Tue 2026-02-10 10:00:01 CET web1 rq[123]: %",
    "Tue 2026-02-10 10:00:01.123456 CET web1 rq[123]: 10:00:01 %",
    "[ 1234.567890] web1 rq[123]: 10:00:01 %",
)  # fmt: skip

CONTAINERS = (
    "2026-02-10T09:00:01.123456789Z stdout F 10:00:01 %",
    "2026-02-10T10:00:01.123456789+01:00 stderr F %",
    "2026-02-10T09:00:01.123456789Z 10:00:01 %",
    "2026-02-10T09:00:01.123456789Z %",
    "worker-1  | 10:00:01 %",
    "worker_1  | 2026-02-10 10:00:01,000 INFO %",
    "shop-worker-1  | 2026-02-10T09:00:01.123456789Z 10:00:01 %",
    "rq_worker.1.abcdefghij@node1    | 10:00:01 %",
    "[pod/rq-7d4b9c/worker] 10:00:01 %",
    "[pod/rq-7d4b9c/worker] 2026-02-10T09:00:01.123456789Z %",
    "rq-7d4b9c6f5-x2k4j worker 10:00:01 %",
    "rq-7d4b9c6f5-x2k4j worker › 10:00:01 %",
    "2026-02-10T09:00:01.000000+00:00 app[worker.1]: 10:00:01 %",
    "2026-02-10T09:00:01.000000+00:00 app[worker.1]: %",
    "rq:rq_00 stdout | 10:00:01 %",
    "10:00:01 worker.1 | 10:00:01 %",
    "10:00:01 rq.1     | 2026-02-10 10:00:01,000 INFO %",
    "0|rq-worker  | 10:00:01 %",
    "0|rq | 2026-02-10T10:00:01: 10:00:01 %",
    "2026-02-10T10:00:01: 10:00:01 %",
)

JSON_LINES = (
    '{"log":"10:00:01 %\\n","stream":"stderr","time":"2026-02-10T09:00:01.1Z"}',
    '{"asctime": "2026-02-10 10:00:01,000", "levelname": "INFO", "name": "rq.worker", "message": "%"}',
    '{"event": "%", "level": "info", "timestamp": "2026-02-10T09:00:01Z"}',
    '{"@timestamp":"2026-02-10T09:00:01.000Z","log.level":"info","message":"%","ecs.version":"1.6.0"}',
    '{"time":"2026-02-10T10:00:01+01:00","level":30,"msg":"%"}',
    '{"MESSAGE":"%","_HOSTNAME":"web1","_PID":"123","__REALTIME_TIMESTAMP":"1770714001000000","PRIORITY":"6"}',
    '{"timestamp":"2026-02-10T09:00:01Z","severity":"INFO","message":"10:00:01 %"}',
)

CASES: list[Case] = [
    *(_format("formats", line) for line in FORMATS),
    _pair("formats", "1770714001.010 %", "1770714004.010 %"),
    _pair("formats", "1770714001 INFO %", "1770714004 INFO %"),
    _pair("formats", "1770714001010 %", "1770714004010 %"),
    *(_format("syslog and journald", line, host="web1") for line in CARRIERS),
    _pair("syslog and journald", "1770714001.000001 web1 rq[1]: %", "1770714004.000001 web1 rq[1]: %", host="web1", pid=1),
    *(_format("containers", line) for line in CONTAINERS),
    *(_pair("JSON lines", line, line.replace("00:01", "00:04").replace("4001", "4004")) for line in JSON_LINES),
    _format("formats", "\x1b[32m10:00:01\x1b[39;49;00m %"),
]  # fmt: skip
CASES += [
    # RQ's own messages
    Case("messages", f"10:00:01 default: jobs.f(1) ({A})\n10:00:04 Job OK, result = 3\n10:00:04 Result is kept for 500 seconds.\n",
         [Want("Job OK", "job-finished", job=A, s=3, function="jobs.f", queue="default"), Want("Result", "", tag="legacy")], 3),
    Case("messages", f"10:00:01 default:{A}\n10:00:04 default: Job OK ({A})\n",
         [Want(f"default:{A}", "job-started", job=A, queue="default"), Want("Job OK", "job-finished", s=3)], 2),
    Case("messages", f"10:00:01 Worker w.1: default: {A}\n10:00:04 Worker w.1: default: Job OK ({A})\n",
         [Want(f"default: {A}", "job-started", job=A, queue="default", worker="w.1"), Want("Job OK", "job-finished", worker="w.1", s=3)], 2),
    Case("messages", f"10:00:01 default: jobs.f() ({A})\n10:00:02 Moving job to 'failed' queue (work-horse terminated unexpectedly; waitpid returned 9)\n",
         [Want("Moving job", "job-dead", job=A, reason="killed", s=1, function="jobs.f")], 2),
    Case("messages", f"10:00:01 default: jobs.f() ({A})\n10:00:02 Moving job to FailedJobRegistry (Work-horse terminated unexpectedly; waitpid returned 256 (signal 0); )\n",
         [Want("Moving job", "job-dead", job=A, reason="exited", s=1)], 2),
    Case("messages", f"10:00:01 Worker w: default: jobs.f() ({A})\n10:00:02 Worker w: job {A} failed (Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); )\n",
         [Want("failed (", "job-dead", job=A, reason="killed", s=1, worker="w")], 2),
    Case("messages", f"10:00:01 default: jobs.f() ({A})\n10:00:02 Job stopped by user, moving job to FailedJobRegistry\n",
         [Want("stopped by user", "job-stopped", job=A, s=1)], 2),
    Case("messages", f"10:00:01 Worker w: default: jobs.f() ({A})\n10:00:02 Worker w: job {A}: scheduled for retry at 2026-02-10 09:00:12.000000+00:00, 2 attempts remaining\n10:00:02 Worker w: job {A}: exception raised while executing (jobs.f)\n{_STACK}ValueError: no\n",
         [Want("exception raised", "job-retried", job=A, s=1, type="ValueError", error="no")], 3),
    Case("messages", f"10:00:01 default: jobs.f() ({A})\n10:00:02 Traceback (most recent call last):\n  File \"/x/rq/worker.py\", line 1013, in perform_job\n    rv = job.perform()\nValueError: no\nTraceback (most recent call last):\n  File \"/x/rq/worker.py\", line 1013, in perform_job\n    rv = job.perform()\nValueError: no\n10:00:03 default: jobs.g() ({B})\n",
         [Want("Traceback", "job-dead", job=A, s=1, type="ValueError", error="no", reason="exception"), Want("jobs.g", "job-started")], 3),
    Case("messages", f"10:00:01 StartedJobRegistry cleanup: Moving job to FailedJobRegistry (due to AbandonedJobError)\n10:00:02 StartedJobRegistry cleanup: {A} Moved to FailedJobRegistry, due to AbandonedJobError, at 2026-02-10 09:00:02+00:00\n",
         [Want("Moving job", "job-dead", job="", reason="abandoned"), Want("Moved to", "job-dead", job=A, reason="abandoned")], 2),
    Case("messages", "10:00:00 RQ worker 'rq:worker:w.1' started, version 0.5.6\n10:00:00 Worker rq:worker:w.1 started with PID 1, version 1.9\n10:00:00 Worker w: started with PID 1, version 2.11\n10:00:01 *** Listening on \x1b[32mdefault\x1b[39;49;00m...\n10:00:02 Warm shut down requested\n10:00:03 Worker w [PID 3]: warm shut down requested\n10:00:03 Cleaning registries for queue: default\n10:00:04 RQ worker started, version 0.5.0\n",
         [Want("0.5.6", "", worker="w.1"), Want("1.9", "", worker="w.1"), Want("2.11", "", worker="w"), Want("Listening on default", ""), Want("0.5.0", "", worker="")], 8),
    Case("messages", f"10:00:01 default: jobs.f('{{}}', x=\"a, b: (c)\") ({A})\n10:00:04 default: Job OK ({A})\n",
         [Want("jobs.f(", "job-started", job=A, queue="default", function="jobs.f"), Want("Job OK", "job-finished", s=3)], 2),
    Case("messages", f"10:00:01 default: Größe ändern (für Ümit) ({A})\n10:00:04 default: Job OK ({A})\n",
         [Want("Größe", "job-started", job=A, queue="default", function=""), Want("Job OK", "job-finished", s=3)], 2),
    Case("messages", f"10:00:01 high priority: jobs.f() ({A})\n10:00:04 high priority: Job OK ({A})\n",
         [Want("jobs.f", "job-started", job=A, queue="high priority"), Want("Job OK", "job-finished", queue="high priority", s=3)], 2),
    Case("messages", f"10:00:01 shop:eu: jobs.<lambda>() ({A})\n10:00:04 shop:eu: Job OK ({A})\n",
         [Want("lambda", "job-started", job=A, queue="shop:eu"), Want("Job OK", "job-finished", queue="shop:eu", s=3)], 2),
    # Task loggers
    Case("task loggers", "Time: 2026-02-10 10:00:01,000 Task: jobs.a Task-time: 1,234.5\nTime: 2026-02-10 10:00:02,000\tTask: jobs.b(1)\tTask-time: 0:00:06.25\n2026-02-10 10:00:03,000 INFO Task: jobs.c Task-time: 2 s\ntime: 2026-02-10 10:00:04,000 task: jobs.d, task-time: soon\n",
         [Want("jobs.a", "job-finished", function="jobs.a", s=1234.5, at="2026-02-10T09:00:01"), Want("jobs.b", "job-finished", function="jobs.b", s=6.25),
          Want("jobs.c", "job-finished", function="jobs.c", s=2), Want("jobs.d", "job-finished", function="jobs.d", tag="bad_duration")], 4),
    # Application lines
    Case("no false jobs", "10:00:01 INFO Task: clean the garage\n10:00:02 INFO Pushing notification(user) to phone\n10:00:03 INFO cache: lookup(user:42) (miss)\n10:00:04 INFO done: all (3)\n10:00:05 INFO Job done\n10:00:06 INFO payments: charge(7) (ok)\n10:00:07 WARNING disk: usage(90%) (high)\n10:00:08 INFO user: ann logged in (admin)\n",
         [Want(text, "", job="", tag="unparsed") for text in ("clean the", "Pushing", "lookup", "done: all", "Job done", "charge", "usage", "ann")], 8),
    Case("no false jobs", f"10:00:01 INFO User login: ann ({A})\n10:00:02 ERROR shop.payments Payment failed\n{_STACK}ValueError: no\n10:00:03 ERROR shop.payments: Traceback (most recent call last):\n  File \"x.py\", line 1, in f\nValueError: no\n",
         [Want("User login", "", job=""), Want("Payment failed", "", type="ValueError")], 3),
    Case("no false jobs", f"10:00:01 default: jobs.f() ({A})\n10:00:02 ERROR Payment: failed for 7\n{_STACK}ValueError: no\n10:00:03 default: Job OK ({A})\n",
         [Want("Payment", "", job=""), Want("Job OK", "job-finished", s=2)], 3),
    # Ids
    *(Case("ids that a later line names", f"10:00:01 default: jobs.f(1) ({name})\n10:00:04 default: Job OK ({name})\n",
           [Want("jobs.f(1)", "job-started", job=name, queue="default", function="jobs.f"), Want("Job OK", "job-finished", job=name, s=3, function="jobs.f")], 2)
      for name in ("nightly-1", "user/42", "a:b:c", "order 7 of ann", "id(1)", "id[2]", "a (b)", "{x}", "x@y.z", "Ümlaut", "42", "7: x")),
    Case("ids that a later line names", f"10:00:01 default: nightly-1\n10:00:02 default: Weekly report (for all) (weekly:1)\n10:00:03 [Job weekly:1]: exception raised while executing (jobs.f)\n{_STACK}ValueError: no\n10:00:04 default: Job OK (nightly-1)\n",
         [Want("default: nightly-1", "job-started", job="nightly-1"), Want("Weekly", "job-started", job="weekly:1"),
          Want("exception", "job-dead", job="weekly:1", s=1), Want("Job OK", "job-finished", job="nightly-1", s=3)], 4),
    Case("ids of the setting", "10:00:01 default: jobs.f(1) (nightly-1)\n10:00:02 Pushing jobs.f(nightly-2) to default\n10:00:03 default: jobs.g(1) (other)\n",
         [Want("jobs.f(1)", "job-started", job="nightly-1", function="jobs.f"), Want("Pushing", "job-enqueued", job="nightly-2"), Want("jobs.g", "", job="")], 3,
         settings={"job_ids": r"nightly-\d+"}),
    # Descriptions over several lines
    Case("descriptions of several lines", f"10:00:00 default: Send mail\nto Ann\nand Bob ({A})\n10:00:05 default: Job OK ({A})\n",
         [Want("Send mail", "job-started", job=A, queue="default"), Want("Job OK", "job-finished", s=5)], 2),
    Case("descriptions of several lines", f"10:00:00 default: jobs.f('a\n  b') ({A})\n10:00:05 default: Job OK ({A})\n",
         [Want("jobs.f", "job-started", job=A, queue="default", function="jobs.f"), Want("Job OK", "job-finished", s=5)], 2),
]  # fmt: skip
CASES += [
    # Pairing
    Case("ends without an id", f"10:00:01 default: jobs.a() ({A})\n10:00:05 default: jobs.b() ({B})\n10:00:07 Job OK\n10:00:08 default: jobs.c() ({C})\n10:00:10 Job OK\n",
         [Want("jobs.b", "job-started", job=B), Want("Job OK", "job-finished", job=B, s=2)], 5),
    Case("ends without an id", f"10:00:01 default: jobs.a() ({A})\n10:00:02 default: jobs.b() ({B})\n10:00:04 default: Job OK ({A})\n10:00:05 Job stopped by user, moving job to FailedJobRegistry\n",
         [Want("Job OK", "job-finished", job=A, s=3), Want("stopped", "job-stopped", job=B, s=3)], 4),
    Case("ends without an id", f"10:00:01 default: jobs.a() ({A})\n10:00:02 default: jobs.b() ({B})\n10:00:03 mails: jobs.c() ({C})\n10:00:04 default: Job OK ({A})\n10:00:05 Moving job to FailedJobRegistry (work-horse terminated unexpectedly; waitpid returned 9)\n",
         [Want("Moving job", "job-dead", job="")], 5),
    Case("ends without an id", f"10:00:01 Worker w1: default: jobs.a() ({A})\n10:00:02 Worker w2: default: jobs.b() ({B})\n10:00:05 Worker w1: Moving job to FailedJobRegistry (work-horse terminated unexpectedly; waitpid returned 9)\n",
         [Want("Moving job", "job-dead", job=A, s=4, worker="w1")], 3),
    Case("ends without an id", f"w1 | 10:00:01 default: jobs.a() ({A})\nw2 | 10:00:02 default: jobs.b() ({B})\nw1 | 10:00:05 Job stopped by user, moving job to FailedJobRegistry\n",
         [Want("stopped", "job-stopped", job=A, s=4)], 3),
    Case("ends without an id", f"10:00:01 default: jobs.a() ({A})\n10:00:02 ValueError: no\n{_STACK}ValueError: no\n10:00:09 default: jobs.a() ({A})\n10:00:12 default: Job OK ({A})\n",
         [Want("ValueError", "job-dead", job=A, s=1), Want("Job OK", "job-finished", job=A, s=3)], 4),
    Case("ends without an id", "10:00:05 Job OK\n10:00:06 Job stopped by user, moving job to FailedJobRegistry\n",
         [Want("Job OK", "job-finished", job=""), Want("stopped", "job-stopped", job="")], 2),
    Case("starts and ends combined", f"10:00:01 default: jobs.a() ({A})\n10:00:02 Successfully completed jobs.a() job in 0:00:01.250000s on worker w\n10:00:02 default: Job OK ({A})\n",
         [Want("Job OK", "job-finished", job=A, s=1.25, function="jobs.a")], 3),
    # Tracebacks
    _raised(1, _STACK + "ValueError: no\n", "ValueError", "no"),
    _raised(2, _STACK + "shop.models.Order.DoesNotExist: Order matching query does not exist.", "shop.models.Order.DoesNotExist", "Order matching query does not exist."),
    _raised(3, _STACK + "sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate key\nDETAIL:  Key (id)=(1) already exists.\n\n[SQL: INSERT INTO t VALUES (1)]\n[parameters: {'a': 1}]\n(Background on this error at: https://sqlalche.me/e/20/gkpj)", "sqlalchemy.exc.IntegrityError", stack="Background on"),
    _raised(4, _STACK + "psycopg2.errors.SyntaxError: syntax error at or near \"x\"\nLINE 1: SELECT x\n               ^\n", "psycopg2.errors.SyntaxError", stack="LINE 1"),
    _raised(5, _STACK + "pydantic_core._pydantic_core.ValidationError: 2 validation errors for User\nname\n  Field required [type=missing]\nage\n  Input should be a valid integer", "pydantic_core._pydantic_core.ValidationError", stack="valid integer"),
    _raised(6, _STACK + "ValueError: no\nthe first note\nand a second: with a colon", "ValueError", stack="second: with"),
    _raised(7, _STACK + "KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n" + _STACK + "RuntimeError: b", "RuntimeError", "b", stack="KeyError: 'a'"),
    _raised(8, _STACK + "KeyError: 'a'\n\nThe above exception was the direct cause of the following exception:\n\n" + _STACK + "shop.Failed", "shop.Failed", ""),
    _raised(9, "  + Exception Group Traceback (most recent call last):\n  |   File \"j.py\", line 12, in f\n  |     async with g:\n  | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    |   File \"j.py\", line 5, in a\n    | ValueError: a\n    +---------------- 2 ----------------\n    | TypeError: b\n    +------------------------------------\n", "ExceptionGroup", "two (2 sub-exceptions)"),
    _raised(10, 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    import bad\n  File "bad.py", line 1\n    def x(:\n          ^\nSyntaxError: invalid syntax', "SyntaxError", "invalid syntax"),
    _raised(11, 'multiprocessing.pool.RemoteTraceback: \n"""\n' + _STACK + 'ValueError: x\n"""\n\nThe above exception was the direct cause of the following exception:\n\n' + _STACK + "ValueError: x", "ValueError", "x"),
    _raised(12, _STACK + "rq.timeouts.JobTimeoutException: Task exceeded maximum timeout value (180 seconds)", "rq.timeouts.JobTimeoutException", reason="timeout"),
    _raised(13, _STACK + "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)", "json.decoder.JSONDecodeError", "Expecting value: line 1 column 1 (char 0)"),
    _raised(14, _STACK + "AssertionError", "AssertionError", ""),
    _raised(15, _STACK + "requests.exceptions.HTTPError: 500\n{\n  \"error\": \"x\"\n}\nINSERT INTO y", "requests.exceptions.HTTPError", stack="INSERT INTO y"),
    Case("tracebacks", f"10:00:01 default: jobs.f() ({A})\n10:00:02 django.db.utils.IntegrityError: a\nDETAIL: b\n\n{_STACK}django.db.utils.IntegrityError: a\nDETAIL: b\n\n{_STACK}django.db.utils.IntegrityError: a\nDETAIL: b\n\n10:00:03 Moving job to 'failed' queue\n10:00:04 default: jobs.g() ({B})\n",
         [Want("IntegrityError", "job-dead", job=A, s=1, type="django.db.utils.IntegrityError"), Want("Moving job", ""), Want("jobs.g", "job-started")], 4),
    Case("tracebacks", f"10:00:01 [Job {A}]: exception raised while executing (jobs.a)\nTraceback (most recent call last):\n  File \"a.py\", line 1, in a\n10:00:01 default: jobs.b() ({B})\n10:00:02 default: Job OK ({B})\n    raise ValueError('no')\nValueError: no\n",
         [Want("exception raised", "job-dead", job=A, type="ValueError", error="no"), Want("jobs.b", "job-started", job=B), Want("Job OK", "job-finished", s=1)], 3),
    Case("tracebacks", "10:00:02 INFO Query was:\n  SELECT 1\n  FROM dual\n10:00:03 INFO done\nprinted by somebody\n",
         [Want("Query was", "", stack=None), Want("done", ""), Want("printed", "", tag="unparsed")], 3),
]  # fmt: skip


def _carried(kind: str, prefix: str, count: int = 2) -> Case:
    """A traceback with a carrier's prefix on each line."""
    lines = (f"10:00:01 [Job {A}]: exception raised while executing (jobs.f)\n{_STACK}psycopg2.Error: no\nDETAIL: x\n\n"
             f"10:00:02 default: jobs.g() ({B})\n")  # fmt: skip
    log = "".join(f"{prefix}{line}\n" for line in lines.splitlines())
    wants = [
        Want("exception raised", "job-dead", job=A, type="psycopg2.Error", stack="DETAIL: x"),
        Want("jobs.g()", "job-started", job=B),
    ]
    return Case(kind, log, wants, count)


CASES += [
    _carried("tracebacks in carriers", prefix)
    for prefix in (
        "2026-02-10T09:00:01.000000000Z stderr F ", "2026-02-10T09:00:01.123456789Z ", "worker-1  | ",
        "worker-1  | 2026-02-10T09:00:01.123456789Z ", "[pod/rq-abc12/worker] ", "rq-7d4b9c6f5-x2k4j worker ",
        "Feb 10 10:00:01 web1 rq[123]: ", "2026-02-10T10:00:01+0100 web1 rq[123]: ", "<30>1 2026-02-10T09:00:01Z web1 rq 12 - - ",
        "Tue 2026-02-10 10:00:01 CET web1 rq[123]: ", "2026-02-10T09:00:01.000000+00:00 app[worker.1]: ",
        "rq:rq_00 stdout | ", "10:00:01 worker.1 | ", "0|rq-worker  | ", "rq_worker.1.abcdefghij@node1    | ",
        "1770714001.123456 web1 rq[123]: ", "Feb 10 10:00:01 web1 rq: ", "2026-02-10T10:00:01.123456+01:00 web1 rqworker: ",
    )
]  # fmt: skip
CASES += [
    Case("tracebacks in carriers", f'{{"log":"10:00:01 [Job {A}]: exception raised while executing (jobs.f)\\n","stream":"stderr","time":"2026-02-10T09:00:01Z"}}\n{{"log":"Traceback (most recent call last):\\n","stream":"stderr","time":"2026-02-10T09:00:01Z"}}\n{{"log":"  File x\\n","stream":"stderr","time":"2026-02-10T09:00:01Z"}}\n{{"log":"ValueError: no\\n","stream":"stderr","time":"2026-02-10T09:00:01Z"}}\n',
         [Want("exception raised", "job-dead", job=A, type="ValueError", error="no")], 1),
    Case("tracebacks in carriers", f'{{"asctime": "2026-02-10 10:00:01,000", "levelname": "ERROR", "name": "rq.worker", "message": "[Job {A}]: exception raised while executing (jobs.f)\\nTraceback (most recent call last):\\n  File x\\nValueError: no"}}\n',
         [Want("exception raised", "job-dead", job=A, type="ValueError", error="no", level="error")], 1),
    Case("tracebacks in carriers", f"a | 10:00:01 [Job {A}]: exception raised while executing (jobs.f)\na | Traceback (most recent call last):\nb | 10:00:01 [Job {B}]: exception raised while executing (jobs.g)\na |   File x\nb | Traceback (most recent call last):\nb |   File y\na | ValueError: a\nb | TypeError: b\n",
         [Want("jobs.f", "job-dead", job=A, type="ValueError", error="a"), Want("jobs.g", "job-dead", job=B, type="TypeError", error="b")], 2),
    Case("tracebacks in carriers", f"Feb 10 10:00:01 web1 rq[1]: [Job {A}]: exception raised while executing (jobs.f)\nFeb 10 10:00:01 web1 rq[1]: Traceback (most recent call last):\nFeb 10 10:00:01 web1 rq[1]:   File x\nFeb 10 10:00:01 web1 rq[1]: ValueError: a\nFeb 10 10:00:02 web1 rq[1]: default: jobs.g() ({B})\n",
         [Want("jobs.f", "job-dead", job=A, type="ValueError", error="a"), Want("jobs.g", "job-started", job=B, at="2026-02-10T09:00:02")], 2),
    Case("partial lines", f"2026-02-10T09:00:01.1Z stderr P 10:00:01 default: jobs.f(1\n2026-02-10T09:00:01.1Z stderr F ) ({A})\n2026-02-10T09:00:04.1Z stderr F 10:00:04 default: Job OK ({A})\n",
         [Want("jobs.f(1)", "job-started", job=A), Want("Job OK", "job-finished", s=3)], 2),
    # Encodings
    Case("CRLF, NUL and colours", f"\0\0\0\x1b[32m10:00:01 \x1b[32;01mdefault\x1b[39;49;00m: \x1b[34;01mjobs.f(1)\x1b[39;49;00m ({A})\r\n10:00:04 \x1b[32;01mJob OK\x1b[39;49;00m ({A})\r\n",
         [Want("jobs.f(1)", "job-started", job=A, queue="default"), Want("Job OK", "job-finished", s=3)], 2),
    Case("latin-1", f"10:00:01 default: Größe ändern ({A})\n10:00:04 default: Job OK ({A})\n",
         [Want("Größe ändern", "job-started", job=A), Want("Job OK", "job-finished", s=3)], 2, encoding="latin-1"),
    Case("UTF-16", f"10:00:01 default: Größe ändern ({A})\r\n10:00:04 default: Job OK ({A})\r\n",
         [Want("Größe ändern", "job-started", job=A), Want("Job OK", "job-finished", s=3)], 2, encoding="utf-16"),
    Case("latin-1", f"\ufeff10:00:01 default: jobs.f(1) ({A})\n", [Want("jobs.f(1)", "job-started", job=A, at="2026-02-10T09:00:01")], 1),
    # Days
    Case("days of times without a date", f"23:59:58 default: jobs.f(1) ({A})\n00:00:03 default: Job OK ({A})\n23:59:59 default: jobs.f(2) ({B})\n00:00:01 default: Job OK ({B})\n",
         [Want("jobs.f(1)", at="2026-02-08T22:59:58", action="job-started"), Want(f"OK ({A})", "job-finished", s=5), Want(f"OK ({B})", "job-finished", s=2, at="2026-02-09T23:00:01")], 4, changed="2026-02-09T23:00:01Z"),
    Case("days of times without a date", f"2026-01-05 23:59:58 INFO begin\n23:59:59 default: jobs.f(1) ({A})\n00:00:03 default: Job OK ({A})\n",
         [Want("jobs.f(1)", "job-started", at="2026-01-05T22:59:59"), Want("Job OK", "job-finished", s=4)], 3),
    Case("days of times without a date", f"11:59:58 PM default: jobs.f(1) ({A})\n12:00:03 AM default: Job OK ({A})\n",
         [Want("jobs.f(1)", "job-started", at="2026-02-09T22:59:58"), Want("Job OK", "job-finished", s=5)], 2),
    Case("the hour that comes twice", f"2025-10-26 02:59:50,000 INFO default: jobs.f(1) ({A})\n2025-10-26 02:00:10,000 INFO default: Job OK ({A})\n2025-10-26 02:30:00,000 INFO default: jobs.f(2) ({B})\n2025-10-26 03:00:00,000 INFO default: Job OK ({B})\n",
         [Want(f"OK ({A})", "job-finished", s=20, at="2025-10-26T01:00:10"), Want(f"OK ({B})", "job-finished", s=1800)], 4),
    Case("the hour that comes twice", f"2025-10-26 02:59:50 CEST default: jobs.f(1) ({A})\n2025-10-26 02:00:10 CET default: Job OK ({A})\n",
         [Want("Job OK", "job-finished", s=20)], 2),
    Case("the hour that comes twice", f"2026-03-29 01:59:50 INFO default: jobs.f(1) ({A})\n2026-03-29 03:00:10 INFO default: Job OK ({A})\n",
         [Want("Job OK", "job-finished", s=20)], 2, changed="2026-03-30T00:00:00Z"),
    Case("dates without a year", f"Dec 31 23:59:58 web1 rq[1]: default: jobs.f(1) ({A})\nJan  1 00:00:03 web1 rq[1]: default: Job OK ({A})\n",
         [Want("jobs.f(1)", "job-started", at="2025-12-31T22:59:58"), Want("Job OK", "job-finished", s=5)], 2),
    Case("days before months", f"13/01/2026 10:00:01 default: jobs.f(1) ({A})\n02/02/2026 10:00:01 default: jobs.g() ({B})\n03/02/2026 10:00:01 default: Job OK ({B})\n",
         [Want("jobs.f(1)", "job-started", at="2026-01-13"), Want("Job OK", "job-finished", s=86400, at="2026-02-03")], 3),
    Case("access logs", f'127.0.0.1 - - [10/Feb/2026:10:00:01 +0100] "GET /jobs(1) HTTP/1.1" 200 12 "-" "curl/8"\n10:00:02 default: jobs.f(1) ({A})\n[2026-02-10 10:00:03 +0100] [12] [INFO] Starting gunicorn 21.2.0\nINFO:     127.0.0.1:1234 - "GET / HTTP/1.1" 200 OK\n[10/Feb/2026 10:00:05] "GET /x HTTP/1.1" 200 5\n',
         [Want("GET /jobs", "", at="2026-02-10T09:00:01"), Want("jobs.f(1)", "job-started"), Want("gunicorn", "", at="2026-02-10T09:00:03"), Want("GET /x", "", at="2026-02-10T09:00:05")], 5),
    Case("secrets", f"10:00:01 default: jobs.f(password='hunter2', api_key=\"k-123\") ({A})\n",
         [Want("jobs.f(password=", "job-started", job=A)], 1),
]  # fmt: skip


WAYS = ("`shipper import`", "`shipper run --format legacy`", "Logstash")


def documented(way: str) -> list[str]:
    """The kinds that a way reads, by the table in docs/legacy.md."""
    lines = (Path(__file__).parent.parent / "docs/legacy.md").read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("| kind |"))
    columns = [cell.strip() for cell in lines[begin].strip("|").split("|")]
    found = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[columns.index(way)].startswith("yes"):
            found.append(cells[0])
    return found
