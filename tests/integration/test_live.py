"""What is read of a Redis equals what RQ answers, and nothing in it is changed by that."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import rq
import rq.cron
import trustme
from rq import Queue
from rq.job import Job
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.worker import Worker

from shipper import settings
from shipper.errors import SettingsError
from shipper.live import connection as live_connection
from shipper.live import cron, flow, functions, keys, queues, server, workers
from stack.processes import birth, free_port
from stack.redis import Cluster, Redis, Sentinel
from tests import work
from tests.programs import LIMIT_S, ROOT, Programs, wait_for

REGISTRIES = {
    "started": StartedJobRegistry,
    "finished": FinishedJobRegistry,
    "failed": FailedJobRegistry,
    "scheduled": ScheduledJobRegistry,
    "deferred": DeferredJobRegistry,
    "canceled": CanceledJobRegistry,
}


def dump(connection: redis.Redis) -> dict[bytes, tuple[bytes | None, int]]:
    """All keys, with their content and the time at which they expire."""
    return {key: (connection.dump(key), connection.pexpiretime(key)) for key in connection.scan_iter("*")}


def read_all(connection: Any) -> tuple[Any, ...]:
    return (
        queues.read(connection),
        workers.read(connection),
        server.read(connection),
        server.sample_keys(connection),
        cron.read(connection),
        flow.read(connection, queues.read(connection), {"letters": b"no such job"}),
        queues.is_suspended(connection),
    )


def expiry_of(job: Job) -> float:
    """When the job's entry in the registry of finished jobs expires."""
    score = job.connection.zscore(FinishedJobRegistry(job.origin, connection=job.connection).key, job.id)
    assert score is not None
    return score


@pytest.fixture
def letters(queue: Queue, programs: Programs) -> Queue:
    """A queue with jobs in all registries, and others beside it."""
    first = queue.enqueue(work.add, 1, 2, result_ttl=1)  # its entry in the registry expires before a clean-up
    queue.enqueue(work.add, 1, 2)
    for _ in range(2):
        queue.enqueue(work.fail)
    programs.work("letters")
    waiting = queue.enqueue(work.add, 3, 4)
    queue.enqueue(work.add, 5, 6, depends_on=waiting)
    queue.enqueue_in(timedelta(hours=1), work.add, 7, 8)
    queue.enqueue(work.add, 9, 10).cancel()
    queue.enqueue(work.tell_progress)
    Queue("parcels", connection=queue.connection).enqueue(work.sleep, 1)
    wait_for(lambda: expiry_of(first) < time.time() - 2, "its entry to expire")
    connection = queue.connection
    for key in connection.scan_iter("*"):
        if connection.ttl(key) >= 0:  # such as a worker's that has ended: it must not go while two answers are compared
            connection.expire(key, 86_400)
    return queue


def test_every_count_is_rq_s_own(letters: Queue, connection: redis.Redis) -> None:
    found = {one.name: one for one in queues.read(connection)}
    assert set(found) == {"letters", "parcels"}
    one = found["letters"]
    # RQ's counts clean up, so they come after.
    answers = {name: kind(queue=letters).count for name, kind in REGISTRIES.items()}
    assert {name: getattr(one, name) for name in answers} == answers
    assert answers == {"started": 0, "finished": 1, "failed": 2, "scheduled": 1, "deferred": 1, "canceled": 1}
    assert one.depth == letters.count == 2
    oldest = Job.fetch(letters.job_ids[0], connection=connection)
    assert oldest.enqueued_at is not None
    assert one.oldest == queues.Oldest(job_id=oldest.id, at=oldest.enqueued_at)


def test_nothing_in_redis_is_changed(letters: Queue, connection: redis.Redis) -> None:
    before = dump(connection)
    assert len(before) > 10
    read_all(connection)
    assert dump(connection) == before


def test_an_abandoned_execution_is_counted_and_stays(letters: Queue, connection: redis.Redis) -> None:
    connection.zadd(StartedJobRegistry(queue=letters).key, {"gone:1": time.time() - 5, "alive:2": time.time() + 3600})
    (one,) = queues.read(connection, ["letters"])
    assert (one.started, one.abandoned) == (1, 1)
    assert connection.zcard(StartedJobRegistry(queue=letters).key) == 2


def test_the_oldest_job_is_found_behind_those_at_the_front(queue: Queue, connection: redis.Redis) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    ids = [f"job-{number}" for number in range(400)]
    pipeline = connection.pipeline()
    for number, job_id in enumerate(ids):
        pipeline.hset(Job.key_for(job_id), "enqueued_at", rq.utils.utcformat(start + timedelta(seconds=number)))
        # each tenth of the first half is pushed to the front
        (pipeline.lpush if number % 2 else pipeline.rpush)(queue.key, job_id)
    connection.sadd(Queue.redis_queues_keys, queue.key)
    pipeline.execute()
    (one,) = queues.read(connection, ["letters"])
    assert one.oldest == queues.Oldest(job_id="job-0", at=start)
    assert one.oldest_age_s(start + timedelta(seconds=30)) == 30


def test_a_waiting_job_whose_key_expired_has_no_age(queue: Queue, connection: redis.Redis) -> None:
    job = queue.enqueue(work.add, 1, 2)
    connection.delete(job.key)
    (one,) = queues.read(connection, ["letters"])
    assert (one.depth, one.oldest) == (1, None)


@pytest.mark.parametrize("stored", ["garbage", "", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_none_is_left_out(queue: Queue, connection: redis.Redis, stored: str) -> None:
    job = queue.enqueue(work.add, 1, 2)
    connection.hset(job.key, "enqueued_at", stored)
    connection.hset("rq:worker:odd", mapping={"birth": stored, "last_heartbeat": stored, "queues": "letters"})
    connection.sadd("rq:workers", "rq:worker:odd")
    (one,) = queues.read(connection)
    assert (one.depth, one.oldest) == (1, None)
    assert [(each.name, each.last_heartbeat) for each in workers.read(connection)] == [("odd", None)]


def test_a_worker_is_told_with_what_it_runs(queue: Queue, programs: Programs, connection: redis.Redis) -> None:
    gate = programs.folder / "gate"
    job = queue.enqueue(work.wait_for, str(gate))
    process = programs.start("shipper", "worker", "letters", "--name", "w1")
    wait_for(lambda: len(workers.read(connection)) == 1 and workers.read(connection)[0].running, "the job to start")
    wait_for(lambda: workers.read(connection)[0].running[0].since, "its start to be saved")
    both: list[Any] = []

    def are_of_one_beat() -> bool:
        both[:] = [*workers.read(connection), *Worker.all(connection=connection)]
        return bool(both[0].last_heartbeat == both[1].last_heartbeat)

    wait_for(are_of_one_beat, "both to be read between two beats")
    one, told = both
    assert (one.name, one.state, one.pid, one.queues) == ("w1", "busy", process.pid, ("letters",))
    assert (one.successes, one.failures) == (told.successful_job_count, told.failed_job_count) == (0, 0)
    assert one.last_heartbeat == told.last_heartbeat
    assert one.birth == told.birth_date
    (running,) = one.running
    job.refresh()
    assert (running.job_id, running.function, running.queue) == (job.id, "tests.work.wait_for", "letters")
    assert running.since == job.started_at
    assert one.is_live
    assert (one.rss_bytes or 0) > 10_000_000
    process.kill()
    process.wait(LIMIT_S)
    connection.expire(f"{keys.WORKER_PREFIX}w1", 86_400)  # as of a worker that has just beaten
    gate.touch()  # the work-horse goes on and ends
    wait_for(lambda: not workers.read(connection)[0].is_live, "the killed worker to be seen as gone")
    assert not workers.read(connection)[0].is_late
    (horse,) = [one["process"]["pid"] for one in programs.records() if one["event"]["action"] == "job-started"]
    wait_for(lambda: not birth(horse), "the work-horse to end, before the next test empties Redis")


def test_a_worker_that_ended_is_not_told(queue: Queue, programs: Programs, connection: redis.Redis) -> None:
    programs.work("letters")
    assert workers.read(connection) == []


def test_a_worker_whose_key_expired_is_gone(connection: redis.Redis) -> None:
    connection.sadd(keys.WORKERS, f"{keys.WORKER_PREFIX}lost")
    (one,) = workers.read(connection)
    assert (one.name, one.state, one.is_late, one.is_live) == ("lost", "gone", True, False)


def test_the_server_and_its_keys(letters: Queue, connection: redis.Redis) -> None:
    (one,) = server.read(connection)
    facts = connection.info()
    assert (one.maxmemory_bytes, one.policy, one.run_id) == (0, "noeviction", facts["run_id"])
    assert one.used_share is None
    assert one.keys == connection.dbsize()
    sample = server.sample_keys(connection, size=1000)
    assert sample.population == one.keys
    assert {"job", "queue", "registry", "result"} <= set(sample.by_kind)
    assert {"tests.work.add", "tests.work.fail", "tests.work.sleep"} <= set(sample.jobs_by_function)


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [(100.0, 0.0), (104.0, 0.0), (105.0, 0.0), (135.0, 30.0), (70.0, -30.0)],
)
def test_a_clock_is_off_by_what_the_time_of_asking_does_not_explain(theirs: float, expected: float) -> None:
    assert server.ahead_s(theirs, asked_at=100.0, answered_at=105.0) == expected


def test_refused_commands_are_counted(connection: redis.Redis) -> None:
    (before,) = server.read(connection)
    with pytest.raises(redis.ResponseError):
        connection.execute_command("GET")
    (after,) = server.read(connection)
    assert after.rejected_commands == before.rejected_commands + 1


def test_a_large_payload_is_not_read(queue: Queue, connection: redis.Redis) -> None:
    large = queue.enqueue(work.add, os.urandom(200_000), 1)
    described = queue.enqueue(work.add, os.urandom(200_000), 1, description="the third of March")
    found = functions.of(connection, [large.id, described.id, "no-such-job"])
    assert found == {large.id: "tests.work.add"}


CRON = """
from rq import cron
from tests import work
cron.register(work.add, "letters", args=(1, 2), cron="5 0 29 2 *", name="sums")
cron.register(work.fail, "letters", interval=3600)
"""


@pytest.mark.skipif(not hasattr(rq.cron, "get_cron_job_ids"), reason="this RQ keeps no history of cron jobs")
def test_payloads_are_read_a_few_at_a_time(
    queue: Queue, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is in Redis's own memory until it is read: one that is nearly full would refuse jobs meanwhile."""
    answered = []

    def ask(*given: Any) -> list[Any]:
        answers = keys.ask(*given)
        answered.append(sum(len(value) for one in answers if isinstance(one, list) for value in one if value))
        return answers

    jobs = [queue.enqueue(work.add, os.urandom(40_000), number) for number in range(30)]
    monkeypatch.setattr(functions, "keys", SimpleNamespace(ask=ask, job=keys.job))
    found = functions.of(connection, [job.id for job in jobs])
    assert found == dict.fromkeys([job.id for job in jobs], "tests.work.add")
    assert sum(answered) > 30 * 40_000
    assert max(answered) <= functions.PORTION + 10_000  # with what we have put beside


def test_cron_jobs_are_told(queue: Queue, programs: Programs, connection: redis.Redis, redis_url: str) -> None:
    (programs.folder / "crontab.py").write_text(CRON)
    programs.environment["PYTHONPATH"] = str(ROOT)
    process = programs.start("rq", "cron", str(programs.folder / "crontab.py"), "--url", redis_url)
    wait_for(lambda: len(cron.read(connection)) == 2 and cron.read(connection)[1].last, "the cron jobs")
    programs.work("letters")
    told = {one.name: one for one in rq.cron.CronScheduler.all(connection, cleanup=False)[0].get_jobs()}
    sums, fails = cron.read(connection)
    assert (sums.name, sums.function, sums.schedule) == ("sums", "tests.work.add", "5 0 29 2 *")
    assert (fails.name, fails.schedule, fails.outcomes) == ("tests.work.fail", "every 3600 s", (("failed", 1),))
    assert [sums.next, fails.next] == [told["sums"].next_enqueue_time, told["tests.work.fail"].next_enqueue_time]
    assert fails.last == told["tests.work.fail"].latest_enqueue_time
    assert sums.following(datetime(2026, 11, 1, 12, 1, tzinfo=UTC)) == datetime(2028, 2, 29, 0, 5, tzinfo=UTC)
    process.terminate()
    process.wait(LIMIT_S)
    assert cron.read(connection) == []


# --- other connections ------------------------------------------------------------------------------------


def connect(url: str) -> Any:
    return live_connection.connect(settings.load(environment={"SHIPPER_REDIS": url}))


def test_with_decoded_answers_all_is_read(letters: Queue, redis_url: str) -> None:
    with connect(redis_url) as raw, connect(f"{redis_url}?decode_responses=true") as texts:
        found, decoded = read_all(raw), read_all(texts)
    assert found[0] == decoded[0]
    assert decoded[3].by_kind.keys() == found[3].by_kind.keys()


@pytest.mark.skipif(not hasattr(rq.defaults, "RQ_KEY_PREFIX"), reason="this RQ has no RQ_KEY_PREFIX yet")
def test_with_another_prefix_all_is_read(connection: redis.Redis, programs: Programs, redis_url: str) -> None:
    environment = {**os.environ, **programs.environment, "RQ_KEY_PREFIX": "{shop}"}
    script = (
        "import rq, redis; from tests import work; from shipper.live import queues;"
        f"c = redis.Redis.from_url({redis_url!r}); rq.Queue('letters', connection=c).enqueue(work.add, 1, 2);"
        "print(queues.read(c)[0].depth, list(c.scan_iter('rq:*')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "1 []", done.stderr


def test_a_url_names_a_master_behind_a_sentinel(sentinel: Sentinel) -> None:
    with connect(f"redis-sentinel://127.0.0.1:{sentinel.port}/mymaster/2") as through:
        Queue("letters", connection=through).enqueue(work.add, 1, 2)
        assert queues.read(through)[0].depth == 1
        (one,) = server.read(through)
    assert (one.address, one.database) == ("mymaster", 2)


@pytest.mark.slow
def test_a_url_names_a_cluster(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        ports = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)
        with connect(f"redis-cluster://{ports}") as spread:
            for name in ("letters", "parcels"):  # in other slots
                Queue(name, connection=spread).enqueue(work.add, 1, 2)
            keys_before = {key: spread.dump(key) for key in spread.scan_iter("*")}
            found, _, servers, sample, *_ = read_all(spread)
            assert {key: spread.dump(key) for key in spread.scan_iter("*")} == keys_before
    finally:
        cluster.stop()
    assert [(one.name, one.depth, one.oldest is not None) for one in found] == [
        ("letters", 1, True),
        ("parcels", 1, True),
    ]
    assert len(servers) == len({one.run_id for one in servers}) == 3
    assert (sample.taken, sample.population) == (len(keys_before), len(keys_before))
    assert sample.jobs_by_function["tests.work.add"][0] == 2


def test_tls_is_used_where_the_url_says_so(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    server.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    tls_port = free_port()
    files = ("--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem")
    own = Redis(tmp_path, "--tls-port", str(tls_port), "--tls-auth-clients", "no", *files)
    try:
        with connect(f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={tmp_path}/ca.pem") as secure:
            Queue("letters", connection=secure).enqueue(work.add, 1, 2)
            assert read_all(secure)[0][0].depth == 1
    finally:
        own.stop()


def test_without_the_right_to_ask_the_server_the_rest_is_read(letters: Queue, connection: redis.Redis) -> None:
    rights = ["-@all", "+@read", "+@connection", "+pubsub|numsub", "+time", "-randomkey", "-memory"]
    connection.execute_command("ACL", "SETUSER", "watch", "on", ">secret", "~rq:*", *rights)
    try:
        url = f"redis://watch:secret@127.0.0.1:{connection.connection_pool.connection_kwargs['port']}/0"
        with connect(url) as restricted:
            found, _, servers, sample, *_ = read_all(restricted)
    finally:
        connection.execute_command("ACL", "DELUSER", "watch")
    assert [one.name for one in found] == ["letters", "parcels"]
    assert (servers, sample.taken) == ([], 0)


@pytest.mark.parametrize("url", ["redis-sentinel://host:26379", "redis://host:port", "redis-cluster:///x", "nonsense"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(SettingsError, match="'redis' is no address"):
        connect(url)
