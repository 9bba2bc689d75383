"""Critical sections with real workers: who gets in, what becomes of who does not, and who lets others in again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Callback, Queue, Retry
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry

import shipper
from shipper import SectionBusy, SectionError
from shipper.sections import caller, section, store
from stack.processes import birth
from stack.redis import Redis as OwnRedis
from tests import sections_work
from tests.programs import LIMIT_S, ROOT, Programs, wait_for

WORKERS = ("rq.worker.Worker", "rq.worker.SpawnWorker", "rq.worker.SimpleWorker")
YEARS = 10 * 365 * 86_400


@pytest.fixture
def environment(without_elasticsearch: dict[str, str]) -> dict[str, str]:
    """Nothing here needs it."""
    return without_elasticsearch


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "notes")


@pytest.fixture
def own(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections outside of jobs use the tests' Redis."""
    monkeypatch.setattr(caller, "_own_connection", lambda: redis.Redis.from_url(redis_url))


class Holding:
    """A section that a job of another worker holds, until it is let go."""

    def __init__(self, queue: Queue, programs: Programs, file: str, user_id: int = 7) -> None:
        self.gate = Path(f"{file}.gate")
        self._held = Path(f"{file}.held")
        others = Queue("holders", connection=queue.connection)
        self.job = others.enqueue(
            sections_work.hold, user_id, str(self.gate), str(self._held), job_timeout=sections_work.TTL_S
        )
        self.worker = worker(programs, "holders")
        wait_for(self._held.exists, "the section to be held")

    def let_go(self) -> None:
        self.gate.touch()


@pytest.fixture
def holding(queue: Queue, programs: Programs, file: str) -> Iterator[Holding]:
    held = Holding(queue, programs, file)
    yield held
    held.let_go()


def worker(programs: Programs, *flags: str) -> Any:
    url = programs.environment["SHIPPER_REDIS"]
    return programs.start("rq", "worker", *flags, "--url", url, RQ_JOB_CLASS="shipper.LoggedJob")


def enqueue(queue: Queue, function: Any, *args: Any, job_timeout: int = sections_work.TTL_S, **options: Any) -> Job:
    return queue.enqueue(function, *args, job_timeout=job_timeout, **options)


def actions(programs: Programs, job: Job) -> list[str]:
    return [one["event"]["action"] for one in programs.records() if one["messaging"]["message"]["id"] == job.id]


def sections_of(redis_url: str) -> list[str]:
    with redis.Redis.from_url(redis_url) as connection:
        return [key.decode() for key in connection.keys("shipper:section:*")]


def notes(file: str) -> list[list[str]]:
    """(what, fence, pid, time) of each."""
    return [line.split() for line in Path(file).read_text().splitlines()] if Path(file).exists() else []


# --- getting in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WORKERS)
def test_a_job_gets_in_and_lets_others_in_again(queue: Queue, programs: Programs, file: str, kind: str) -> None:
    jobs = [enqueue(queue, sections_work.transfer, 7, file), enqueue(queue, sections_work.fail, 7, file)]
    jobs.append(enqueue(queue, sections_work.in_a_block, 7, file))
    programs.work(queue.name, "--worker-class", kind)
    assert [job.get_status() for job in jobs] == ["finished", "failed", "finished"]
    fences = [int(fence) for what, fence, *_ in notes(file) if what == "enter"]
    assert fences == sorted(set(fences))
    assert len(fences) == 3
    assert sections_of(programs.environment["SHIPPER_REDIS"]) == []


def test_a_coroutine_gets_in(queue: Queue, programs: Programs, file: str) -> None:
    job = enqueue(queue, sections_work.in_a_coroutine, 7, file)
    programs.work(queue.name)
    assert job.get_status() == "finished"
    assert [what for what, *_ in notes(file)] == ["enter", "leave"]


def test_families_share_a_section_by_its_name(queue: Queue, programs: Programs, file: str, holding: Holding) -> None:
    job, other = enqueue(queue, sections_work.reconcile, 7, file), enqueue(queue, sections_work.reconcile, 8, file)
    worker(programs, queue.name)
    wait_for(lambda: other.get_status() == "finished", "the other user's job")
    assert len(notes(file)) == 2
    holding.let_go()
    wait_for(lambda: job.get_status() == "finished", "the job that waited")


# --- what becomes of who does not get in ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "scheduler"), [(WORKERS[0], True), (WORKERS[0], False), (WORKERS[1], False), (WORKERS[2], False)]
)
def test_a_busy_job_goes_back_to_its_queue_and_keeps_its_retries(
    queue: Queue, programs: Programs, file: str, holding: Holding, kind: str, scheduler: bool
) -> None:
    options: dict[str, Any] = {"retry": Retry(max=2), "meta": {"file": file}}
    job = enqueue(
        queue, sections_work.transfer, 7, file, on_failure=Callback(sections_work.failure_callback), **options
    )
    flags = ("--with-scheduler",) if scheduler else ()
    handlers = ("--exception-handler", "tests.sections_work.note_exception")
    worker(programs, queue.name, "--worker-class", kind, *flags, *handlers)
    wait_for(lambda: actions(programs, job).count("job-busy") >= 2, "two tries in vain")
    holding.let_go()
    wait_for(lambda: "job-finished" in actions(programs, job), "the job to get in")
    job.refresh()
    assert job.retries_left == 2
    assert [what for what, *_ in notes(file)] == ["enter", "leave"]  # no callback, no handler
    records = [one for one in programs.records() if one["messaging"]["message"]["id"] == job.id]
    busy = [one for one in records if one["event"]["action"] == "job-busy"]
    assert {one["rq"]["section"]["holder"] for one in busy} == {holding.job.id}
    assert {one["rq"]["section"]["holder_function"] for one in busy} == {"tests.sections_work.hold"}
    assert [one["rq"]["section"]["tries"] for one in busy] == list(range(1, len(busy) + 1))
    assert {one["rq"]["attempt"] for one in records} == {1}
    closings = [one["rq"]["execution_id"] for one in records if one["event"]["action"] in ("job-busy", "job-finished")]
    started = [one["rq"]["execution_id"] for one in records if one["event"]["action"] == "job-started"]
    assert closings == started  # one for each execution
    causes = [one["rq"]["cause"] for one in records if one["event"]["action"] == "job-enqueued"]
    assert set(causes[1:]) == {"scheduler" if scheduler else "busy"}
    assert [one for one in records if one["event"]["action"] in ("job-retried", "job-dead")] == []


def test_a_work_horse_that_is_killed_right_after_its_job_went_back_has_failed_nothing(
    queue: Queue, programs: Programs, file: str, holding: Holding
) -> None:
    job = enqueue(queue, sections_work.be_killed_after_going_back, 7, file, retry=Retry(max=1))
    worker(programs, queue.name)
    wait_for(lambda: "job-busy" in actions(programs, job), "its parent to tell of it")
    holding.let_go()
    wait_for(lambda: "job-finished" in actions(programs, job), "the job to get in")
    told = actions(programs, job)
    assert "job-retried" not in told
    assert "job-dead" not in told
    job.refresh()
    assert job.retries_left == 1
    assert queue.failed_job_registry.count == 0


def test_skip_fail_and_a_function(queue: Queue, programs: Programs, holding: Holding) -> None:
    skips, fails = enqueue(queue, sections_work.skips, 7), enqueue(queue, sections_work.fails, 7)
    asks, swallows = enqueue(queue, sections_work.asks, 7), enqueue(queue, sections_work.swallow, 7)
    programs.work(queue.name)
    assert (skips.get_status(), skips.return_value()) == ("finished", None)
    assert asks.return_value() == "later, after tests.sections_work.hold"
    assert fails.get_status() == "failed"
    assert swallows.return_value() == "kept out"
    assert actions(programs, skips)[-2:] == ["job-busy", "job-finished"]
    assert actions(programs, fails)[-2:] == ["job-busy", "job-dead"]
    (dead,) = [one for one in programs.records() if one["event"]["action"] == "job-dead"]
    assert dead["event"]["reason"] == "busy"
    assert dead["error"]["type"] == "shipper.errors.SectionBusy"


def test_a_job_that_was_tried_too_often_is_dead_whatever_its_retries(
    queue: Queue, programs: Programs, holding: Holding
) -> None:
    job = enqueue(queue, sections_work.tries_three_times, 7, retry=Retry(max=5))
    programs.work(queue.name)
    assert job.get_status() == "failed"
    assert actions(programs, job).count("job-busy") == 3
    (dead,) = [one for one in programs.records() if one["event"]["action"] == "job-dead"]
    assert (dead["event"]["reason"], dead["rq"]["attempt"]) == ("busy", 1)
    assert "tried 3 times" in dead["error"]["message"]


def test_a_job_may_wait_in_its_worker(queue: Queue, programs: Programs, file: str, holding: Holding) -> None:
    job = enqueue(queue, sections_work.waits, 7, file)
    worker(programs, queue.name)
    key = store.waiters_key("financial:7")
    wait_for(lambda: queue.connection.hexists(key, job.id), "the job to wait")
    holding.let_go()
    wait_for(lambda: "job-finished" in actions(programs, job), "the job to get in")
    waited_s = job.return_value()
    assert waited_s is not None
    assert waited_s > 0
    assert "job-busy" not in actions(programs, job)
    assert not queue.connection.exists(key)
    raw: Any = queue.connection.hgetall(store.counters_key())
    counters = {name.decode(): int(value) for name, value in raw.items()}
    assert counters["financial:{user_id}|waits"] == 1
    assert counters["financial:{user_id}|waited_ms"] > 0


def test_fifty_jobs_for_one_key_all_end(queue: Queue, programs: Programs, file: str) -> None:
    jobs = [enqueue(queue, sections_work.transfer, 7, file, 0.01) for _ in range(50)]
    for _ in range(3):
        worker(programs, queue.name, "--with-scheduler")
    wait_for(lambda: all(job.get_status() == "finished" for job in jobs), "all fifty")
    assert_one_at_a_time(file)
    assert len(notes(file)) == 100


def assert_one_at_a_time(file: str) -> None:
    """Nobody entered before the one before had left, and fences grow."""
    inside: list[str] = []
    fences: list[int] = []
    for what, fence, *_ in notes(file):
        if what == "enter":
            assert inside == [], f"{fence} entered while {inside} was inside"
            inside.append(fence)
            fences.append(int(fence))
        else:
            assert inside == [fence]
            inside.clear()
    assert fences == sorted(set(fences))


# --- endings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "how"), [(WORKERS[0], "kill"), (WORKERS[0], "exit"), (WORKERS[1], "kill")])
def test_a_killed_work_horse_s_section_is_released_by_its_parent(
    queue: Queue, programs: Programs, file: str, kind: str, how: str
) -> None:
    job = enqueue(queue, sections_work.be_killed_at_first, 7, file, how, retry=Retry(max=1))
    other = enqueue(queue, sections_work.transfer, 7, file)
    programs.work(queue.name, "--worker-class", kind)
    assert other.get_status() == "finished"
    assert "job-busy" not in actions(programs, job) + actions(programs, other)
    assert sections_of(programs.environment["SHIPPER_REDIS"]) == []
    if how == "kill":
        assert job.get_status() == "finished"
        assert len([what for what, *_ in notes(file) if what == "enter"]) == 3


def test_a_job_s_timeout_releases(queue: Queue, programs: Programs, file: str) -> None:
    job = enqueue(queue, sections_work.TimesOut.run, 7, file, job_timeout=1)
    programs.work(queue.name)
    assert job.get_status() == "failed"
    assert sections_of(programs.environment["SHIPPER_REDIS"]) == []


def test_a_retry_gets_back_in_by_its_own_id_when_parent_and_work_horse_are_dead(
    queue: Queue, programs: Programs, file: str
) -> None:
    gate = f"{file}.gate"
    job = enqueue(queue, sections_work.hold, 7, gate, file, retry=Retry(max=1))
    parent = worker(programs, queue.name)
    wait_for(lambda: notes(file), "the job to be in")
    os.kill(parent.pid, signal.SIGKILL)
    os.kill(int(notes(file)[0][2]), signal.SIGKILL)
    parent.wait()
    wait_for(lambda: birth(int(notes(file)[0][2])) is None, "the work-horse to be dead")
    Path(gate).touch()
    other = enqueue(queue, sections_work.fails, 7)
    programs.work(queue.name)
    assert other.get_status() == "failed"  # the lease is still there, and it is another job
    StartedJobRegistry(queue=queue).cleanup(timestamp=time.time() + YEARS)  # RQ's maintenance, which retries it
    programs.work(queue.name)
    assert job.get_status() == "finished"
    assert "job-busy" not in actions(programs, job)


def test_a_retry_does_not_get_in_while_the_earlier_execution_lives(queue: Queue, programs: Programs, file: str) -> None:
    gate = f"{file}.gate"
    job = enqueue(queue, sections_work.hold, 7, gate, file, retry=Retry(max=1))
    parent = worker(programs, queue.name)
    wait_for(lambda: notes(file), "the job to be in")
    os.kill(parent.pid, signal.SIGKILL)  # the work-horse goes on
    parent.wait()
    StartedJobRegistry(queue=queue).cleanup(timestamp=time.time() + YEARS)
    worker(programs, queue.name)
    wait_for(lambda: "job-busy" in actions(programs, job), "the retry to be kept out")
    Path(gate).touch()
    wait_for(lambda: len(notes(file)) == 4, "both executions to end")
    assert_one_at_a_time(file)


@pytest.mark.parametrize("where", ["this machine", "this process", "another machine"])
def test_a_silent_earlier_execution_counts_as_dead_unless_it_is_seen_to_live(
    connection: redis.Redis, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def acquire(execution: str) -> Any:
        owner = caller.Caller(f"job:{execution}", "job", execution, "f", None, True, connection)
        times: Any = {"ttl_ms": sections_work.TTL_S * 1000, "beat_ms": 5000}
        return store.acquire(owner, "a", template="a", waits=False, counts=False, **times)

    with monkeypatch.context() as patch:
        if where == "another machine":
            patch.setattr(store, "place", lambda: "elsewhere")
        if where != "this process":
            patch.setattr(store, "process", lambda: "1:1")
        assert isinstance(acquire("1"), store.Acquired)
    assert isinstance(acquire("2"), store.Holder)
    connection.hset(store.section_key("a"), "renewed", round(time.time() * 1000) - 60_000)
    assert isinstance(acquire("2"), store.Holder if where == "this machine" else store.Acquired)


# --- wrong use ------------------------------------------------------------------------------------------


def test_a_job_that_could_never_get_in_is_refused_where_it_is_enqueued(queue: Queue) -> None:
    with pytest.raises(SectionError, match=f"ttl={sections_work.TTL_S} is shorter than the job's timeout of 600 s"):
        queue.enqueue(sections_work.transfer, 7, "file", job_timeout=600)
    with pytest.raises(SectionError, match="the argument 'user_id', which tests"):
        queue.enqueue(sections_work.takes_anything, account=7)
    with pytest.raises(SectionError, match=f"ttl={sections_work.TTL_S}"):
        queue.enqueue_many([Queue.prepare_data(sections_work.transfer, (7, "file"), timeout=600)])
    assert queue.count == 0
    assert queue.enqueue(sections_work.takes_anything, user_id=7).get_status() == JobStatus.QUEUED


def test_a_section_inside_itself_is_an_error_of_the_job(queue: Queue, programs: Programs) -> None:
    enqueue(queue, sections_work.inside_itself, 7)
    programs.work(queue.name)
    (dead,) = [one for one in programs.records() if one["event"]["action"] == "job-dead"]
    assert dead["error"]["type"] == "shipper.errors.SectionError"
    assert "cannot be inside itself" in dead["error"]["message"]
    assert sections_of(programs.environment["SHIPPER_REDIS"]) == []


def test_without_a_worker_of_ours_a_busy_job_fails_and_says_why(
    queue: Queue, programs: Programs, file: str, holding: Holding
) -> None:
    job = enqueue(queue, sections_work.transfer, 7, file)
    programs.work(queue.name, RQ_JOB_CLASS="rq.job.Job")
    assert job.get_status() == "failed"
    result = job.latest_result()
    assert result is not None
    assert "RQ_JOB_CLASS=shipper.LoggedJob" in str(result.exc_string)


# --- outside of jobs, and Redis that is away ------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnRedis]:
    """A Redis of this test's own, which it may stop, and which keeps what it has."""
    server = OwnRedis(tmp_path, "--dir", str(tmp_path), "--appendonly", "yes", "--appendfsync", "always")
    connection = redis.Redis.from_url(server.url)
    monkeypatch.setattr(caller, "_own_connection", lambda: connection)
    yield server
    server.stop()


def test_processes_that_run_no_job_exclude_one_another_and_jobs(own: None, holding: Holding) -> None:
    with pytest.raises(SectionBusy) as refused, shipper.critical_section("financial:7"):
        pass
    assert (refused.value.holder, refused.value.holder_function) == (holding.job.id, "tests.sections_work.hold")
    with shipper.critical_section("financial:8") as one:
        assert shipper.current_section() is one
        with pytest.raises(SectionBusy, match="runs no job"), shipper.critical_section("financial:8", on_busy="fail"):
            pass
    with shipper.critical_section("financial:8") as another:
        assert another.fence > one.fence
    assert shipper.current_section() is None


def test_a_lease_is_extended_while_its_holder_runs(
    own: None, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(section, "BEAT_S", 0.1)
    key = store.section_key("a")
    with shipper.critical_section("a", ttl=2 * LIMIT_S) as held:
        for _ in range(3):
            connection.pexpire(key, round(LIMIT_S * 1000))  # it would end then
            wait_for(lambda: connection.pttl(key) > LIMIT_S * 1000, "the lease to be extended past that end")
        assert not held.lost
        with pytest.raises(SectionBusy), shipper.critical_section("a"):
            pass


def test_a_child_of_the_holder_cannot_release(own: None) -> None:
    with shipper.critical_section("a") as held:
        child = os.fork()
        if not child:
            try:
                held.release()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert held.renew()


def test_an_uncontended_section_takes_two_round_trips(
    own: None, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(section, "BEAT_S", LIMIT_S)  # it is not so long that its lease has to be extended
    with shipper.critical_section("a"):
        pass  # the scripts are loaded

    client = caller._own_connection()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caller, "_own_connection", lambda: client)
        calls: list[str] = []
        execute = client.execute_command

        def counted(*words: Any, **more: Any) -> Any:
            calls.append(words[0])
            return execute(*words, **more)

        patch.setattr(client, "execute_command", counted)
        with shipper.critical_section("a"):
            pass
    assert calls == ["EVALSHA", "EVALSHA"]


def test_redis_that_is_paused_for_longer_than_the_lease_loses_it_and_the_holder_learns_of_it(
    elsewhere: OwnRedis,
) -> None:
    with shipper.critical_section("a", ttl=0.5) as stalled:
        elsewhere.process.send_signal(signal.SIGSTOP)
        time.sleep(0.8)  # longer than the lease: that is what is tested
        elsewhere.process.send_signal(signal.SIGCONT)
        with shipper.critical_section("a", wait=30) as next_one:
            assert next_one.fence > stalled.fence
            wait_for(lambda: stalled.lost, "the holder to learn of it")
            assert not stalled.renew()
    with shipper.critical_section("a"):  # it did not release the other's
        pass


@pytest.mark.parametrize("keeps", [True, False])
def test_redis_restarted_in_the_middle(elsewhere: OwnRedis, tmp_path: Path, keeps: bool) -> None:
    """With persistence the section stays closed. Without, others get in: the fence tells who came later."""
    with shipper.critical_section("a", ttl=sections_work.TTL_S) as held:
        elsewhere.process.kill()
        elsewhere.process.wait()
        if not keeps:
            shutil.rmtree(tmp_path / "appendonlydir")
        flags = ("--dir", str(tmp_path), "--appendonly", "yes")
        again = OwnRedis(tmp_path, *flags, port=elsewhere.port)
        try:
            if keeps:
                with pytest.raises(SectionBusy), shipper.critical_section("a"):
                    pass
                assert held.renew()
            else:
                with shipper.critical_section("a") as other:
                    assert other.fence > held.fence  # though the counter is gone
                    assert not held.renew()
                assert held.lost
        finally:
            again.stop()


def test_a_failover_to_a_replica_that_has_not_heard_of_the_holder(elsewhere: OwnRedis, tmp_path: Path) -> None:
    """A replica that was promoted may lack the latest writes: two may be in, and the fence tells who came later."""
    folder = tmp_path / "replica"
    folder.mkdir()
    replica = OwnRedis(folder, "--replicaof", "127.0.0.1", str(elsewhere.port))
    try:
        with redis.Redis.from_url(replica.url) as promoted:
            wait_for(lambda: promoted.info("replication")["master_link_status"] == "up", "the replica to be in step")
            promoted.replicaof("NO", "ONE")  # from now on it hears of nothing
            with shipper.critical_section("a") as held, pytest.MonkeyPatch.context() as patch:
                patch.setattr(caller, "_own_connection", lambda: promoted)
                with shipper.critical_section("a") as other:
                    assert other.fence > held.fence
    finally:
        replica.stop()


def test_a_redis_that_is_away_keeps_everybody_out(elsewhere: OwnRedis) -> None:
    elsewhere.stop()
    with pytest.raises(redis.ConnectionError), shipper.critical_section("a"):
        raise AssertionError("it got in")
    assert section._held == {}


def test_the_example_of_a_store_that_refuses_a_late_write(own: None) -> None:
    """The one in docs/sections.md."""
    text = (ROOT / "docs/sections.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- run by tests/integration/test_sections.py -->\n```python\n(.*?)```", text, re.DOTALL)
    example: dict[str, Any] = {}
    exec(code, example)  # noqa: S102 - that is what is tested
    with closing(example["database"]), shipper.critical_section("financial:7", ttl=0.3) as stalled:
        stalled.renew = lambda: True  # type: ignore[method-assign]  # it does not get the processor any more
        with shipper.critical_section("financial:7", wait=30) as later:
            example["set_balance"](7, 50, later.fence)
        with pytest.raises(RuntimeError, match="too late"):
            example["set_balance"](7, 200, stalled.fence)
        assert example["database"].execute("SELECT balance FROM account").fetchone() == (50,)
