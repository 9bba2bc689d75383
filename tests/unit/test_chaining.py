"""One chain for each log, whatever forks, dies and is lost around it."""

from __future__ import annotations

import contextlib
import gzip
import multiprocessing
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import pytest

from shipper.audit import chain, chaining, seals
from shipper.audit.seals import Kind
from shipper.audit.writer import Event, Trail
from shipper.errors import AuditError
from tests.programs import LIMIT_S
from tests.trail import follow, records_in, trail_in

FORK = multiprocessing.get_context("fork")


def write(trail: Trail, count: int = 1) -> None:
    for number in range(count):
        trail.write(Event(action="counted", resource=("number", number)))


def head_of(folder: Path) -> Path:
    return folder / ".records.jsonl.chain"


def rewrite_head(folder: Path, **changes: object) -> None:
    content = {**orjson.loads(head_of(folder).read_bytes()), **changes}
    head_of(folder).write_bytes(orjson.dumps(content).ljust(chaining.HEAD_BYTES))


def test_records_of_one_process_are_one_chain(tmp_path: Path) -> None:
    write(trail_in(tmp_path), 5)
    assert follow(records_in(tmp_path)).sequence == 5


def test_head_and_log_are_nobody_else_s_to_write(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write(trail_in(tmp_path))
    finally:
        os.umask(before)
    for file in (head_of(tmp_path), tmp_path / "records.jsonl"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_forks_threads_and_processes_share_one_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaining, "LOCK_WAIT_S", LIMIT_S)  # sixteen of them on a machine that may be busy
    trail = trail_in(tmp_path)
    write(trail)

    def child() -> None:
        threads = [threading.Thread(target=write, args=(trail, 40)) for _ in range(3)]
        for thread in threads:
            thread.start()
        write(trail_in(tmp_path), 40)
        for thread in threads:
            thread.join()

    children = [FORK.Process(target=child) for _ in range(4)]
    for process in children:
        process.start()
    write(trail, 40)
    for process in children:
        process.join(LIMIT_S)
        assert process.exitcode == 0
    records = records_in(tmp_path)
    assert follow(records).sequence == len(records)
    assert [one["event"]["action"] for one in records].count("counted") == 1 + 4 * 4 * 40 + 40


def test_a_process_that_is_killed_leaves_a_chain_that_goes_on(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    write(trail)
    for _ in range(15):
        victim = FORK.Process(target=write, args=(trail, 10**9))
        victim.start()
        size = (tmp_path / "records.jsonl").stat().st_size
        deadline = time.monotonic() + LIMIT_S
        while (tmp_path / "records.jsonl").stat().st_size < size + 20_000:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(victim.pid or 0, signal.SIGKILL)
        victim.join()
        write(trail)
    follow(records_in(tmp_path))


def test_one_that_died_after_its_line_is_found_in_the_log(tmp_path: Path) -> None:
    write(trail_in(tmp_path), 3)
    rewrite_head(tmp_path, pending=True)
    write(trail_in(tmp_path))
    assert follow(records_in(tmp_path)).sequence == 4


def test_one_that_died_before_its_line_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    write(trail_in(tmp_path), 3)
    last = records_in(tmp_path)[-1]["audit"]["chain"]["hash"]
    rewrite_head(tmp_path, pending=True, sequence=4, hash="a" * 64, previous=last)
    write(trail_in(tmp_path))
    assert follow(records_in(tmp_path)).sequence == 4


@pytest.mark.parametrize("content", [None, b"", b"\0" * 512, b'{"version":1}'])
def test_a_head_that_is_lost_is_recovered_from_the_log(tmp_path: Path, content: bytes | None) -> None:
    write(trail_in(tmp_path), 3)
    with (tmp_path / "records.jsonl").open("ab") as log:
        log.write(b'{"@timestamp":"2026-11-21T03:17:32.123456Z","event":{"dataset":"rq.job"}}\n' * 5000 + b"torn")
    head_of(tmp_path).unlink()
    if content is not None:
        head_of(tmp_path).write_bytes(content)
    write(trail_in(tmp_path), 2)
    lines = (tmp_path / "records.jsonl").read_bytes().replace(b"torn", b"").splitlines()
    audit = [orjson.loads(line) for line in lines if b"rq.audit" in line]
    assert follow(audit).sequence == 5


def test_a_head_that_vanishes_under_a_running_process_is_made_anew(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    write(trail, 2)
    head_of(tmp_path).unlink()
    write(trail, 2)
    write(trail_in(tmp_path))
    assert follow(records_in(tmp_path)).sequence == 5


def test_after_a_restart_of_the_machine_the_log_is_believed_over_an_older_head(tmp_path: Path) -> None:
    write(trail_in(tmp_path), 5)
    second = records_in(tmp_path)[1]["audit"]["chain"]["hash"]
    rewrite_head(tmp_path, sequence=2, hash=second, boot="another")
    write(trail_in(tmp_path))
    assert follow(records_in(tmp_path)).sequence == 6


@pytest.mark.parametrize("compressed", [False, True])
def test_the_chain_goes_on_over_a_rotation_even_without_its_head(tmp_path: Path, *, compressed: bool) -> None:
    write(trail_in(tmp_path), 3)
    before = records_in(tmp_path)
    renamed = (tmp_path / "records.jsonl").rename(tmp_path / "records.jsonl.1")
    if compressed:
        renamed.with_name("records.jsonl.1.gz").write_bytes(gzip.compress(renamed.read_bytes()))
        renamed.unlink()
    head_of(tmp_path).unlink()
    write(trail_in(tmp_path), 2)
    assert follow(before + records_in(tmp_path)).sequence == 5


def test_with_nothing_left_a_chain_of_its_own_begins(tmp_path: Path) -> None:
    write(trail_in(tmp_path), 2)
    first = follow(records_in(tmp_path))
    head_of(tmp_path).unlink()
    (tmp_path / "records.jsonl").unlink()
    write(trail_in(tmp_path))
    second = follow(records_in(tmp_path))
    assert (second.sequence, second.id != first.id) == (1, True)


def test_a_full_disk_leaves_no_gap(tmp_path: Path) -> None:
    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        trail = trail_in(tmp_path)
        write(trail, 3)
        size = (tmp_path / "records.jsonl").stat().st_size
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, most))  # the next line is torn, others not taken at all
        write(trail, 3)
        with pytest.raises(AuditError, match="full"):
            trail.write(Event(action="counted"), durable=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        write(trail, 2)

    process = FORK.Process(target=full)
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 0
    lines = (tmp_path / "records.jsonl").read_bytes().splitlines()
    whole = [orjson.loads(line[line.rfind(b'{"@timestamp"') :]) for line in lines]
    assert follow(whole).sequence == len(whole)
    assert [one["event"]["action"] for one in whole].count("counted") == 5  # since Python 3.13 also a seal at the exit


def test_a_lock_that_is_never_let_go_costs_the_chain_and_not_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chaining, "LOCK_WAIT_S", 0.05)
    holder = trail_in(tmp_path)
    write(holder)
    holder._chain._lock()
    write(trail_in(tmp_path))
    last = records_in(tmp_path)[-1]
    assert last["tags"] == ["no-actor", "unchained"]
    assert "chain" not in last["audit"]


def test_a_signal_handler_may_write_while_a_record_is_written(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    signal.signal(signal.SIGALRM, lambda *_: write(trail))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
        write(trail, 2000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    chained = [record for record in records_in(tmp_path) if "unchained" not in record["tags"]]
    assert follow(chained).sequence >= 2000


# --- lines that others append to the log


def forged(folder: Path, sequence: int, previous: str = chain.NO_HASH, *, identifier: str | None = None) -> str:
    """Append a record that somebody made, with a hash that is right; its hash."""
    made = orjson.loads((folder / "records.jsonl").read_bytes().splitlines()[0])
    del made["audit"]["chain"]
    made["event"]["action"] = "approved"
    name = identifier or records_in(folder)[0]["audit"]["chain"]["id"]
    head = chain.link(made, chain.Head(name, sequence - 1, previous), None)
    with (folder / "records.jsonl").open("ab") as log:
        log.write(orjson.dumps(made) + b"\n")
    return head.hash


@pytest.mark.parametrize("sequence", [2**53 - 1, 2**60, 1000, 5])
@pytest.mark.parametrize("lost", ["the head", "the boot", "the key's head"])
def test_a_forged_line_with_any_number_silences_nothing(tmp_path: Path, sequence: int, lost: str) -> None:
    key = {"SHIPPER_AUDIT_KEY": "a key of sixteen characters"} if lost == "the key's head" else {}
    write(trail_in(tmp_path, **key), 3)
    true = records_in(tmp_path)
    with contextlib.suppress(ValueError):  # canonical JSON has no number of that size
        forged(tmp_path, sequence)
    if lost == "the boot":
        rewrite_head(tmp_path, boot="another")
    else:
        head_of(tmp_path).unlink()
    write(trail_in(tmp_path, **key), 2)
    genuine = [record for record in records_in(tmp_path) if record["event"]["action"] != "approved"]
    assert len(genuine) == len(true) + 2
    assert follow(genuine, key.get("SHIPPER_AUDIT_KEY", "").encode() or None).sequence == 5


def test_a_chain_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    write(trail_in(tmp_path), 1)
    rewrite_head(tmp_path, sequence=2**52)
    write(trail_in(tmp_path), 2)
    first, *rest = records_in(tmp_path)
    assert follow(rest).sequence == 2
    assert rest[0]["audit"]["chain"]["id"] != first["audit"]["chain"]["id"]


def test_what_cannot_be_chained_is_written_unchained_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no canonical JSON")

    monkeypatch.setattr(chain, "link", refuse)
    write(trail_in(tmp_path), 2)
    assert [record["tags"][-1] for record in records_in(tmp_path)] == ["unchained", "unchained"]
    assert [record.getMessage().count("cannot be continued") for record in caplog.records] == [1]


# --- seals


def test_a_seal_covers_what_was_before_it(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    write(trail, 2)
    before_ms = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    assert trail.seal(Kind(next_s=300))
    after_ms = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    *_, last, seal = records_in(tmp_path)
    assert follow(records_in(tmp_path)).sequence == 3
    said = seal["audit"]["seal"]
    assert (said["count"], said["head"], said["next_s"]) == (2, last["audit"]["chain"]["hash"], 300)
    assert before_ms - 1 <= said["uptime_ms"] <= after_ms + 1


def test_a_process_seals_what_it_wrote_as_it_ends_and_nothing_twice(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from tests.trail import trail_in; from shipper.audit.writer import Event\n"
        "trail_in(pathlib.Path(sys.argv[1])).write(Event(action='counted'))"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=LIMIT_S)
    assert ["seal" in record["audit"] for record in records_in(tmp_path)] == [False, True, False, True]
    assert not trail_in(tmp_path).seal(Kind())  # nothing is new
    assert follow(records_in(tmp_path)).sequence == 4


def test_a_record_after_an_old_seal_is_sealed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = trail_in(tmp_path)
    write(trail, 2)
    later = seals.uptime_ms() + 300_001
    for module in ("chaining", "seals"):
        monkeypatch.setattr(f"shipper.audit.{module}.uptime_ms", lambda: later)
    write(trail, 2)
    assert ["seal" in record["audit"] for record in records_in(tmp_path)] == [False, False, False, True, False]
    follow(records_in(tmp_path))


def test_who_seals_creates_nothing_and_seals_no_chain_of_another_key(tmp_path: Path) -> None:
    def sealer(**variables: str) -> Trail:
        return Trail(trail_in(tmp_path, **variables)._settings, create=False)

    assert not sealer().seal(Kind(next_s=300))
    assert list(tmp_path.iterdir()) == []
    write(trail_in(tmp_path, SHIPPER_AUDIT_KEY="a key of sixteen characters"))
    assert not sealer().seal(Kind(next_s=300))
    assert sealer(SHIPPER_AUDIT_KEY="a key of sixteen characters").seal(Kind(next_s=300))
    (tmp_path / "records.jsonl").unlink()  # rotated: the next writer makes it anew, as its own
    assert not sealer(SHIPPER_AUDIT_KEY="a key of sixteen characters").seal(Kind(next_s=300))
    assert not (tmp_path / "records.jsonl").exists()
