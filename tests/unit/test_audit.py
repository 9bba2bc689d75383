"""Audit records: their fields, redaction, and that a failure never affects the request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import shipper
from shipper import context, records
from shipper.audit import api as audit
from shipper.audit.writer import Event, login_name
from shipper.context import Actor, Request, RunningJob
from tests.trail import follow, records_in, trail_in
from tests.unit.test_ecs import ALLOWED
from tests.unit.test_templates import leaves, mapped


@pytest.fixture(autouse=True)
def _trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_trail", trail_in(tmp_path, SHIPPER_SERVICE="shop"))


@pytest.fixture
def last(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    return lambda: records_in(tmp_path)[-1]


Last = Callable[[], dict[str, Any]]


def test_a_record_says_who_did_what_to_which_thing(last: Last) -> None:
    with shipper.actor(id="ann", name="Ann", roles=["clerk"]), shipper.log_context(customer="42", plan="gold"):
        audit.record("address-changed", "customer:42", changes={"city": ("Ulm", "Bonn")}, reason="asked", target="bob")
    record = last()
    assert record["event"] | {"id": "", "sequence": 0} == {
        "id": "",
        "dataset": "rq.audit",
        "kind": "event",
        "category": ["configuration"],
        "type": ["change"],
        "action": "address-changed",
        "outcome": "success",
        "reason": "asked",
        "sequence": 0,
    }
    assert record["user"] == {"id": "ann", "name": "Ann", "roles": ["clerk"], "target": {"id": "bob"}}
    assert record["audit"]["actor"] == {"type": "user"}
    assert record["audit"]["resource"] == {"type": "customer", "id": "42"}
    assert record["audit"]["changes"] == {"before": {"city": "Ulm"}, "after": {"city": "Bonn"}}
    assert (record["organization"], record["labels"]) == ({"id": "42"}, {"plan": "gold"})
    assert record["message"] == "Ann: address-changed customer 42"
    assert record["service"] == {"name": "shop"}


def test_every_field_is_mapped_and_every_value_is_one_of_ecs_s(tmp_path: Path, last: Last) -> None:
    trail = trail_in(tmp_path, SHIPPER_AUDIT_KEY="a key of sixteen characters")
    before = context.running.set(JOB), context.request.set(Request(id="r", path="/", address="192.0.2.1", agent="x"))
    try:
        with shipper.actor(id="ann", name="Ann", roles=["clerk"], effective_id="eva"), shipper.log_context(plan="gold"):
            trail.write(
                Event(
                    action="x",
                    resource=("a", "b", "c"),
                    changes={"city": ("Ulm", "Bonn")},
                    reason="asked",
                    target="bob",
                    outcome="denied",
                    error=ValueError("no"),
                    duration_ns=5,
                )
            )
    finally:
        context.running.reset(before[0])
        context.request.reset(before[1])
    record = last()
    known = mapped("rq-audit")
    free = ("labels.", "audit.changes.", "audit.chain.digests.", "audit.chain.salts.")
    assert [path for path, _ in leaves(record) if path not in known and not path.startswith(free)] == []
    assert len({path for path, _ in leaves(record)} & set(known)) > 35
    for field, allowed in ALLOWED.items():
        value = record["event"][field.removeprefix("event.")]
        assert set(value if isinstance(value, list) else [value]) <= allowed, field


def test_the_line_can_be_cut_without_being_decoded(tmp_path: Path) -> None:
    audit.record("signed-in")
    line = (tmp_path / "records.jsonl").read_bytes().splitlines()[0]
    assert line.startswith(records.LINE_START)
    assert line[records.ID_MARK_AT] == records.ID_MARK
    assert line[records.DATASET_MARK_AT] == records.DATASET_MARK
    assert line[records.DATASET_START :].startswith(b'rq.audit"')
    assert abs(datetime.fromisoformat(line[records.TIME_AT].decode()) - datetime.now(UTC)).total_seconds() < 60


def test_nobody_is_recorded_as_system_with_a_mark(last: Last) -> None:
    audit.record("cleaned-up")
    assert (last()["audit"]["actor"], last()["tags"]) == ({"type": "system"}, ["no-actor"])
    assert "user" not in last()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("customer:42", {"type": "customer", "id": "42"}),
        ("urn:a:b", {"type": "urn", "id": "a:b"}),
        (("customer", 42, "Ann's"), {"type": "customer", "id": "42", "name": "Ann's"}),
        ({"type": "file", "name": "x"}, {"type": "file", "name": "x"}),
        ("thing", {"id": "thing"}),
        ((), None),
        (None, None),
    ],
)
def test_a_resource_can_be_said_in_several_ways(last: Last, given: object, expected: dict[str, str] | None) -> None:
    audit.record("seen", given)
    assert last()["audit"].get("resource") == expected


def test_secrets_are_kept_out(tmp_path: Path) -> None:
    with shipper.log_context(**{"api_token": "s3cret"}):
        audit.record(
            "changed", changes={"password": ("s3cret", "s3cret"), "card": "s3cret", "deep": {"token": "s3cret"}}
        )
        audit.record("changed", changes={"before": {"password": "s3cret"}, "after": {"secret_key": "s3cret"}})
    assert b"s3cret" not in (tmp_path / "records.jsonl").read_bytes()
    assert (tmp_path / "records.jsonl").read_bytes().count(b"[redacted]") >= 6


def test_a_megabyte_of_changes_is_cut_and_marked(tmp_path: Path, last: Last) -> None:
    audit.record("changed", changes={"text": ("x" * 1_000_000, "y" * 1_000_000)})
    assert last()["tags"] == ["no-actor", "changes-cut"]
    audit.record("changed", changes={str(number): "z" * 500 for number in range(2000)})
    assert "changes-cut" in last()["tags"]
    assert max(map(len, (tmp_path / "records.jsonl").read_bytes().splitlines())) < 150_000


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


@pytest.mark.parametrize(
    "arguments",
    [
        {"changes": {"x": Unspeakable(), "y": (object(), {1, 2})}},
        {"changes": {Unspeakable(): 1}},
        {"changes": {"big": 2**60, "huge": 10**400, "float": float("nan"), "fine": 0.1}},
        {"changes": "no mapping"},
        {"changes": {"\ud800": "\ud800"}},
        {"resource": Unspeakable()},
        {"resource": (Unspeakable(), Unspeakable())},
        {"reason": Unspeakable(), "target": Unspeakable(), "message": Unspeakable()},
        {"outcome": "splendid"},
        {"reason": "r" * 100_000},
    ],
)
def test_nothing_raises_and_everything_is_in_the_chain(tmp_path: Path, arguments: dict[str, Any]) -> None:
    audit.record("tried", **arguments)
    with shipper.actor(id=Unspeakable(), name=Unspeakable(), roles=[Unspeakable()]):
        audit.record("tried", **arguments)
    assert follow(records_in(tmp_path)).sequence == 2


def test_what_has_no_utf_8_is_written_unchained_and_not_lost(tmp_path: Path) -> None:
    audit.record("tried", category="\ud800", type="\ud800")
    audit.record("tried")
    lost, chained = records_in(tmp_path)
    assert lost["event"]["category"] == ["\\ud800"]
    assert lost["tags"] == ["no-actor", "unchained"]
    assert follow([chained]).sequence == 1


def test_a_trail_that_cannot_be_written_costs_nobody_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(audit, "_trail", trail_in(tmp_path / "file" / "below"))
    audit.record("tried")
    with audit.action("tried"):
        pass
    assert "cannot be written" in caplog.text
    with pytest.raises(shipper.AuditError):
        audit.record("tried", durable=True)
    with pytest.raises(shipper.AuditError), audit.action("tried", durable=True):
        pass


def test_durable_is_synced_before_it_returns(monkeypatch: pytest.MonkeyPatch, last: Last) -> None:
    import os

    synced: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", watched)
    audit.record("paid", durable=True)
    assert synced == [os.stat(audit.trail().sink.path).st_ino]
    assert last()["event"]["action"] == "paid"


# --- blocks -----------------------------------------------------------------------------------------------


class PermissionDenied(Exception):
    """Called as Django's is."""


class HttpError(Exception):
    status_code = 403


def test_a_block_that_ends_is_a_success_with_its_duration(last: Last) -> None:
    with audit.action("invoice-paid", "invoice:7") as paying:
        paying.changes = {"state": ("open", "paid")}
    record = last()
    assert (record["event"]["outcome"], record["audit"]["changes"]["after"]) == ("success", {"state": "paid"})
    assert 0 < record["event"]["duration"] < 10**9


def test_a_block_that_raises_is_a_failure_and_raises(last: Last) -> None:
    with pytest.raises(ZeroDivisionError), audit.action("divided"):
        _ = 1 / 0
    record = last()
    assert record["event"]["outcome"] == "failure"
    assert record["error"] == {"type": "ZeroDivisionError", "message": "division by zero"}


@pytest.mark.parametrize("error", [PermissionError("no"), PermissionDenied("no"), HttpError("no")])
def test_a_block_that_is_not_allowed_is_a_denial(last: Last, error: Exception) -> None:
    with pytest.raises(type(error)), audit.action("read", "file:x"):
        raise error
    assert (last()["event"]["outcome"], last()["event"]["type"]) == ("failure", ["info", "denied"])
    assert last()["message"].endswith("(denied)")


def test_a_denial_without_an_exception(last: Last) -> None:
    with audit.action("read", "file:x") as reading:
        reading.deny("not yours")
    assert (last()["event"]["type"], last()["event"]["reason"]) == (["info", "denied"], "not yours")


def test_it_decorates_functions_and_coroutines(tmp_path: Path) -> None:
    @audit.action("added")
    def add(a: int, b: int) -> int:
        return a + b

    @audit.action("awaited")
    async def later() -> str:
        await asyncio.sleep(0)
        return "done"

    assert (add(1, 2), add(3, 4), asyncio.run(later())) == (3, 7, "done")
    assert [one["event"]["action"] for one in records_in(tmp_path)] == ["added", "added", "awaited"]


# --- who ----------------------------------------------------------------------------------------------------

JOB = RunningJob("job-1", "shop.charge", "payments", 2, "execution-1", "root-1", "parent-1")


def test_inside_a_job_the_record_names_the_job_and_who_asked_for_it(last: Last) -> None:
    before = context.running.set(JOB)
    try:
        with context.acting_as(Actor("user", "ann")):
            audit.record("charged", "order:7")
        record = last()
        audit.record("tidied")
    finally:
        context.running.reset(before)
    assert record["audit"]["actor"] == {"type": "job", "requester": "user"}
    assert record["user"] == {"id": "ann"}
    assert record["messaging"]["message"]["id"] == "job-1"
    assert record["code"]["function"]["name"] == "shop.charge"
    assert record["rq"] == {
        "attempt": 2,
        "root_job_id": "root-1",
        "execution_id": "execution-1",
        "parent_job_id": "parent-1",
    }
    assert record["message"] == "shop.charge for ann: charged order 7"
    assert last()["audit"]["actor"] == {"type": "job"}  # a job without an enqueuer's actor is not tagged


def test_impersonation_names_both(last: Last) -> None:
    with shipper.actor(id="admin", effective_id="ann"):
        audit.record("looked")
        assert context.current()["user"] == "ann"
    assert last()["user"] == {"id": "admin", "effective": {"id": "ann"}}


def test_whom_the_context_names_is_the_actor_if_nobody_else_is(last: Last) -> None:
    with shipper.log_context(user="bob"):
        audit.record("looked")
    assert (last()["audit"]["actor"]["type"], last()["user"]["id"]) == ("user", "bob")


def test_an_operator_is_who_the_setting_says_or_who_is_logged_in(tmp_path: Path, last: Last) -> None:
    trail_in(tmp_path).write(Event(action="emptied", operator=True))
    assert (last()["audit"]["actor"]["type"], last()["user"]["id"]) == ("operator", login_name())
    trail_in(tmp_path, SHIPPER_ACTOR="olga").write(Event(action="emptied", operator=True))
    assert (last()["audit"]["actor"]["type"], last()["user"]["id"]) == ("operator", "olga")


def test_blocks_of_actors_nest(last: Last) -> None:
    with shipper.actor(id="ann"):
        with shipper.actor("system", "sweeper"):
            audit.record("inner")
        assert (last()["audit"]["actor"]["type"], last()["user"]["id"]) == ("system", "sweeper")
        audit.record("outer")
    assert last()["user"]["id"] == "ann"


def test_a_request_is_asked_for_its_user_when_one_is_needed_and_until_it_knows(last: Last) -> None:
    known: list[Actor | None] = [None]
    before = context.request.set(
        Request(id="r-1", path="/a", address="192.0.2.1", agent="x", find_actor=lambda: known[0])
    )
    try:
        audit.record("first")
        assert last()["audit"]["actor"]["type"] == "system"
        known[0] = Actor("user", "ann")
        audit.record("second")
        assert last()["user"]["id"] == "ann"
        shipper.identify("bob", type="api_key")
        audit.record("third")
        assert (last()["user"]["id"], last()["audit"]["actor"]["type"]) == ("bob", "api_key")
    finally:
        context.request.reset(before)
    record = last()
    assert record["http"]["request"]["id"] == "r-1"
    assert (record["url"], record["source"], record["user_agent"]) == (
        {"path": "/a"},
        {"ip": "192.0.2.1"},
        {"original": "x"},
    )
    assert len(record["trace"]["id"]) == 32
