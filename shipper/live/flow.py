"""How many jobs came into a queue and left it between two samples. RQ counts neither, so it is inferred, from below.

A queue's last job is a mark: what is behind it at the next sample came since. What left follows from the depths. Jobs
that came and left between two samples are not seen in the queue; they are in the counters of workers that serve only
this queue. So with such workers the numbers are right, and with others they are the least that it can have been.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import keys
from .queues import QueueSample
from .workers import WorkerSample

MARK_BOUND = 10_000  # jobs behind the mark that are looked through


@dataclass(frozen=True, slots=True)
class Flow:
    """Jobs that came and left since the sample before."""

    enqueued: int
    dequeued: int


Marks = Mapping[str, Any]
"""Queue → its last job's id, as Redis has it."""


def read(connection: Any, queues: Iterable[QueueSample], before: Marks) -> tuple[Marks, dict[str, int | None]]:
    """(marks, queue → jobs behind its mark of `before`; None if the mark is gone). One round trip.

    Raises redis.RedisError.
    """
    names = [queue.name for queue in queues]
    marked = [name for name in names if before.get(name) is not None]
    answers = keys.ask(
        connection,
        [
            *(("lindex", keys.queue(name), -1) for name in names),
            *(
                command
                for name in marked
                for command in (
                    ("lpos", keys.queue(name), before[name], -1, None, MARK_BOUND),
                    ("llen", keys.queue(name)),
                )
            ),
        ],
    )
    found = answers[len(names) :]
    behind: dict[str, int | None] = {}
    for number, name in enumerate(marked):
        position, depth = found[2 * number : 2 * number + 2]
        behind[name] = None if position is None else max(0, depth - 1 - position)
    return dict(zip(names, answers, strict=False)), behind


def infer(before: int, now: int, behind: int | None, processed: int) -> Flow:
    """The flow of one queue.

    `before`, `now`: its depths. `behind`: jobs behind its mark, None if the mark left. `processed`: jobs that workers
    took which serve no other queue.
    """
    seen = now if behind is None else behind
    dequeued = max(before + max(seen, now - before, 0) - now, processed)
    return Flow(enqueued=dequeued + now - before, dequeued=dequeued)


def processed(before: Iterable[WorkerSample], now: Iterable[WorkerSample]) -> dict[str, int]:
    """Queue → jobs that were taken since, by workers that serve only this queue."""
    known = {(one.name, one.birth): one for one in before}
    taken: dict[str, int] = {}
    for one in now:
        if len(one.queues) != 1:
            continue
        earlier = known.get((one.name, one.birth))
        count = one.successes + one.failures + len(one.running)
        if earlier is not None:
            count -= earlier.successes + earlier.failures + len(earlier.running)
        taken[one.queues[0]] = taken.get(one.queues[0], 0) + max(0, count)
    return taken
