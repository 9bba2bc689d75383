"""The claim that decides who writes a closing record: one byte, shared by a work-horse and its parent."""

from __future__ import annotations

from shipper.emit.ending import Claim, EndingClaim, WorkerState


def claim() -> EndingClaim:
    return WorkerState().begin("job", "execution", shared=True).claim


def test_whoever_comes_first_writes() -> None:
    ours = claim()
    assert ours.acquire(Claim.RETURNED)
    assert not ours.acquire(Claim.RAISED)
    assert ours.state == Claim.RETURNED
    assert not ours.is_written


def test_what_the_dead_claimed_and_did_not_write_is_taken_over() -> None:
    ours = claim()
    assert ours.acquire(Claim.RAISED)
    assert ours.acquire(Claim.RAISED, take_over=True)


def test_what_is_written_is_never_written_again() -> None:
    ours = claim()
    assert ours.acquire(Claim.RETURNED)
    ours.mark_written()
    assert ours.is_written
    assert not ours.acquire(Claim.RETURNED, take_over=True)


def test_a_new_execution_begins_with_a_free_byte() -> None:
    state = WorkerState()
    state.begin("first", "1", shared=True).claim.mark_written()
    assert state.begin("second", "2", shared=True).claim.state == Claim.FREE
