"""What can be read of a job without running what its payload says."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from shipper import job_fields
from shipper.emit import snapshot

NOWHERE = Redis(port=1)  # nothing here talks to it


class Bomb:
    """Unpickling it would fail the test."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("the payload was unpickled",)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_the_function_is_found_without_unpickling(protocol: int) -> None:
    payload = pickle.dumps(("shop.jobs.charge", None, (Bomb(),), {}), protocol=protocol)
    assert job_fields.function_in_payload(payload) == "shop.jobs.charge"


def test_a_payload_whose_first_part_is_not_a_name_is_left_unread() -> None:
    assert job_fields.function_in_payload(pickle.dumps((Bomb(), "not.the.function"))) is None


def test_the_json_serializer_s_payload_is_read_too() -> None:
    assert job_fields.function_in_payload(json.dumps(["shop.jobs.charge", None, [], {}]).encode()) == "shop.jobs.charge"


@given(st.binary() | st.binary().map(lambda rest: b"\x80\x05" + rest) | st.binary().map(lambda rest: b"[" + rest))
def test_no_payload_makes_it_raise(payload: bytes) -> None:
    job = Job("j", connection=NOWHERE)
    job.data = payload
    assert snapshot.from_job(job).payload_bytes == len(payload)


def test_a_job_whose_payload_cannot_be_made_has_no_size() -> None:
    job = Job.create("shop.jobs.charge", args=(lambda: None,), connection=NOWHERE)
    assert snapshot.from_job(job).payload_bytes is None
    assert snapshot.from_job(job).function == "shop.jobs.charge"


def test_what_is_carried_survives_the_way_through_redis() -> None:
    sent = Job.create("shop.jobs.charge", connection=NOWHERE, serializer=JSONSerializer)
    sent.retries_left = 2
    snapshot.carry(sent, {"user": "bob"}, None)
    received = Job("j", connection=NOWHERE)
    received.data = sent.data
    received.retries_left = 1
    snapshot.restore(received, {b"shipper": snapshot.carried_bytes(sent)})
    read = snapshot.from_job(received)
    assert read.context == {"user": "bob"}
    assert (read.attempt, read.max_attempts) == (2, 3)


def test_a_job_that_carries_nothing_gets_no_field() -> None:
    job = Job.create("shop.jobs.charge", connection=NOWHERE)
    snapshot.carry(job, {}, None)
    assert snapshot.carried_bytes(job) is None


@pytest.mark.parametrize("found", [b"", b"{", b"[1]", b'{"context": 3}', b'{"max_attempts": "x"}'])
def test_a_carried_field_that_is_not_ours_is_ignored(found: bytes) -> None:
    job = Job.create("shop.jobs.charge", connection=NOWHERE)
    snapshot.restore(job, {b"shipper": found})
    assert snapshot.from_job(job).context == {}
    assert snapshot.from_job(job).attempt == 1


@pytest.mark.parametrize(
    ("description", "function"),
    [
        ("shop.jobs.charge('bob', 's3cret')", "shop.jobs.charge"),
        ("charge('bob', 's3cret')", None),  # a method, or anything
        ("Charge bob (s3cret)", None),
        ("s3cret", None),
        ("", None),
        (None, None),
    ],
)
def test_of_a_description_only_the_function_of_rq_s_own_is_read(description: str | None, function: str | None) -> None:
    job = Job("j", connection=NOWHERE)
    job.data, job.description = b"of its own", description
    assert snapshot.from_job(job).function == function
