"""Threads that carry batches to Elasticsearch, so that the next one is made while this one is on its way."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Load = TypeVar("Load")
Result = TypeVar("Result")


SWITCH_S = 0.0005  # between a thread's wish for the interpreter and its turn


def set_switch_interval() -> None:
    """Let a sender go on as soon as it can: it needs the interpreter for some microseconds before it waits again.

    With Python's own 5 ms a sender waits for longer than a batch takes to be made: 300,000 records a second by the
    clock, and 400,000 so, at the same CPU.
    """
    sys.setswitchinterval(SWITCH_S)


class SenderPool(Generic[Load, Result]):
    """`count` threads that call `send`. They are daemons: a request that hangs holds up no end of the program."""

    def __init__(self, send: Callable[[Load], Result], count: int) -> None:
        self._send = send
        self._work: queue.SimpleQueue[tuple[Load, Future[Result]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name="sender", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, load: Load) -> Future[Result]:
        """The result of `send(load)`, or what it raised, when it is there."""
        future: Future[Result] = Future()
        self._work.put((load, future))
        return future

    def close(self, timeout_s: float) -> None:
        """Let the threads end, but wait no longer than this for all of them."""
        until = time.monotonic() + timeout_s
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            load, future = work
            try:
                future.set_result(self._send(load))
            except BaseException as raised:
                future.set_exception(raised)
            del work, load, future  # a batch is megabytes, and the next one may be another thread's
