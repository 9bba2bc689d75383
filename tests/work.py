"""Jobs for the tests."""

from __future__ import annotations

import os
import signal
import time

from rq import Retry


def add(left: int, right: int) -> int:
    return left + right


def fail(message: str = "no") -> None:
    raise ValueError(message)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ask_for_retry() -> Retry:
    return Retry(max=1)


class Picky:
    """Can be pickled and cannot be unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return fail, ("cannot be unpickled",)
