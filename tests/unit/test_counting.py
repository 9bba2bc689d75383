"""What jobs did is counted once, from records that were accepted for the first time; StatsD and Prometheus get it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shipper import settings
from shipper.errors import SettingsError
from shipper.records import encode, timestamp
from shipper.ship.bulk import backoff, replay
from shipper.ship.bulk.dead_letters import DeadLetters
from shipper.ship.counting import statsd
from shipper.ship.counting.counter import OTHER, JobCounter
from shipper.ship.counting.counting import Counting, from_settings
from shipper.ship.counting.prometheus import JobCollector
from shipper.ship.counting.tally import BOUNDS_S, Labels, PlainTally, buckets, event_count
from shipper.ship.pipeline import Pipeline
from shipper.ship.reader import framer
from shipper.ship.reader.ndjson import NdjsonReader
from shipper.ship.source.discovery import Discovery
from tests import bulk_server
from tests.bulk_server import BulkServer, each, kept_but_lost, serving
from tests.programs import LIMIT_S

GOLDEN = Path(__file__).parent.parent / "golden"
SHOP: Labels = ("shop", "payments", "shop.jobs.charge_card")


def golden(kind: str, number: int, at: datetime | None = None, **changes: Any) -> bytes:
    """A line of a kind with an id of its own, of now by default. Fields of `event` and `rq` can be given."""
    record = json.loads((GOLDEN / f"{kind}.jsonl").read_text())
    event = {**record["event"], "id": f"{kind.encode().hex()[-20:]:0<20}{number:012x}", **changes.pop("event", {})}
    rq = {**record["rq"], **changes.pop("rq", {})}
    at = (at or datetime.now(UTC)).replace(microsecond=number % 900_000 + 1)
    return encode({**record, "@timestamp": timestamp(at), "event": event, "rq": rq, **changes})


class Run:
    """A pipeline that counts, on a folder with one log."""

    def __init__(self, folder: Path, server: BulkServer, **given: str) -> None:
        self.log = folder / "log"
        self.settings = settings.load(
            environment={
                "XDG_STATE_HOME": str(folder),
                "SHIPPER_LOG": str(self.log),
                "SHIPPER_ELASTICSEARCH": server.url,
                "SHIPPER_JOB_METRICS": "true",
                **given,
            }
        )
        counting = from_settings(self.settings)
        assert counting is not None
        self.counting: Counting = counting
        self.dead_letters = DeadLetters(self.settings.state)
        self.pipeline = Pipeline(
            self.settings,
            self.dead_letters,
            threading.Event(),
            LIMIT_S,
            reader=NdjsonReader(self.settings, counts=True),
            counting=counting,
        )

    def ship(self, *lines: bytes) -> None:
        with self.log.open("ab") as log:
            log.write(b"".join(lines))
        discovery = Discovery([str(self.log)], [])
        discovery.refresh()
        for tailed in discovery.files:
            while block := tailed.read():
                self.pipeline.ship([block])
        self.pipeline.finish()
        discovery.close()

    def count(self, event: str, labels: Labels = SHOP) -> int:
        return count(self.counting.counter, event, labels)

    def values(self, measure: str) -> int:
        """How many values there are of a measure."""
        return sum(sum(buckets(numbers, measure)[0]) for _, numbers in self.counting.counter.read())


def count(counter: JobCounter, event: str, labels: Labels = SHOP) -> int:
    return event_count(dict(counter.read()).get(labels, [0] * 100), event)


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)


@pytest.fixture(params=["C", "Python"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "Python":
        monkeypatch.setattr(framer, "_Framer", None)


def ends(number: int) -> list[bytes]:
    kinds = ("job-enqueued", "job-started", "job-finished", "job-retried", "job-dead", "job-dead-killed", "job-stopped")
    return [golden(kind, number) for kind in kinds]


@pytest.mark.usefixtures("_both_ways")
def test_each_kind_of_record_is_counted_as_what_it_says(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server)
        run.ship(*ends(1), *ends(2), golden("job-retried", 3, event={"reason": "timeout"}))
    counted = {event: run.count(event) for event in ("enqueued", "started", "finished", "retried", "dead", "stopped")}
    assert counted == {"enqueued": 2, "started": 2, "finished": 2, "retried": 3, "dead": 4, "stopped": 2}
    assert (run.count("failed"), run.count("timeout")) == (7, 1)
    assert (run.values("lag"), run.values("duration"), run.values("total")) == (2, 11, 8)
    ((_, numbers),) = run.counting.counter.read()
    counts, total_s = buckets(numbers, "duration")
    assert counts[BOUNDS_S.index(0.5)] == 11  # 345.678 ms
    assert total_s == pytest.approx(11 * 0.345678)


@pytest.mark.parametrize(
    "plan",
    [
        (bulk_server.status(503), bulk_server.status(429)),
        (each(429, "es_rejected_execution_exception", lambda source: b'"job-finished"' in source),),
        (bulk_server.at_most(3),) * 6,
        (each(403, "cluster_block_exception"),),
    ],
    ids=["put off", "some put off", "halved", "an index that waits"],
)
@pytest.mark.usefixtures("_both_ways")
def test_whatever_happens_on_the_way_a_record_is_counted_once(tmp_path: Path, plan: Any) -> None:
    with serving(*plan) as server:
        run = Run(tmp_path, server)
        run.ship(*[line for number in range(10) for line in ends(number)])
        assert len(server.jobs) == 70
    assert (run.count("enqueued"), run.count("finished"), run.count("dead")) == (10, 10, 20)


def test_what_is_indexed_already_is_not_counted(tmp_path: Path) -> None:
    with serving() as server:
        Run(tmp_path / "one", server).ship(*ends(1))
        run = Run(tmp_path / "two", server)
        run.ship(*ends(1), *ends(2), *ends(2))
    assert (run.count("finished"), run.values("lag")) == (1, 1)


def test_a_count_is_never_too_high_when_responses_are_lost(tmp_path: Path) -> None:
    with serving(kept_but_lost) as server:
        run = Run(tmp_path, server)
        run.ship(*ends(1))
        run.ship(*ends(2))
    assert run.count("finished") == 1


def test_refused_records_are_not_counted_and_neither_is_their_replay(tmp_path: Path) -> None:
    with serving() as server:
        server.refuses = lambda source: b'"job-dead"' in source
        run = Run(tmp_path, server)
        run.ship(*ends(1))
        assert (run.count("finished"), run.count("dead")) == (1, 0)
        server.refuses = lambda source: False
        letters = run.dead_letters
        assert replay.replay(run.settings, letters, list(letters.all()), LIMIT_S).indexed == 2
    assert run.count("dead") == 0


def test_lines_of_other_programs_are_not_counted(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server, SHIPPER_FILES=f"{tmp_path}/*", SHIPPER_LOG=str(tmp_path / "ours"))
        run.log = tmp_path / "theirs"
        run.ship(*ends(1))
        assert len(server.documents) == 7
    assert run.counting.counter.read() == []


@pytest.mark.usefixtures("_both_ways")
def test_old_records_are_counted_and_say_nothing_of_how_long_jobs_wait(tmp_path: Path) -> None:
    old = datetime.now(UTC) - timedelta(seconds=700)
    with serving() as server:
        run = Run(tmp_path, server)
        run.ship(golden("job-started", 1, old), golden("job-finished", 1, old), golden("job-started", 2))
    assert (run.count("started"), run.count("finished")) == (2, 1)
    assert (run.values("lag"), run.values("total"), run.values("duration")) == (1, 0, 1)


def test_records_that_became_old_while_elasticsearch_was_away_say_nothing_of_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.2)
    since = datetime.now(UTC)

    def away(handler: bulk_server.Handler, pairs: list[Any]) -> None:
        step = bulk_server.status(503) if datetime.now(UTC) - since < timedelta(seconds=1.5) else bulk_server.well
        step(handler, pairs)

    with serving() as server:
        server.choose = lambda: away
        run = Run(tmp_path, server, SHIPPER_FRESH_S="1")
        run.pipeline._retry_state._retry_timeout_s = None
        run.ship(golden("job-started", 1))
    assert (run.count("started"), run.values("lag")) == (1, 0)


def test_counters_go_on_after_a_restart(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server)
        run.ship(*ends(1))
        run.counting.stop()
        again = Run(tmp_path, server)
        assert again.counting.counter.since_ns == run.counting.counter.since_ns
        again.ship(*ends(2))  # the first ones are read again: positions were not saved
    assert (again.count("finished"), again.count("dead")) == (2, 4)
    assert (tmp_path / "shipper/state/counters.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"layout":[],"since_ns":1,"series":[]}'])
def test_a_counters_file_that_cannot_be_used_begins_at_0(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counters.json").write_bytes(content)
    counter = JobCounter(tmp_path, 10)
    assert counter.read() == []
    counter.add(tally(golden("job-finished", 1)).series())
    counter.save()
    assert count(JobCounter(tmp_path, 10), "finished") == 1


def tally(*lines: bytes) -> PlainTally:
    made = PlainTally()
    for line in lines:
        made.add(json.loads(line), fresh=True)
    return made


def of_function(name: object, number: int = 1) -> bytes:
    return golden("job-finished", number, code={"function": {"name": name}})


def test_more_sets_of_labels_than_may_be_are_counted_as_other(caplog: pytest.LogCaptureFixture) -> None:
    counter = JobCounter(None, 3)
    for _ in range(2):
        counter.add(tally(*[of_function(f"f{number}", number) for number in range(10)]).series())
    assert {labels[2]: count(counter, "finished", labels) for labels, _ in counter.read()} == {
        "f0": 2, "f1": 2, "f2": 2, "other": 14,
    }  # fmt: skip
    assert count(counter, "finished", OTHER) == 14
    assert caplog.text.count("SHIPPER_LABEL_SETS") == 1


@pytest.mark.usefixtures("_both_ways")
def test_odd_labels_are_names_all_the_same(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server, SHIPPER_STATES="false")
        functions = ["", None, "x" * 1000, 'a"b\n,c', 7]
        run.ship(*[of_function(name, number) for number, name in enumerate(functions)])
        counted = {labels[2]: event_count(numbers, "finished") for labels, numbers in run.counting.counter.read()}
    assert counted == {"unknown": 3, "x" * 200: 1, 'a"b\n,c': 1}


def test_prometheus_reads_what_is_counted(tmp_path: Path) -> None:
    counter = JobCounter(None, 10)
    counter.add(tally(*ends(1), *ends(2), of_function('a"b\\c\nd', 9)).series())
    registry = CollectorRegistry()
    registry.register(JobCollector(counter))
    samples = {
        (sample.name, sample.labels.get("function"), sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    function = SHOP[2]
    assert samples["rq_jobs_finished_total", function, None] == 2
    assert samples["rq_jobs_failed_total", function, None] == 6
    assert samples["rq_jobs_finished_total", 'a"b\\c\nd', None] == 1
    assert samples["rq_job_duration_seconds_bucket", function, "0.25"] == 0
    assert samples["rq_job_duration_seconds_bucket", function, "0.5"] == 10
    assert samples["rq_job_duration_seconds_bucket", function, "+Inf"] == 10
    assert samples["rq_job_duration_seconds_count", function, None] == 10
    assert samples["rq_job_lag_seconds_sum", function, None] == pytest.approx(2.4)


# --- StatsD ---


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(LIMIT_S)
        yield server


def received(server: socket.socket) -> list[str]:
    """The lines of the datagrams that are there."""
    lines = server.recv(65_536).decode().split("\n")
    server.setblocking(False)
    try:
        while True:
            lines += server.recv(65_536).decode().split("\n")
    except BlockingIOError:
        server.settimeout(LIMIT_S)
        return lines


@pytest.mark.parametrize("tagged", [False, True], ids=["StatsD", "DogStatsD"])
def test_statsd_gets_what_was_counted_since_the_last_time(tagged: bool) -> None:
    with listening() as server:
        counter = JobCounter(None, 10, samples=True)
        client = statsd.StatsD(f"127.0.0.1:{server.getsockname()[1]}", counter, tagged=tagged)
        counter.add(tally(*ends(1)).series())
        client.send()
        first = received(server)
        client.send()  # nothing is new
        counter.add(tally(golden("job-finished", 2), golden("job-dead", 2, event={"reason": "timeout"})).series())
        client.send()
        second = received(server)
    if tagged:
        tags = "|#service:shop,queue:payments,function:shop.jobs.charge_card"
        begin = "rq.job"
    else:
        tags, begin = "", "rq.shop.payments.shop_jobs_charge_card"
    assert f"{begin}.finished:1|c{tags}" in first
    assert f"{begin}.failed:3|c{tags}" in first
    assert first.count(f"{begin}.duration:345.678|ms{tags}") == 5
    assert f"{begin}.lag:1200|ms{tags}" in first
    counts = [line for line in second if "|c" in line]
    assert sorted(counts) == sorted(
        f"{begin}.{event}:1|c{tags}" for event in ("finished", "dead", "failed", "timeouts")
    )


def test_of_many_values_some_are_sent_with_their_rate() -> None:
    counter = JobCounter(None, 10, samples=True)
    counter.add(tally(*[golden("job-started", number) for number in range(100)]).series())
    samples = counter.take_samples()
    assert len(samples) == 16
    assert {(measure, us, rate) for _, measure, us, rate in samples} == {("lag", 1_200_000, 0.16)}
    assert counter.take_samples() == []


def test_a_restart_sends_nothing_twice(tmp_path: Path) -> None:
    with listening() as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with serving() as elasticsearch:
            run = Run(tmp_path, elasticsearch, SHIPPER_STATSD=address)
            run.counting.start()
            run.ship(*ends(1))
            run.counting.stop()  # sends what is left
            assert sum("finished:1|c" in line for line in received(server)) == 1
            again = Run(tmp_path, elasticsearch, SHIPPER_STATSD=address)
            again.counting.start()
            again.ship(*ends(2))
            again.counting.stop()
            assert sum("finished:1|c" in line for line in received(server)) == 1


def test_a_unix_socket_and_long_lists_of_metrics_fit_into_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "statsd.socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        counter = JobCounter(None, 100)
        client = statsd.StatsD(f"unix://{path}", counter, tagged=True)
        counter.add(tally(*[of_function(f"function_{number}", number) for number in range(90)]).series())
        client.send()
        server.settimeout(LIMIT_S)
        first = server.recv(65_536)
    assert len(first) <= statsd.SIZE_LIMIT
    assert all(line.startswith(b"rq.job.") for line in first.split(b"\n"))


def test_names_that_would_break_a_line_of_statsd_are_made_harmless() -> None:
    labels = ("a b|c", "q,#@:1", "x\ny.z")
    assert statsd._line(labels, "finished", "1|c", tagged=False) == "rq.a_b_c.q____1.x_y_z.finished:1|c"
    tagged = statsd._line(labels, "finished", "1|c", tagged=True)
    assert tagged == "rq.job.finished:1|c|#service:a_b_c,queue:q___:1,function:x_y.z"


def test_nobody_at_the_other_end_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server:
        run = Run(tmp_path, server, SHIPPER_STATSD=f"unix://{tmp_path}/missing")
        run.counting.start()
        run.ship(*ends(1))
        run.counting.stop()
    assert run.count("finished") == 1
    assert "StatsD cannot be told of jobs" in caplog.text


# --- settings ---


def test_nothing_is_counted_unless_somebody_asks_for_it() -> None:
    assert from_settings(settings.load(environment={})) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STATSD", "localhost"),
        ("STATSD", "unix://relative"),
        ("OTLP", "collector:4318"),
        ("OTLP_HEADERS", "no equals sign"),
        ("OTLP_HEADERS", "two words=1"),
        ("LABEL_SETS", "0"),
        ("FRESH_S", "-1"),
        ("JOB_METRICS", "maybe"),
    ],
)
def test_wrong_settings_are_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name.lower()):
        settings.load(environment={f"SHIPPER_{name}": value})
