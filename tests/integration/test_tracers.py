"""Beside a tracer that has wrapped RQ's methods before us, or does so after us: jobs run, and all of it is recorded."""

from __future__ import annotations

import pytest

from tests.programs import BIN, Programs

# Tracers wrap by wrapt, whose wrappers know the instance only when they are called as Python calls a method.
WRAPT = """
import wrapt
from shipper.emit.instrument import PATCHES, _targets

def passes_on(wrapped, instance, args, kwargs):
    assert instance is not None, f"{wrapped} was called as a plain function"
    seen.add(wrapped.__name__)
    return wrapped(*args, **kwargs)

for patch in PATCHES:
    for owner, _ in _targets(patch):
        if isinstance(owner, type):
            wrapt.wrap_function_wrapper(owner, patch.name, passes_on)
for name in ("execute", "reset"):
    wrapt.wrap_function_wrapper(redis.client.Pipeline, name, passes_on)
"""
DDTRACE = """
import ddtrace
ddtrace.patch(rq=True, redis=True)
from ddtrace.trace import tracer
class Seen:
    def process_trace(self, trace):
        seen.update(span.name for span in trace)
        return None  # nobody is there to be sent anything
tracer.configure(trace_processors=[Seen()])
"""
OURS = "shipper.instrument()"
WORK = """
import os, tests.work
connection = redis.Redis.from_url(os.environ["SHIPPER_REDIS"])
queue = rq.Queue("letters", connection=connection)
for worker in (rq.SimpleWorker, rq.Worker):
    queue.enqueue(tests.work.add, 1, 2)
    queue.enqueue(tests.work.fail)
    with connection.pipeline() as pipe:
        queue.enqueue(tests.work.add, 3, 4, pipeline=pipe)
        pipe.execute()
    worker([queue], connection=connection).work(burst=True, logging_level="WARNING")
queue.enqueue(tests.work.add, 5, 6).cancel()
print(sorted(seen))
"""
QUIET = {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
    "DD_AGENT_HOST": "127.0.0.1",
    "DD_TRACE_AGENT_PORT": "1",
    "DD_CRASHTRACKING_ENABLED": "false",
}
EACH_WORKER = ["job-enqueued"] * 3 + ["job-started"] * 3 + ["job-finished"] * 2 + ["job-dead"]


@pytest.mark.parametrize("ours_comes", ["last", "first"])
@pytest.mark.parametrize(("tracer", "saw"), [(WRAPT, "perform_job"), (DDTRACE, "rq.worker.perform_job")])
@pytest.mark.usefixtures("connection")
def test_jobs_run_beside_a_tracer_and_are_recorded(programs: Programs, tracer: str, saw: str, ours_comes: str) -> None:
    both = [tracer, OURS] if ours_comes == "last" else [OURS, tracer]
    program = "\n".join(["import redis, rq, rq.cron, rq.worker, shipper", "seen = set()", *both, WORK])
    done = programs.run("python", "-c", program, **QUIET)
    assert sorted(programs.actions()) == sorted(EACH_WORKER * 2 + ["job-enqueued", "job-canceled"])
    assert {record["error"]["type"] for record in programs.records() if "error" in record} == {"ValueError"}
    assert repr(saw) in done.stdout  # the tracer was not passed over
    assert "plain function" not in done.stdout + done.stderr


@pytest.mark.usefixtures("connection")
def test_the_unmodified_command_runs_under_a_tracer(programs: Programs) -> None:
    url = programs.environment["SHIPPER_REDIS"]
    programs.run(
        "python",
        "-c",
        "import redis, rq, shipper, os, tests.work\n"
        + OURS
        + f"""
queue = rq.Queue("letters", connection=redis.Redis.from_url({url!r}))
for number in range(3):
    queue.enqueue(tests.work.add, number, 1)
""",
    )
    programs.run(
        "ddtrace-run",
        str(BIN / "rq"),
        "worker",
        "letters",
        "--burst",
        "--url",
        url,
        RQ_JOB_CLASS="shipper.LoggedJob",
        **QUIET,
    )
    assert sorted(programs.actions()) == sorted(["job-enqueued", "job-started", "job-finished"] * 3)
