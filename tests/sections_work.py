"""Jobs in critical sections. Each notes in a file when it enters and leaves, with its fencing number."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import shipper
from shipper import SectionBusy
from shipper.emit.events import observers

STORM_TTL_S = 30  # short, as some die; long enough for a holder that gets no processor for a while
TTL_S = 300  # and a job's timeout in these tests, so that no job is killed for a busy machine's sake


def note(file: str, what: str, fence: int | None = None) -> None:
    """Append "what fence pid time" with one write."""
    number = fence if fence is not None else shipper.current_section().fence  # type: ignore[union-attr]
    line = f"{what} {number} {os.getpid()} {time.time():.6f}\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@shipper.critical_section("financial:{user_id}", ttl=TTL_S, delay=0.4)
def transfer(user_id: int, file: str, seconds: float = 0.0) -> str:
    note(file, "enter")
    time.sleep(seconds)
    note(file, "leave")
    return "done"


@shipper.critical_section("financial:{account}", ttl=TTL_S, delay=0.4)
def reconcile(account: int, file: str) -> str:
    """Another function of the same family."""
    note(file, "enter")
    note(file, "leave")
    return "done"


@shipper.critical_section("financial:{user_id}", ttl=TTL_S)
def hold(user_id: int, gate: str, file: str) -> None:
    """Hold it until the gate is there."""
    note(file, "enter")
    while not Path(gate).exists():
        time.sleep(0.02)
    note(file, "leave")


@shipper.critical_section("financial:{user_id}", ttl=TTL_S)
def be_killed_at_first(user_id: int, file: str, how: str = "kill") -> str:
    note(file, "enter")
    if Path(file).read_text().count("enter") == 1:
        if how == "exit":
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    note(file, "leave")
    return "done"


@shipper.critical_section("financial:{user_id}", ttl=TTL_S)
def fail(user_id: int, file: str) -> None:
    note(file, "enter")
    note(file, "leave")
    raise ValueError("no money")


@shipper.critical_section("financial:{user_id}", ttl=TTL_S, on_busy="skip")
def skips(user_id: int) -> str:
    return "done"


@shipper.critical_section("financial:{user_id}", ttl=TTL_S, on_busy="fail")
def fails(user_id: int) -> str:
    return "done"


@shipper.critical_section("financial:{user_id}", ttl=TTL_S, on_busy=lambda busy: f"later, after {busy.holder_function}")
def asks(user_id: int) -> str:
    return "done"


@shipper.critical_section("financial:{user_id}", ttl=TTL_S, delay=0.05, max_tries=3)
def tries_three_times(user_id: int) -> str:
    return "done"


@shipper.critical_section("financial:{user_id}", ttl=TTL_S, wait=TTL_S / 2)
def waits(user_id: int, file: str) -> float:
    section = shipper.current_section()
    assert section is not None
    note(file, "enter")
    note(file, "leave")
    return section.waited_s


@shipper.critical_section("financial:{user_id}", ttl=TTL_S)
async def in_a_coroutine(user_id: int, file: str) -> str:
    note(file, "enter")
    note(file, "leave")
    return "done"


@shipper.critical_section("financial:{user_id}", ttl=TTL_S)
def inside_itself(user_id: int) -> None:
    with shipper.critical_section(f"financial:{user_id}", ttl=TTL_S):
        raise AssertionError("it got in")


@shipper.critical_section("any:{user_id}")
def takes_anything(**options: Any) -> None:
    return None


def in_a_block(user_id: int, file: str) -> str:
    """A section in the middle of a job that has begun already."""
    with shipper.critical_section(f"financial:{user_id}", ttl=TTL_S, delay=0.4) as section:
        note(file, "enter", section.fence)
        note(file, "leave", section.fence)
    return "done"


def be_killed_after_going_back(user_id: int, file: str) -> str:
    """At first, be killed between the transaction that puts this job back and its record."""
    if not Path(file).exists():
        note(file, "first", 0)
        setattr(observers, "busy", lambda *_: os.kill(os.getpid(), signal.SIGKILL))  # noqa: B010 - mypy
    with shipper.critical_section(f"financial:{user_id}", ttl=TTL_S, delay=0.4):
        return "done"


def failure_callback(job: Any, *_: Any) -> None:
    """A failure callback of RQ's, which must not be called for a job that is put back."""
    note(job.meta["file"], "failure-callback", 0)


def note_exception(job: Any, *_exc_info: Any) -> bool:
    """An exception handler of RQ's, which must not be called either."""
    note(job.meta["file"], "exception-handler", 0)
    return True


def swallow(user_id: int) -> str:
    """The job's own code catches SectionBusy: then it is its own matter."""
    try:
        with shipper.critical_section(f"financial:{user_id}", ttl=TTL_S):
            return "in"
    except SectionBusy:
        return "kept out"


class TimesOut:
    """The job's timeout comes while it holds the section."""

    @staticmethod
    @shipper.critical_section("financial:{user_id}", ttl=TTL_S)
    def run(user_id: int, file: str) -> None:
        note(file, "enter")
        time.sleep(60)


@shipper.critical_section("storm:{user_id}", ttl=STORM_TTL_S, delay=0.3, max_tries=100_000, max_age=86_400)
def in_a_storm(user_id: int, file: str, seconds: float) -> None:
    """One of the jobs of tests/storm.py. Each section has a file of its own."""
    note(f"{file}.{user_id}", "enter")
    time.sleep(seconds)
    note(f"{file}.{user_id}", "leave")
