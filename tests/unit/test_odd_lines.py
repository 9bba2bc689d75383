"""One odd line among good ones: the good ones are indexed, and the odd one is indexed or a dead letter."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import state
from shipper.ship.reader import framer, state_store
from shipper.ship.reader.document import NESTING_LIMIT
from tests import bulk_server
from tests.bulk_server import invalid_if, serving
from tests.unit.test_pipeline import GOLDEN, Run, lines

pytestmark = pytest.mark.usefixtures("_no_long_waits")
GOOD = 20


@pytest.fixture(params=["in C", "in Python"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in Python":
        monkeypatch.setattr(framer, "_Framer", None)
        monkeypatch.setattr(state_store, "_StateStore", None)


@pytest.fixture
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipper.ship.bulk.backoff.FIRST_S", 0.001)


def _ours(rest: bytes) -> bytes:
    """A line that begins as a record of ours does."""
    head = lines(1).split(b'"dataset":')[0].replace(b"0" * 32, b"ab" * 16)
    return head + b'"dataset":"rq.app"}' + rest + b"}"


def _job(job_id: object = "j", *, rq: object = None, **more: Any) -> bytes:
    changed_rq = {**GOLDEN["rq"], **(rq or {})} if rq is None or isinstance(rq, dict) else rq
    changed = {
        **GOLDEN,
        "event": {**GOLDEN["event"], "id": "cd" * 16},
        "rq": changed_rq,
        "messaging": {**GOLDEN["messaging"], "message": {"id": job_id}},
        **more,
    }
    return json.dumps(changed, separators=(",", ":")).encode()


ODD = {
    "a dataset that is a list": b'{"event":{"dataset":["rq.job"]}}',
    "a dataset that is an object": b'{"event":{"dataset":{"a":1}},"message":"m"}',
    "an id that is a list": b'{"event":{"id":["x"],"dataset":"rq.job"}}',
    "nested 300 deep": b'{"message":"x","a":' * 300 + b"1" + b"}" * 300,
    "nested arrays": b'{"a":' + b"[" * 400 + b"]" * 400 + b"}",
    "ours, nested 300 deep": _ours(b',"x":' + b"[" * 300 + b"]" * 300),
    "ours, nested 1010 deep": _ours(b',"x":' + b"[" * 1010 + b"]" * 1010),
    "ours, nested 100000 deep": _ours(b',"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a job, nested 1010 deep": _job().removesuffix(b"}") + b',"x":' + b"[" * 1010 + b"]" * 1010 + b"}",
    "brackets that never close": b"[" * 5000,
    "a job's id of 600 bytes": _job("a" * 600),
    "a job's id of 600 characters of three bytes": _job("語" * 600),
    "a job's id that is empty": _job(""),
    "a job's id that is a number": _job(7),
    "pushed in 9999": _job(rq={"enqueued_at": "9999-12-31T23:59:59+00:00"}),
    "pushed in 1960": _job(rq={"enqueued_at": "1960-01-01T00:00:00+00:00"}),
    "pushed in the year 1, without a zone": _job(rq={"enqueued_at": "0001-01-01T00:00:00"}),
    "made in 9999": _job(rq={"enqueued_at": None, "created_at": "9999-12-31T23:59:59+00:00"}),
    "pushed at no time": _job(rq={"enqueued_at": "yesterday"}),
    "rq is a list": _job(rq=[1, 2]),
    "a sequence beyond all numbers": _job(event={**GOLDEN["event"], "id": "ef" * 16, "sequence": 10**40}),
    "a time beyond all times": b'{"@timestamp":"99999-01-01T00:00:00Z"}',
    "a time at the edge of time": b'{"@timestamp":"0001-01-01T00:00:00+23:59"}',
    "a number as time": b'{"@timestamp":1e400}',
    "NaN": b'{"a":NaN}',
    "half of a pair": b'{"message":"\\udcff"}',
}


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_line_costs_its_neighbours_nothing(tmp_path: Path, odd: bytes) -> None:
    with serving() as server:
        server.choose = lambda: invalid_if(lambda target, _: not _is_possible(target))
        run = Run(tmp_path, server, SHIPPER_FUTURE_DAYS="4000000")
        good = lines(GOOD).splitlines(keepends=True)
        run.log.write_bytes(b"".join(good[: GOOD // 2]) + odd + b"\n" + b"".join(good[GOOD // 2 :]))
        run.ship()
        there = {source for source in server.documents.values() if b'"id":"0000000000' in source}
        assert there == {line.rstrip() for line in good}
        dead_letters = run.dead() if run.dead_letters.file.exists() else []
        assert len(server.documents) + len(dead_letters) == GOOD + 1
        assert run.acknowledged == run.log.stat().st_size
        assert len(server.requests) <= 3  # nothing of it had to be looked for


def _is_possible(target: dict[str, Any]) -> bool:
    """What Elasticsearch asks of each action line, or it takes nothing of the whole request."""
    return 0 < len(target["_id"].encode()) <= 512 and 0 <= target.get("version", 0) < 2**63


def test_brackets_are_counted_where_they_stand_within_each_other(tmp_path: Path) -> None:
    flat = json.dumps({"message": "many", "rows": [[{"a": [1]}]] * (NESTING_LIMIT + 1)}).encode()
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(flat + b"\n")
        run.ship()
        assert len(server.documents) == 1


def test_a_file_whose_name_is_no_utf8_is_read_and_its_dead_letters_name_it(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(lines(3) + b"no JSON\n")
        odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/log\xff"))
        run.log.rename(odd)
        run.discovery._globs = (f"{tmp_path}/log*",)
        run.ship()
        assert len(server.documents) == 3
        (dead_letter,) = run.dead()
        assert str(dead_letter["path"]).endswith("/log\\xff")


@pytest.fixture
def few(tmp_path: Path) -> Iterator[tuple[bulk_server.BulkServer, Run]]:
    with serving() as server:
        yield server, Run(tmp_path, server, SHIPPER_STATES="false")


@pytest.mark.parametrize("culprits", [(5,), (0, 511), (7, 8, 300)])
def test_a_request_that_is_refused_as_a_whole_is_halved_to_its_culprits(
    few: tuple[bulk_server.BulkServer, Run], culprits: tuple[int, ...]
) -> None:
    server, run = few
    ids = [f"{number:032x}" for number in culprits]
    server.choose = lambda: invalid_if(lambda target, _: target["_id"] in ids)
    run.log.write_bytes(lines(512))
    run.ship()
    assert len(server.documents) == 512 - len(culprits)
    assert {json.loads(str(dead_letter["line"]))["event"]["id"] for dead_letter in run.dead()} == set(ids)
    assert {dead_letter["status"] for dead_letter in run.dead()} == {400}
    assert len(server.requests) <= 1 + 2 * 9 * len(culprits)  # 512 is 2**9
    assert run.acknowledged == run.log.stat().st_size


def test_what_is_no_answer_of_elasticsearchs_makes_nothing_a_dead_letter(
    few: tuple[bulk_server.BulkServer, Run],
) -> None:
    server, run = few
    server.plan = [bulk_server.no_elasticsearch(400)] * 3
    run.pipeline._retry_state._retry_timeout_s = None  # as the daemon has none
    run.log.write_bytes(lines(COUNT))
    run.ship()
    assert len(server.documents) == COUNT
    assert not run.dead_letters.file.exists()


COUNT = 20


@given(st.text(min_size=1, max_size=700))
def test_any_job_has_an_id_for_its_state(job_id: str) -> None:
    made = state.document_id(job_id)
    assert 0 < len(made.encode("utf-8", "surrogatepass")) <= state.ID_LIMIT
    assert made == job_id or len(job_id.encode("utf-8", "surrogatepass")) > state.ID_LIMIT


def test_long_ids_are_told_apart_to_their_last_character() -> None:
    ids = [state.document_id("a" * 600 + end) for end in ("", "a", "b")]
    assert len(set(ids)) == 3


def test_the_state_of_a_job_with_a_long_id_tells_it(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(_job("é" * 300) + b"\n" + _job("short", event={**GOLDEN["event"], "id": "12" * 16}) + b"\n")
        run.ship()
        sources = [json.loads(source) for _, source in server.states.values()]
        assert {source.get("job_id") for source in sources} == {"é" * 300, None}
        hits = [{"_id": key[1], "_source": json.loads(source)} for key, (_, source) in server.states.items()]
        assert {state.job_id_of(hit) for hit in hits} == {"é" * 300, "short"}


@given(st.datetimes())
def test_any_push_has_a_version_that_elasticsearch_takes(pushed: Any) -> None:
    record = json.loads(_job(rq={"enqueued_at": pushed.isoformat() + "+00:00"}))
    found = state.state_from_mapping(record, "shop")
    assert found is not None
    assert 0 <= found.version < 2**63
