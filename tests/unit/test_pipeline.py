"""The path against a server that misbehaves: every line ends in exactly one place."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from shipper import settings
from shipper.errors import DestinationError, Refused
from shipper.ship import pipeline
from shipper.ship.bulk import backoff, batch, replay
from shipper.ship.bulk.dead_letters import DeadLetters
from shipper.ship.bulk.retry import Stopped
from shipper.ship.pipeline import Pipeline
from shipper.ship.source import tail
from shipper.ship.source.discovery import Discovery
from stack.processes import wait_until
from tests import bulk_server
from tests.bulk_server import Answer, BulkServer, each, kept_but_lost, serving
from tests.programs import LIMIT_S

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/job-finished.jsonl").read_text())
COUNT = 20


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)


def lines(count: int) -> bytes:
    records = []
    for number in range(count):
        record = {**GOLDEN, "event": {**GOLDEN["event"], "id": f"{number:032x}"}}
        records.append(json.dumps(record, separators=(",", ":")).encode() + b"\n")
    return b"".join(records)


class Run:
    """A pipeline on a folder with one log."""

    def __init__(
        self, folder: Path, server: BulkServer, retry_timeout_s: float | None = LIMIT_S, **settings_: str
    ) -> None:
        self.log = folder / "log"
        self.dead_letters = DeadLetters(folder / "state")
        made = settings.load(
            environment={
                "XDG_STATE_HOME": str(folder),
                "SHIPPER_LOG": str(self.log),
                "SHIPPER_ELASTICSEARCH": server.url,
                "SHIPPER_PAST_DAYS": "9999",
                **settings_,
            }
        )
        self.settings = made
        self.stop = threading.Event()
        self.pipeline = Pipeline(made, self.dead_letters, self.stop, retry_timeout_s)
        self.discovery = Discovery([str(self.log)], [])

    def ship(self) -> None:
        self.discovery.refresh()

        def blocks() -> Iterator[object]:
            for tailed in self.discovery.files:
                while block := tailed.read():
                    yield block

        self.pipeline.ship(blocks())  # type: ignore[arg-type]
        self.pipeline.finish()

    @property
    def acknowledged(self) -> int:
        return self.discovery.files[0].acknowledged

    def dead(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.dead_letters.file.read_bytes().splitlines()]


@pytest.mark.parametrize(
    "plan",
    [
        (),
        (bulk_server.status(429), bulk_server.status(503)),
        (bulk_server.status(500),),
        (kept_but_lost, kept_but_lost),
        (bulk_server.cut_short,),
        (bulk_server.one_item_too_few,),
        (each(429, "es_rejected_execution_exception"),),
        (each(429, "es_rejected_execution_exception", lambda source: b'"0000000000000000000000000000000' in source),),
        (each(403, "cluster_block_exception"), each(400, "index_closed_exception")),
        (bulk_server.at_most(3),) * 12,
    ],
    ids=[
        "well",
        "busy",
        "failing",
        "kept-but-lost",
        "cut-short",
        "too-few",
        "all-put-off",
        "some-put-off",
        "blocks",
        "too-large",
    ],
)
def test_every_line_arrives_once_whatever_happens(tmp_path: Path, plan: tuple[Answer, ...]) -> None:
    with serving(*plan) as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(lines(COUNT))
        run.ship()
        assert len(server.documents) == COUNT
        assert run.acknowledged == run.log.stat().st_size
        assert not run.dead_letters.file.exists()


def test_a_poison_document_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    poison = lambda source: b'"00000000000000000000000000000007"' in source  # noqa: E731
    with serving(each(400, "document_parsing_exception", poison)) as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(lines(COUNT))
        run.ship()
        assert len(server.documents) == COUNT - 1
        (dead_letter,) = run.dead()
        assert dead_letter["status"] == 400
        assert dead_letter["line"] == lines(COUNT).decode().splitlines()[7]
        assert run.acknowledged == run.log.stat().st_size


def test_a_single_document_that_is_too_large_is_a_dead_letter(tmp_path: Path) -> None:
    with serving(*[bulk_server.status(413)] * 3) as server:  # the two documents together, and then each
        run = Run(tmp_path, server)
        run.log.write_bytes(lines(1))
        run.ship()
        assert {dead_letter["status"] for dead_letter in run.dead()} == {413}


def test_bad_lines_are_kept_exactly_and_stop_nothing(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(b"\n{\r\n\xff\xfe\n" + lines(3) + b"   \n")
        run.ship()
        assert len(server.documents) == 3
        broken, binary = run.dead()
        assert broken["line"] == "{\r"
        assert binary["line_base64"] == "//4="
        assert (broken["offset"], binary["offset"]) == (1, 4)


def test_a_torn_record_costs_only_itself(tmp_path: Path) -> None:
    whole = lines(4).splitlines(keepends=True)
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(whole[0] + whole[1][:200] + whole[2][:14] + whole[2][:90] + whole[3])
        run.ship()
        assert {key[1] for key in server.documents} == {f"{number:032x}" for number in (0, 3)}
        assert [dead_letter["line"] for dead_letter in run.dead()] == [
            whole[1][:200].decode() + whole[2][:14].decode(),
            whole[2][:90].decode(),
        ]
        assert run.acknowledged == run.log.stat().st_size


def test_marks_and_carriage_returns_of_other_systems_are_no_part_of_a_record(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(b'\xef\xbb\xbf{"message":"first"}\r\n' + lines(1)[:-1] + b"\r\n")
        run.ship()
        sources = sorted(server.documents.values())
        assert len(sources) == 2
        assert not any(b"\r" in source or b"\xef\xbb\xbf" in source for source in sources)
        assert not run.dead_letters.file.exists()


def test_a_file_that_is_deleted_while_the_server_is_away_arrives(tmp_path: Path) -> None:
    with serving(*[bulk_server.status(503)] * 3) as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(lines(COUNT))
        run.discovery.refresh()
        run.log.unlink()
        run.ship()
        assert len(server.documents) == COUNT


def test_thousands_of_torn_records_on_one_line_cost_only_themselves(tmp_path: Path) -> None:
    first, last = lines(2).splitlines(keepends=True)
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(first[:100] * 3000 + last)
        run.ship()
        assert len(server.documents) == 1
        assert len(run.dead()) == 3000


def test_positions_wait_for_the_answer(tmp_path: Path) -> None:
    with serving(*[bulk_server.status(503)] * 1000) as server:
        run = Run(tmp_path, server, retry_timeout_s=0.05)
        run.log.write_bytes(lines(COUNT))
        with pytest.raises(DestinationError, match="503"):
            run.ship()
        assert run.acknowledged == 0


@pytest.mark.parametrize("code", [401, 403])
def test_a_daemon_waits_for_somebody_to_mend_the_credentials(tmp_path: Path, code: int) -> None:
    with serving(*[bulk_server.status(code)] * 3) as server:
        run = Run(tmp_path, server, retry_timeout_s=None)
        run.log.write_bytes(lines(COUNT))
        run.ship()
        assert len(server.documents) == COUNT


@pytest.mark.parametrize("code", [401, 403])
def test_a_run_that_is_meant_to_end_does_not_wait_for_credentials(tmp_path: Path, code: int) -> None:
    with serving(bulk_server.status(code)) as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(lines(COUNT))
        with pytest.raises(DestinationError, match="SHIPPER_API_KEY"):
            run.ship()
        assert run.acknowledged == 0


def test_a_stop_ends_the_waiting_and_moves_nothing(tmp_path: Path) -> None:
    with serving(*[bulk_server.status(503)] * 1000) as server:
        run = Run(tmp_path, server, retry_timeout_s=None)
        run.log.write_bytes(lines(COUNT))
        threading.Timer(0.2, run.stop.set).start()
        with pytest.raises(Stopped):
            run.ship()
        assert run.acknowledged == 0


@pytest.fixture
def few_lines_a_request(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many; so that a short log makes many requests."""
    monkeypatch.setattr(tail, "BLOCK", 5 * len(lines(1)))
    monkeypatch.setattr(batch, "BODY_LIMIT", 1)
    return 5


def test_a_server_that_takes_its_time_is_given_two_requests_at_once(tmp_path: Path, few_lines_a_request: int) -> None:
    at_once, most, changed = 0, 0, threading.Condition()

    def slowly(handler: bulk_server.Handler, pairs: list[tuple[dict[str, object], bytes]]) -> None:
        nonlocal at_once, most
        with changed:
            at_once += 1
            most = max(most, at_once)
            changed.notify_all()
            changed.wait_for(lambda: most == pipeline.SENDERS, LIMIT_S)
            at_once -= 1
        bulk_server.well(handler, pairs)

    with serving() as server:
        server.choose = lambda: slowly
        run = Run(tmp_path, server, SHIPPER_STATES="false")
        run.log.write_bytes(lines(6 * few_lines_a_request))
        run.ship()
        assert most == pipeline.SENDERS
        assert server.requests == [few_lines_a_request] * 6
        assert run.acknowledged == run.log.stat().st_size


def test_a_server_that_is_quick_is_given_one_request_after_the_other(
    tmp_path: Path, few_lines_a_request: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "BESIDE_S", 10.0)  # however busy the machine is
    with serving() as server:
        run = Run(tmp_path, server, SHIPPER_STATES="false")
        run.log.write_bytes(lines(6 * few_lines_a_request))
        seen: list[int] = []
        landed = run.pipeline._land

        def land() -> Any:
            seen.append(len(run.pipeline._on_their_way))
            landed()

        run.pipeline._land = land  # type: ignore[method-assign]
        run.ship()
        assert set(seen) == {1}


def test_positions_move_in_the_lines_order_whichever_request_is_done_first(
    tmp_path: Path, few_lines_a_request: int
) -> None:
    gate = threading.Event()

    def held_up(handler: bulk_server.Handler, pairs: list[tuple[dict[str, object], bytes]]) -> None:
        gate.wait(LIMIT_S)
        bulk_server.well(handler, pairs)

    with serving(held_up) as server:
        run = Run(tmp_path, server, SHIPPER_STATES="false")
        run.log.write_bytes(lines(3 * few_lines_a_request))
        shipping = threading.Thread(target=run.ship)
        shipping.start()
        wait_until(lambda: len(server.documents) == 2 * few_lines_a_request, LIMIT_S, "the later ones")
        assert run.acknowledged == 0
        gate.set()
        shipping.join()
        assert len(server.documents) == 3 * few_lines_a_request
        assert run.acknowledged == run.log.stat().st_size


def test_a_turn_that_takes_too_long_leaves_the_rest_alone(tmp_path: Path, few_lines_a_request: int) -> None:
    with serving() as server:
        run = Run(tmp_path, server, SHIPPER_STATES="false")
        run.log.write_bytes(lines(3 * few_lines_a_request))
        run.discovery.refresh()
        (tailed,) = run.discovery.files
        assert run.pipeline.ship(iter(tailed.read, None), for_s=0.0)
        assert tailed.read_to == len(lines(few_lines_a_request))
        assert tailed.acknowledged == 0
        assert not run.pipeline.ship(())
        assert tailed.acknowledged == tailed.read_to
        run.ship()
        assert len(server.documents) == 3 * few_lines_a_request


def test_a_server_in_trouble_is_given_no_second_request(
    tmp_path: Path, few_lines_a_request: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    well_after = math.inf
    with serving() as server:
        server.choose = lambda: bulk_server.well if len(server.requests) > well_after else bulk_server.status(429)
        run = Run(tmp_path, server, None, SHIPPER_STATES="false")

        def until_the_trouble_is_known(those: Any, _: float) -> Any:
            nonlocal well_after
            if well_after == math.inf:
                wait_until(lambda: run.pipeline._retry_state, LIMIT_S, "the trouble")
                well_after = len(server.requests) + 3  # a second request would be among these
            return wait(those, 0.0)

        monkeypatch.setattr(pipeline, "wait", until_the_trouble_is_known)
        run.log.write_bytes(lines(2 * few_lines_a_request - 1))
        run.ship()
        refused = len(server.requests) - 2
        assert refused > 2
        assert server.requests == [few_lines_a_request] * (refused + 1) + [few_lines_a_request - 1]


def test_shipping_everything_again_changes_nothing(tmp_path: Path) -> None:
    with serving() as server:
        for _ in range(2):
            run = Run(tmp_path, server)
            run.log.write_bytes(lines(COUNT))
            run.ship()
        assert len(server.documents) == COUNT
        assert run.pipeline.counts.duplicates == COUNT


def test_positions_wait_for_the_states_of_the_jobs_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records land while the states are handed over: their positions do not move before those are there."""
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(lines(COUNT))
        run.discovery.refresh()
        (tailed,) = run.discovery.files
        states_at_acknowledgement = []
        acknowledge = tail.TailedFile.acknowledge

        def noted(self: tail.TailedFile, mark: tail.Mark) -> None:
            states_at_acknowledgement.append(len(server.states))
            acknowledge(self, mark)

        monkeypatch.setattr(tail.TailedFile, "acknowledge", noted)
        while block := tailed.read():
            run.pipeline._batch.add(block, run.pipeline._reader.read(block))
        run.pipeline.finish()
        assert states_at_acknowledgement == [1]
        assert run.acknowledged == run.log.stat().st_size


def test_odd_lines_count_for_the_size_of_a_batch(tmp_path: Path) -> None:
    """A block of one line of ours and a large odd one is as large as it is, not as the one line."""
    large = b'{"log":"%b"}\n' % (b"x" * 100_000)  # perhaps an envelope: looked at one by one
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(lines(1) + large)
        run.discovery.refresh()
        (tailed,) = run.discovery.files
        block = tailed.read()
        assert block is not None
        assert run.pipeline._reader.read(block).size >= len(large)


def test_a_run_that_ends_by_itself_ends_at_once_if_its_key_may_not_write(tmp_path: Path) -> None:
    """And its position stays, so that nothing is lost."""
    with serving(each(403, "security_exception")) as server:
        run = Run(tmp_path, server, retry_timeout_s=2 * LIMIT_S)
        run.log.write_bytes(lines(COUNT))
        began = time.monotonic()
        with pytest.raises(Refused, match="forbids this to the key"):
            run.ship()
        assert time.monotonic() - began < LIMIT_S
        assert len(server.requests) == 1
        assert run.acknowledged == 0


def test_a_replay_that_is_interrupted_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LINE_LIMIT", 1)  # each line is a request of its own
    with serving() as server:
        run = Run(tmp_path, server)
        server.refuses = lambda source: True
        run.log.write_bytes(lines(3))
        run.ship()
        server.refuses = lambda source: False
        seen: list[tuple[int, int]] = []

        def interrupted(done: int, total: int) -> None:
            seen.append((done, total))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            replay.replay(run.settings, run.dead_letters, run.dead_letters.all(), 5.0, interrupted)
        assert (seen, len(run.dead()), len(server.documents)) == ([(1, 3)], 2, 1)
        result = replay.replay(run.settings, run.dead_letters, run.dead_letters.all(), 5.0, lambda *n: seen.append(n))
        assert (result.indexed, seen[1:], len(server.documents)) == (2, [(1, 2), (2, 2)], 3)
