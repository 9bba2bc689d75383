"""Text logs on their way into the real Elasticsearch: through the ingest pipeline, and by `shipper import`."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from elasticsearch import Elasticsearch
from rq import Queue, Retry

from benchmarks.legacy import hostile
from shipper import settings
from shipper.index import pipelines
from shipper.ship.reader.legacy import LegacyReader
from shipper.ship.source.compressed import CompressedFile
from shipper.ship.source.encoded import is_utf16
from shipper.ship.source.tail import TailedFile
from tests import legacy_kinds, legacy_samples, work
from tests.legacy_kinds import Case
from tests.programs import LIMIT_S, ROOT, Programs, count, wait_for
from tests.proxy import proxying

pytestmark = pytest.mark.slow

JOB = "4f0c1d2e-0001-4a00-8000-00000000000{}"


@pytest.fixture(autouse=True)
def _old_records(programs: Programs) -> None:
    programs.environment["SHIPPER_PAST_DAYS"] = "36500"


def records(search: Elasticsearch, namespace: str, dataset: str = "*") -> list[dict[str, Any]]:
    """All records, in the order in which they stand in their files."""
    index = f"rq-{dataset}-{namespace}-*"
    search.indices.refresh(index=index)
    hits = search.search(index=index, size=1000, sort=["@timestamp", "event.id"])["hits"]["hits"]
    return [{**hit["_source"], "_index": hit["_index"]} for hit in hits]


def by_line(found: list[dict[str, Any]]) -> list[str]:
    """Records without what is the same on all, in an order of their own: lines of one second have none."""
    host = os.uname().nodename
    for record in found:
        index, day = record.pop("_index"), record["@timestamp"][:10].replace("-", ".")
        assert index.startswith(record["event"]["dataset"].replace(".", "-"))
        assert index.endswith(day)
        assert record["service"] == {"name": "tests"}
        if record["host"]["name"] == host:
            record["host"]["name"] = legacy_samples.HOST
    return sorted(as_text(legacy_samples.bare(record)) for record in found)


def as_text(record: dict[str, Any]) -> str:
    """The record as text that is equal for equal records: the order of tags says nothing."""
    return json.dumps({**record, "tags": sorted(record.get("tags", []))}, sort_keys=True)


@pytest.mark.parametrize("name", legacy_samples.WRITTEN)
def test_samples_through_the_ingest_pipeline(
    name: str, programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = legacy_samples.write(tmp_path / name, name)
    zone = legacy_samples.WRITTEN[name][1]
    programs.run("shipper", "run", "--once", "--format", "legacy", "--files", str(log), "--timezone", zone)
    expected = [as_text(sample.alone) for sample in legacy_samples.expected(name)]
    assert by_line(records(search, namespace)) == sorted(expected)


@pytest.mark.parametrize("name", legacy_samples.WRITTEN)
def test_samples_by_import(
    name: str, programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = legacy_samples.write(tmp_path / name, name)
    flags = ("import", str(log), "--format", "legacy", "--timezone", legacy_samples.WRITTEN[name][1])
    programs.run("shipper", *flags)
    expected = [as_text(sample.paired) for sample in legacy_samples.expected(name)]
    assert by_line(records(search, namespace)) == sorted(expected)
    again = programs.run("shipper", *flags)
    assert "0 records indexed, 0 were there already" in again.stderr
    without_positions = programs.run("shipper", *flags, SHIPPER_STATE=str(tmp_path / "another"))
    assert f"0 records indexed, {len(expected)} were there already, 0 dead letters" in without_positions.stderr


def test_an_import_and_the_pipeline_give_a_line_one_id(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = legacy_samples.write(tmp_path / "worker-2.12.log", "worker-2.12.log")
    programs.run("shipper", "import", str(log), "--format", "legacy")
    before = len(records(search, namespace))
    done = programs.run("shipper", "run", "--once", "--format", "legacy", "--files", str(log))
    assert f"0 records indexed, {before} were there already" in done.stderr


def test_an_end_that_is_imported_later_knows_its_start(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    log.write_text(f"2026-11-20 10:00:00 default: shop.jobs.send_mail(42) ({JOB.format(1)})\n")
    programs.run("shipper", "import", str(log), "--format", "legacy")
    with log.open("a") as more:
        more.write(f"10:00:07 default: Job OK ({JOB.format(1)})\n")
    done = programs.run("shipper", "import", str(log), "--format", "legacy")
    assert "1 records indexed" in done.stderr
    _, end = records(search, namespace)
    assert end["event"]["duration"] == 7_000_000_000
    assert end["code"]["function"]["name"] == "shop.jobs.send_mail"


def test_an_end_in_the_next_file_knows_its_start_though_that_was_imported_before(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    old, new = tmp_path / "worker.log.1", tmp_path / "worker.log"
    old.write_text(f"2026-11-20 10:00:00 default: shop.jobs.send_mail(42) ({JOB.format(1)})\n")
    os.utime(old, (time.time() - 3600,) * 2)
    programs.run("shipper", "import", str(old), "--format", "legacy")
    new.write_text(f"2026-11-20 10:00:07 default: Job OK ({JOB.format(1)})\n")
    done = programs.run("shipper", "import", str(old), str(new), "--format", "legacy")
    assert "1 records indexed, 0 were there already" in done.stderr
    assert records(search, namespace)[-1]["event"]["duration"] == 7_000_000_000


def test_a_job_of_years_ago_is_shown_though_no_redis_knows_it(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = legacy_samples.write(tmp_path / "worker-1.16.log", "worker-1.16.log")
    programs.run("shipper", "import", str(log), "--format", "legacy")
    assert len(records(search, namespace)) > 0
    for redis_url in (programs.environment["SHIPPER_REDIS"], "redis://127.0.0.1:1/0"):
        shown = programs.run("shipper", "job", JOB.format(5), SHIPPER_REDIS=redis_url)
        actions = [word for word in shown.stdout.split() if word in ("job-started", "job-dead")]
        assert actions == ["job-started", "job-dead"]
        assert ("Redis cannot be asked" in shown.stderr) == redis_url.endswith(":1/0")


def test_rotated_and_compressed_logs_are_read_in_the_order_in_which_they_were_written(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    old, new = tmp_path / "worker.log.1.gz", tmp_path / "worker.log"
    old.write_bytes(gzip.compress(f"23:59:59 default: shop.jobs.night() ({JOB.format(1)})\n".encode()))
    new.write_text(f"00:00:09 default: Job OK ({JOB.format(1)})\n")
    for path, when in ((old, "2026-11-19T23:59:59Z"), (new, "2026-11-20T00:00:09Z")):
        os.utime(path, (datetime.fromisoformat(when).timestamp(),) * 2)
    programs.run("shipper", "import", str(new), str(old), "--format", "legacy")
    start, end = records(search, namespace)
    assert start["@timestamp"] == "2026-11-19T23:59:59.000000Z"
    assert end["event"]["duration"] == 10_000_000_000


def test_an_import_that_is_interrupted_goes_on_where_it_was(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log, total = tmp_path / "worker.log", 60_000
    with log.open("w") as file:
        for at in range(total):
            file.write(f"2026-11-20 10:{at // 60 % 60:02}:{at % 60:02} Task-free line number {at}\n")
    requests, interrupted = itertools.count(), threading.Event()

    def only_the_first(url: str) -> None:
        if "/_bulk" in url and next(requests):
            interrupted.wait(LIMIT_S)  # so that the import is not at its end before we are

    with proxying(only_the_first) as proxy:
        import_ = programs.start("shipper", "import", str(log), "--format", "legacy", SHIPPER_PROXY=proxy.url)
        wait_for(lambda: count(search, f"rq-app-{namespace}-*") > 0, "the first records")
        import_.send_signal(signal.SIGINT)
        interrupted.set()
        assert import_.wait(LIMIT_S) == 1
    there = count(search, f"rq-app-{namespace}-*")
    assert 0 < there < total
    done = programs.run("shipper", "import", str(log), "--format", "legacy")
    assert count(search, f"rq-app-{namespace}-*") == total
    indexed = int(done.stderr.split(" records indexed")[0].split()[-1])
    assert indexed <= total - there + 10_000  # what was on its way; not all of it again


@pytest.mark.parametrize("form", ["legacy", "json"])
def test_what_is_before_since_is_left_out(
    form: str, programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "some.log"
    if form == "legacy":
        log.write_text(f"2026-11-18 10:00:00 old\n2026-11-20 10:00:00 default: Job OK ({JOB.format(1)})\n")
    else:
        golden = (ROOT / "tests/golden/job-finished.jsonl").read_text()
        log.write_text(
            '{"@timestamp":"2026-11-18T10:00:00Z","message":"old"}\n'
            + golden
            + golden.replace("2026-11-21T", "2026-11-17T")
            + '{"message":"no time"}\n'
        )
    done = programs.run("shipper", "import", str(log), "--format", form, "--since", "2026-11-19")
    left_out, taken = (1, 1) if form == "legacy" else (2, 2)
    assert f"{taken} records indexed" in done.stderr
    assert f"{left_out} left out" in done.stderr
    assert count(search, f"rq-*-{namespace}-*") == taken
    again = programs.run("shipper", "import", str(log), "--format", form, "--since", "2026-11-19")
    assert "0 records indexed, 0 were there already" in again.stderr


def test_json_records_of_years_ago_are_imported(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "records.jsonl"
    log.write_text((ROOT / "tests/golden/job-finished.jsonl").read_text().replace("2026-11-21T", "2016-11-21T"))
    done = programs.run("shipper", "import", str(log), "--format", "json")
    assert "1 records indexed, 0 were there already, 0 dead letters" in done.stderr
    assert count(search, f"rq-job-{namespace}-2016.11.21") == 1


def test_records_beyond_the_bounds_of_time_are_dead_letters_unless_they_are_allowed(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = legacy_samples.write(tmp_path / "task-logger.log", "task-logger.log")
    flags = ("import", str(log), "--format", "legacy")
    done = programs.run("shipper", *flags, SHIPPER_PAST_DAYS="730")
    wanted = len(legacy_samples.expected("task-logger.log"))
    assert f"0 records indexed, 0 were there already, {wanted} dead letters" in done.stderr
    assert "--past-days" in done.stderr
    state = str(Path(programs.environment["SHIPPER_STATE"]) / "import")
    replayed = programs.run("shipper", "deadletter", "replay", "--all", "--state", state)
    assert f"{wanted} indexed" in replayed.stderr
    assert count(search, f"rq-job-{namespace}-*") == wanted - 1  # one line is no task's
    again = programs.run("shipper", *flags, "--past-days", "36500", SHIPPER_STATE=str(tmp_path / "another"))
    assert f"0 records indexed, {wanted} were there already" in again.stderr


@pytest.mark.parametrize("way", ["the shipper", "another program"])
def test_every_kind_through_the_ingest_pipeline(way: str, search: Elasticsearch, tmp_path: Path) -> None:
    """The pipeline itself, without an index. Other programs send lines whose heads and carriers are not parsed."""
    kinds = set(legacy_kinds.documented("`shipper run --format legacy`"))
    single = {
        "formats",
        "syslog and journald",
        "containers",
        "JSON lines",
        "messages",
        "task loggers",
        "no false jobs",
        "ids of the setting",
    }
    for job_ids in (None, r"nightly-\d+"):
        cases = [one for one in legacy_kinds.CASES if one.kind in kinds and one.settings.get("job_ids") == job_ids]
        if way == "another program":
            cases = [one for one in cases if one.kind in single and "Traceback" not in one.log]
        sent = [_sent(case, way, tmp_path / f"{number}.log") for number, case in enumerate(cases)]
        docs = [{"_index": "rq-app-x-2026.02.10", "_source": source} for sources in sent for source in sources]
        body = pipelines.body(job_ids)
        del body["on_failure"]
        answer = iter(search.ingest.simulate(pipeline=body, docs=docs)["docs"])
        wrong = {}
        for case, sources in zip(cases, sent, strict=True):
            records = [next(answer)["doc"]["_source"] for _ in sources]
            if bad := case.wrong(records, combined=False):
                wrong[case.log[:100]] = bad
            assert not [name for one in records for name in one if name.startswith("rq_")]
        assert not wrong


def test_a_line_that_cannot_be_parsed_is_kept_as_it_is(search: Elasticsearch) -> None:
    """Elasticsearch ends a grok that takes too long; here it is a time that is none."""
    source = {"@timestamp": "no time", "event": {"id": "i"}, pipelines.BODY: f"default: f() ({JOB.format(1)})"}
    (answer,) = search.ingest.simulate(pipeline=pipelines.body(), docs=[{"_source": source}])["docs"]
    record = answer["doc"]["_source"]
    assert (record["message"], record["tags"]) == (source[pipelines.BODY], ["legacy", "unparsed"])
    assert not [name for name in record if name.startswith("rq_")]


def test_of_a_very_long_line_only_the_ends_are_sent(tmp_path: Path) -> None:
    case = Case("long", f"10:05:00 default: f('{'x' * 200_000}') ({JOB.format(1)})", [])
    (sent,) = _sent(case, "the shipper", tmp_path / "long.log")
    body = sent[pipelines.BODY]
    assert body.startswith("default: f('xxx")
    assert body.endswith(f"xxx') ({JOB.format(1)})")
    assert len(body) < 33_000


def _sent(case: Case, way: str, path: Path) -> list[dict[str, Any]]:
    """What is sent of a case's log."""
    if way != "the shipper":
        fixed = {"@timestamp": case.changed, "host": {"name": "h"}, "log": {"file": {"path": "p"}}}
        event = {"id": "i", "timezone": case.zone}
        return [{**fixed, "message": line, "event": event} for line in case.log.splitlines()]
    path.write_bytes(case.data)
    when = datetime.fromisoformat(case.changed).timestamp()
    os.utime(path, (when, when))
    reader = LegacyReader(settings.load({"timezone": case.zone, "past_days": "36500"}))
    if is_utf16(path):
        source: Any = CompressedFile(path, multiline=True)
        source.begin()
    else:
        source = TailedFile(path, os.open(path, os.O_RDONLY), multiline=True)
    found = []
    while (block := source.read(to_the_end=True)) is not None:
        found += [json.loads(item.document.source) for item in reader.read(block).items]
    source.close()
    return found


def test_old_records_that_are_about_to_be_pruned_are_said(programs: Programs, tmp_path: Path) -> None:
    log = legacy_samples.write(tmp_path / "task-logger.log", "task-logger.log")
    assert "SHIPPER_RETENTION" in programs.run("shipper", "import", str(log), "--format", "legacy").stderr
    longer = {"SHIPPER_RETENTION": "job=36500,app=36500", "SHIPPER_STATE": str(tmp_path / "another")}
    assert "SHIPPER_RETENTION" not in programs.run("shipper", "import", str(log), "--format", "legacy", **longer).stderr


def test_a_traceback_that_comes_line_by_line_is_one_record(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    log.touch()
    programs.start("shipper", "run", "--format", "legacy", "--files", str(log))
    with log.open("a", buffering=1) as file:
        now = datetime.now(UTC)
        file.write(f"{now:%H:%M:%S} [Job {JOB.format(1)}]: exception raised while executing (shop.jobs.charge)\n")
        for line in ("Traceback (most recent call last):", '  File "x.py", line 1, in charge', "ValueError: no card"):
            time.sleep(0.6)
            file.write(line + "\n")
    wait_for(lambda: count(search, f"rq-job-{namespace}-*") > 0, "the record")
    (record,) = records(search, namespace, "job")
    assert count(search, f"rq-app-{namespace}-*") == 0
    assert record["error"]["type"] == "ValueError"
    assert record["@timestamp"] == now.strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def test_a_pipe_of_text_lines(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    text = f"2026-11-20 10:00:00 default: Job OK ({JOB.format(1)})\nTraceback (most recent call last):\n  x\nE: y\n"
    done = programs.run("shipper", "run", "--stdin", "--format", "legacy", stdin=text.encode())
    assert "1 records indexed" in done.stderr
    assert count(search, f"rq-job-{namespace}-*") == 1


def test_the_log_of_a_real_worker_tells_what_became_of_its_jobs(
    programs: Programs, search: Elasticsearch, namespace: str, connection: redis.Redis, tmp_path: Path
) -> None:
    queue = Queue("letters", connection=connection)
    done = queue.enqueue(work.add, 1, 2)
    failed = queue.enqueue(work.fail)
    retried = queue.enqueue(work.fail, retry=Retry(max=1))
    killed = queue.enqueue(work.be_killed)
    log = tmp_path / "worker.log"
    url = programs.environment["SHIPPER_REDIS"]
    begun = time.monotonic()
    ran = programs.run("rq", "worker", "letters", "--url", url, "--burst", PYTHONPATH=str(ROOT))
    took_ns = (time.monotonic() - begun) * 1e9
    # In two files, as a supervisor may keep them: what a worker says, and its errors.
    log.write_text(ran.stdout)
    errors = tmp_path / "worker.err"
    errors.write_text(ran.stderr)
    os.utime(log, (errors.stat().st_mtime - 1,) * 2)
    programs.run("shipper", "import", str(log), str(errors), "--format", "legacy")
    found: dict[str, list[str]] = {}
    for record in records(search, namespace, "job"):
        found.setdefault(record["messaging"]["message"]["id"], []).append(record["event"]["action"])
    assert sorted(found[done.id]) == ["job-finished", "job-started"]
    assert sorted(found[failed.id]) == ["job-dead", "job-started"]
    assert sorted(found[killed.id]) == ["job-dead", "job-started"]
    assert found[retried.id].count("job-started") == 2
    assert {action for action in found[retried.id] if action != "job-started"} <= {"job-dead", "job-retried"}
    (end,) = [
        record
        for record in records(search, namespace, "job")
        if record["messaging"]["message"]["id"] == done.id and record["event"]["action"] == "job-finished"
    ]
    assert end["code"]["function"]["name"] == "tests.work.add"
    assert 0 < end["event"]["duration"] < took_ns
    assert end["event"]["duration"] % 1_000_000_000  # to the microsecond, though the lines' times are whole seconds


def test_hostile_lines_go_through_the_pipeline(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    # Elasticsearch itself ends a grok that takes too long (ingest.grok.watchdog.max_execution_time).
    # A request may take half a minute; on a busy machine a full one of such lines takes more. So a few at a time.
    made = [line.replace("\n", "|") for line in hostile(8_000)]
    lines = [f"2026-11-20 10:00:00 {line}\n" for line in made if line.strip()]
    for start in range(0, len(lines), 60):
        log = tmp_path / f"hostile-{start}.log"
        log.write_text("".join(lines[start : start + 60]))
        programs.run("shipper", "run", "--once", "--format", "legacy", "--files", str(log))
    assert count(search, f"rq-*-{namespace}-*") >= len(made) - 100
    failed = {"match_phrase": {"error.message": "grok"}}
    assert count(search, f"rq-*-{namespace}-*", failed) == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("import", "nothing.log", "--format", "legacy"), "There is no file nothing.log. Nothing was imported."),
        (("import", "docs", "--format", "legacy"), "docs is a folder. Name the files in it"),
        (("run", "--format", "legacy", "--once"), "--format legacy needs --files"),
        (("run", "--format", "legacy", "--files", "x.log", "--timezone", "Mars/Crater"), "name of a time zone"),
        (("run", "--format", "text"), "is not one of 'json', 'legacy'"),
    ],
)
def test_what_cannot_be_is_said(command: tuple[str, ...], said: str, programs: Programs) -> None:
    ran = programs.run("shipper", *command, check=False)
    assert ran.returncode in (1, 2)
    assert said in ran.stderr
