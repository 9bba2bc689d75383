"""`shipper watch` on a real Redis with real workers: what goes wrong is told, once, and before users notice."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import rq.cron
from elasticsearch import Elasticsearch
from rq import Queue

import shipper
from shipper.errors import SettingsError
from shipper.watch import notify
from stack.redis import Redis
from tests import work
from tests.programs import HOUR_S, LIMIT_S, ROOT, Programs, Started, count, wait_for
from tests.recording import record_here

NOWHERE = "http://127.0.0.1:1"


def alerts(programs: Programs, rule: str | None = None) -> list[dict[str, Any]]:
    return [
        record
        for record in programs.written()
        if record["event"]["dataset"] == "rq.alert" and rule in (None, record["rule"]["name"])
    ]


def actions(programs: Programs, rule: str) -> list[str]:
    return [record["event"]["action"].removeprefix("alarm-") for record in alerts(programs, rule)]


def start_watch(programs: Programs, alarms: str = "", **environment: str) -> Started:
    """A watch that samples each second."""
    return programs.start("shipper", "watch", SHIPPER_ALARMS=alarms, **{"SHIPPER_WATCH_EVERY": "1s", **environment})


def is_told(programs: Programs, rule: str, *said: str) -> Any:
    return lambda: actions(programs, rule) == list(said)


# --- Redis fills up ---------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A Redis of this test alone, whose memory will be limited. This process writes records of what it enqueues."""
    (tmp_path / "redis").mkdir()
    server = Redis(tmp_path / "redis")
    programs.environment["SHIPPER_REDIS"] = server.url
    shipper.instrument()
    record_here(programs, monkeypatch)
    with redis.Redis.from_url(server.url) as connection:
        yield connection
    server.stop()


PUSH_UNTIL_REFUSED = """
import collections, os, pathlib, time, redis, rq, shipper
from tests import work
shipper.instrument()
queue = rq.Queue("letters", connection=redis.Redis.from_url(os.environ["SHIPPER_REDIS"]))
log, memory = pathlib.Path(os.environ["SHIPPER_LOG"]), queue.connection.info("memory")

def sampled_by_both():
    lines = log.read_bytes().splitlines()
    times = collections.Counter(line[:45] for line in lines if b'"dataset":"rq.redis"' in line)
    return sum(count == 2 for count in times.values())

for number in range(1000):
    if number % 5 == 0 and queue.connection.info("memory")["used_memory"] > 0.7 * memory["maxmemory"]:
        # Both watches look at the same times. On a busy machine they look later, and the jobs have to come later, too:
        # at once after both have looked, so that they always see the same.
        before = sampled_by_both()
        while sampled_by_both() == before:
            time.sleep(0.02)
    try:
        queue.enqueue(work.add, os.urandom(40_000), number)  # 40 kB more each time, as it cannot be compressed
        queue.enqueue(work.sleep, 0)
    except redis.exceptions.OutOfMemoryError:
        print(time.time())
        break
"""


@pytest.mark.slow
def test_a_redis_that_fills_up_is_told_before_it_refuses(
    small: redis.Redis, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    queue, gate = Queue("letters", connection=small), programs.folder / "gate"
    held = [queue.enqueue(work.wait_for, str(gate), job_timeout=HOUR_S) for _ in range(2)]
    for _ in held:
        programs.start("shipper", "worker", "letters")
    wait_for(lambda: all(job.get_status() == "started" for job in held), "both workers to be busy")
    for number in range(2):  # each with a state of its own, as on two hosts, and no lock between them
        start_watch(programs, SHIPPER_STATE=str(programs.folder / f"watch-{number}"), SHIPPER_WATCH_EVERY="2s")

    def sampled_by_both() -> int:
        samples = [record for record in programs.written() if record["event"]["dataset"] == "rq.redis"]
        return sum(count == 2 for count in Counter(one["@timestamp"] for one in samples).values())

    wait_for(sampled_by_both, "both to watch")
    small.config_set("maxmemory", small.info("memory")["used_memory"] + 5_000_000)
    refused_at = float(programs.run("python", "-c", PUSH_UNTIL_REFUSED).stdout)
    opened = alerts(programs, "redis_memory")
    assert opened, "a job was refused, and nobody had told"
    assert min(datetime.fromisoformat(one["event"]["created"]).timestamp() for one in opened) < refused_at
    assert {one["code"]["function"]["name"] for one in opened} == {"tests.work.add"}
    assert "tests.work.add (" in opened[0]["message"]
    assert opened[0]["rq"]["alert"]["facts"]["time_left_s"] > 0
    refused = [record for record in programs.records() if record["event"]["action"] == "job-refused"]
    assert [record["event"]["reason"] for record in refused] == ["redis_full"]
    wait_for(lambda: actions(programs, "redis_memory").count("opened") >= 2, "both to tell")
    before = sampled_by_both()
    wait_for(lambda: sampled_by_both() > before, "both to have looked, so that they see the same at the next look")
    queue.empty()
    wait_for(lambda: actions(programs, "redis_memory").count("closed") >= 2, "both alarms to close")
    gate.touch()
    wait_for(lambda: programs.actions().count("job-finished") == 2, "both jobs to end as ever")
    programs.run("shipper", "run", "--once", SHIPPER_STATE=str(programs.folder / "shipper"))
    once = {"bool": {"filter": [{"term": {"rule.name": "redis_memory"}}]}}
    assert count(search, f"rq-alert-{namespace}-*", once) == 2, "opened once and closed once, though two watched"


def _in_a_pipeline(queue: Queue) -> None:
    with queue.connection.pipeline() as pipeline:
        queue.enqueue(work.add, 1, 2, pipeline=pipeline)
        pipeline.execute()


ENQUEUES: dict[str, Callable[[Queue], object]] = {
    "enqueue": lambda queue: queue.enqueue(work.add, 1, 2),
    "enqueue_in": lambda queue: queue.enqueue_in(timedelta(hours=1), work.add, 1, 2),
    "with a parent": lambda queue: queue.enqueue(work.add, 1, 2, depends_on="parent"),
    "unique": lambda queue: queue.enqueue(work.add, 1, 2, unique="{function}"),
    "in a pipeline": _in_a_pipeline,
}


@pytest.mark.parametrize("how", ENQUEUES)
def test_whatever_a_full_redis_refuses_is_told_once(small: redis.Redis, programs: Programs, how: str) -> None:
    """Also what is refused before the job itself is saved: RQ first adds the queue to the set of queues."""
    queue = Queue("letters", connection=small)
    queue.enqueue(work.add, 1, 2, job_id="parent")
    small.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        ENQUEUES[how](queue)
    refused = [record for record in programs.records() if record["event"]["action"] == "job-refused"]
    assert [record["event"]["reason"] for record in refused] == ["redis_full"]


def _leave_no_room(url: str) -> None:
    with redis.Redis.from_url(url) as connection:
        connection.config_set("maxmemory", 1)


def test_a_job_that_ran_at_once_was_not_refused(small: redis.Redis, programs: Programs) -> None:
    """In a synchronous queue the job runs in the enqueuing call, and Redis may refuse to store its result."""
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        Queue("letters", connection=small, is_async=False).enqueue(
            _leave_no_room, programs.environment["SHIPPER_REDIS"]
        )
    assert programs.actions() == ["job-enqueued", "job-started", "job-dead"]


# --- workers, jobs and cron jobs that stop ----------------------------------------------------------------


@pytest.mark.slow
def test_a_queue_whose_workers_are_killed_is_told(queue: Queue, programs: Programs) -> None:
    start_watch(programs)
    worker = programs.start("shipper", "worker", "letters", "--name", "w1")
    wait_for(lambda: any("worker" in record.get("rq", {}) for record in programs.written()), "the worker to be seen")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(LIMIT_S)
    queue.enqueue(work.add, 1, 2)
    wait_for(is_told(programs, "no_worker", "opened"), "the queue without a worker to be told")
    wait_for(is_told(programs, "worker_silent", "opened"), "the killed worker to be told")
    (silent,) = alerts(programs, "worker_silent")
    assert (silent["messaging"]["client"]["id"], "not connected" in silent["message"]) == ("w1", True)
    programs.start("shipper", "worker", "letters", "--name", "w2")
    wait_for(is_told(programs, "no_worker", "opened", "closed"), "a new worker to close it")


@pytest.mark.slow
def test_a_job_that_hangs_is_told(queue: Queue, programs: Programs, search: Elasticsearch, namespace: str) -> None:
    gate, open_gate = programs.folder / "gate", programs.folder / "open"
    open_gate.touch()
    for _ in range(20):
        queue.enqueue(work.wait_for, str(open_gate))
    programs.work("letters")
    programs.run("shipper", "run", "--once", SHIPPER_STATE=str(programs.folder / "shipper"))
    count(search, f"rq-job-{namespace}-*")
    hanging = queue.enqueue(work.wait_for, str(gate), job_timeout=HOUR_S)
    programs.start("shipper", "worker", "letters")
    start_watch(programs, "job_overrun.min_runtime=1s")
    wait_for(is_told(programs, "job_overrun", "opened"), "the job to be told")
    (told,) = alerts(programs, "job_overrun")
    assert told["messaging"]["message"]["id"] == hanging.id
    assert told["code"]["function"]["name"] == "tests.work.wait_for"
    gate.touch()
    wait_for(is_told(programs, "job_overrun", "opened", "closed"), "its end to close it")


CRON = """
from rq import cron
from tests import work
cron.register(work.add, "letters", args=(1, 2), interval=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(rq.cron, "CronScheduler"), reason="this RQ has no cron jobs")
def test_a_missed_cron_run_is_told(queue: Queue, programs: Programs, redis_url: str) -> None:
    (programs.folder / "crontab.py").write_text(CRON)
    crontab = ("rq", "cron", str(programs.folder / "crontab.py"), "--url", redis_url)
    environment = {"PYTHONPATH": str(ROOT)}
    # As long as the scheduler runs, with a patience for a machine that is busy.
    watch = start_watch(programs, f"cron_missed.grace={LIMIT_S:.0f}s", SHIPPER_ELASTICSEARCH=NOWHERE)
    scheduler = programs.start(*crontab, **environment)
    wait_for(lambda: any("cron" in record.get("rq", {}) for record in programs.written()), "the cron job to be seen")
    assert actions(programs, "cron_missed") == []
    os.kill(scheduler.pid, signal.SIGKILL)
    scheduler.wait(LIMIT_S)
    watch.terminate()
    assert watch.wait(LIMIT_S) == 0
    start_watch(programs, "cron_missed.grace=4s", SHIPPER_ELASTICSEARCH=NOWHERE)
    wait_for(is_told(programs, "cron_missed", "opened"), "the missed run to be told")
    (told,) = alerts(programs, "cron_missed")
    assert "tests.work.add (every 2 s) was due" in told["message"]
    programs.start(*crontab, **environment)
    # It opens again where the next run comes late, on a busy machine.
    wait_for(lambda: actions(programs, "cron_missed")[:2] == ["opened", "closed"], "the next run to close it")


# --- what is away -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_redis_and_elasticsearch_it_says_so_and_goes_on(tmp_path: Path, programs: Programs) -> None:
    (tmp_path / "redis").mkdir()
    server = Redis(tmp_path / "redis")
    server.stop()
    programs.environment |= {"SHIPPER_REDIS": server.url, "SHIPPER_ELASTICSEARCH": NOWHERE}
    watch = start_watch(programs)
    wait_for(is_told(programs, "redis_unreachable", "opened"), "the missing Redis to be told")
    wait_for(is_told(programs, "elasticsearch_unreachable", "opened"), "the missing Elasticsearch to be told")
    again = Redis(tmp_path / "redis", port=server.port)
    try:
        wait_for(is_told(programs, "redis_unreachable", "opened", "closed"), "its return to be told")
        assert watch.poll() is None
    finally:
        again.stop()


@pytest.mark.slow
def test_an_alarm_survives_a_restart_of_the_watch(
    queue: Queue, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    queue.enqueue(work.add, 1, 2)
    watch = start_watch(programs)
    wait_for(is_told(programs, "no_worker", "opened"), "the alarm")
    watch.kill()  # it has no time to say anything
    watch.wait(LIMIT_S)
    watch = start_watch(programs)
    said = programs.folder / "shipper.log"
    samples = lambda: sum(record["event"]["dataset"] == "rq.queue" for record in programs.written())  # noqa: E731
    before = samples()
    wait_for(lambda: samples() >= before + 3, "the next samples")
    watch.terminate()
    assert watch.wait(LIMIT_S) == 0, said.read_text()
    # Another one, without that state, reads in Elasticsearch which alarms are open.
    programs.run("shipper", "run", "--once", SHIPPER_STATE=str(programs.folder / "shipper"))
    count(search, f"rq-alert-{namespace}-*")
    start_watch(programs, SHIPPER_STATE=str(programs.folder / "other"))
    before = samples()
    wait_for(lambda: samples() >= before + 3, "the samples of the other one")
    assert actions(programs, "no_worker") == ["opened"]
    programs.work("letters")
    wait_for(is_told(programs, "no_worker", "opened", "closed"), "it to close the alarm")
    ids = {record["rq"]["alert"]["id"] for record in alerts(programs, "no_worker")}
    assert len(ids) == 1


def test_one_pass_says_what_is_wrong_and_ends(queue: Queue, programs: Programs) -> None:
    done = programs.run("shipper", "watch", "--once", check=False, SHIPPER_ELASTICSEARCH=NOWHERE)
    assert (done.returncode, "cannot be reached" in done.stderr) == (1, True)
    done = programs.run("shipper", "watch", check=False, SHIPPER_ALARMS="no_workr.enabled=no", SHIPPER_NOTIFY="lgo")
    assert (done.returncode, "Did you mean no_worker?" in done.stderr) == (2, True)


# --- notices ----------------------------------------------------------------------------------------------


class Hook(http.server.BaseHTTPRequestHandler):
    """Refuses the first request, and keeps what it gets then."""

    got: list[dict[str, Any]]
    refusals: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if type(self).refusals:
            type(self).refusals -= 1
            self.send_response(503)
        else:
            type(self).got.append(json.loads(body))
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def hook() -> Iterator[tuple[str, type[Hook]]]:
    kind = type("OneHook", (Hook,), {"got": [], "refusals": 1})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/alarm?token=secret", kind
    server.shutdown()
    thread.join()
    server.server_close()


NOTICE: notify.Notice = {
    "state": "open",
    "severity": "critical",
    "rule": "no_worker",
    "subject": "low",
    "message": "low: 1 jobs wait.",
    "id": "a1",
}


def test_a_notifier_that_fails_is_retried_and_holds_no_other_up(
    hook: tuple[str, type[Hook]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify, "RETRY_FIRST_S", 0.05)
    url, kind = hook
    couriers = [notify.Courier(spec) for spec in (url, f"command:tee {tmp_path}/notice", "command:false")]
    for courier in couriers:
        courier.put(NOTICE)
    wait_for(lambda: kind.got, "the webhook")
    wait_for(lambda: not couriers[0].pending(), "the webhook's answer")
    wait_for(lambda: not couriers[1].pending(), "the command's end")
    assert json.loads((tmp_path / "notice").read_text()) == NOTICE
    assert kind.got[0]["text"] == "critical: no_worker: low: 1 jobs wait."
    for courier in couriers:
        courier.stop(LIMIT_S)
    assert [len(courier.pending()) for courier in couriers] == [0, 0, 1]
    assert "secret" not in caplog.text


def test_apprise_s_services_are_named_by_their_addresses(hook: tuple[str, type[Hook]]) -> None:
    url, kind = hook
    kind.refusals = 0
    courier = notify.Courier(url.replace("http://", "json://"))
    courier.put(NOTICE)
    wait_for(lambda: kind.got, "the notice")
    courier.stop(LIMIT_S)
    assert (kind.got[0]["title"], kind.got[0]["message"]) == ("critical: no_worker", NOTICE["message"])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("lgo", "Did you mean log?"),
        ("command:/no/such/program", "no such program"),
        ("nonsense://secret", "does not accept"),
    ],
)
def test_a_notifier_that_is_none_is_named(spec: str, said: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        notify.Courier(spec)
    assert said in str(wrong.value)
    assert "secret" not in str(wrong.value)
