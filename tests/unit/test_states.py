"""Of a job's states only the last within a moment is sent; both stores hold and give the same."""

from __future__ import annotations

import random

import pytest

from shipper.ship.bulk import states
from shipper.ship.bulk.states import StateWindow
from shipper.ship.reader import state_store
from shipper.ship.reader.state_store import PlainStateStore, StateStore
from shipper.state import State, action_start

NAMESPACE = "shop"
STORES = [PlainStateStore, lambda: state_store.make(NAMESPACE)]


def state(job: str, version: int, size: int = 10) -> State:
    action = action_start(NAMESPACE) + b'"%b","version":%d}}' % (job.encode(), version)
    return State(job, version, b"%b\n%b\n" % (action, b'{"a":"%b"}' % (b"x" * size)))


@pytest.fixture(params=STORES, ids=["plain", "as installed"])
def store(request: pytest.FixtureRequest) -> StateStore:
    return request.param()  # type: ignore[no-any-return]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sent(window: StateWindow, *, everything: bool = False) -> list[tuple[int, bool]]:
    """(states, whether no older one is held back) of each batch."""
    return [(batch.count, batch.is_last) for batch in window.take(everything=everything)]


def test_the_last_word_stays(store: StateStore) -> None:
    for version in (1, 3, 2):
        state_store.put(store, state("a", version))
    body, count = store.take(True, 0)
    assert count == 1
    assert b'"version":3' in bytes(body)
    assert store.size() == 0


def test_a_job_s_states_are_sent_once_in_an_interval(store: StateStore) -> None:
    clock = Clock()
    window = StateWindow(store, clock)
    state_store.put(store, state("a", 1))
    assert sent(window) == []
    clock.now = states.INTERVAL_S
    assert sent(window) == [(1, True)]
    state_store.put(store, state("a", 2))
    state_store.put(store, state("b", 1))
    assert sent(window) == []
    clock.now = 2 * states.INTERVAL_S
    assert sent(window) == [(2, True)]
    assert sent(window, everything=True) == []


def test_in_a_backlog_states_wait_longer(store: StateStore) -> None:
    clock = Clock()
    window = StateWindow(store, clock)
    state_store.put(store, state("a", 1))
    clock.now = states.BEHIND_S - 0.1
    assert list(window.take(behind=True)) == []
    clock.now = states.BEHIND_S
    assert [batch.count for batch in window.take(behind=True)] == [1]


def test_where_there_is_no_room_the_oldest_go_but_for_those_that_just_went(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(state("a", 1).body)
    monkeypatch.setattr(states, "HELD_LIMIT", 3 * size)
    monkeypatch.setattr(states, "BODY_LIMIT", 2 * size)
    window = StateWindow(store, Clock())
    for job in "abc":
        state_store.put(store, state(job, 1))
    assert sent(window) == []
    state_store.put(store, state("d", 1))
    assert sent(window) == [(2, False)]  # a and b: a whole request
    for job in "aef":
        state_store.put(store, state(job, 2))
    assert sent(window) == [(2, False)]  # c and d: one of a was just sent
    held, _ = store.take(True, 0)
    assert [name in bytes(held) for name in (b'"a"', b'"e"', b'"f"')] == [True, True, True]


@pytest.mark.parametrize("seed", range(30))
def test_both_stores_give_the_same(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    stores = [make() for make in STORES]
    for _ in range(200):
        if dice.random() < 0.9:
            one = state(f"job-{dice.randrange(60)}", dice.randrange(9), dice.randrange(40))
            for store in stores:
                state_store.put(store, one)
        else:
            over, leave = dice.random() < 0.4, dice.choice((0, 500, 2000))
            (plain, count), (native, native_count) = (store.take(over, leave) for store in stores)
            assert (plain, count) == (bytes(native), native_count)
        assert stores[0].size() == stores[1].size()
