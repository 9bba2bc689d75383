"""A stop command that comes while the work-horse is forked: whom RQ would kill then."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from shipper.emit.patches.parent import would_kill_itself


def worker(horse_pid: int) -> SimpleNamespace:
    return SimpleNamespace(horse_pid=horse_pid)


def test_a_worker_that_does_not_know_its_work_horse_would_kill_itself() -> None:
    assert would_kill_itself(worker(0))


@pytest.mark.parametrize("group", [None, 0])
def test_a_work_horse_that_is_still_in_the_worker_s_group_would_take_it_along(group: int | None) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, process_group=group) as horse:
        assert would_kill_itself(worker(horse.pid)) == (group is None)
        horse.communicate(b"")
    assert not would_kill_itself(worker(horse.pid))  # it is gone


def test_a_worker_without_work_horses_kills_nobody() -> None:
    assert not would_kill_itself(SimpleNamespace())
