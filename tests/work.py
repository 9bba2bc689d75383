"""Jobs for the tests."""

from __future__ import annotations

import importlib
import json
import logging
import os
import pickle
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from rq import Queue, Retry, get_current_job

import shipper
from shipper.sink import Sink


def add(left: int, right: int) -> int:
    return left + right


def fail(message: str = "no") -> None:
    raise ValueError(message)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def wait_for(file: str) -> None:
    """Go on when the file is there: for as long as a test needs a job to run."""
    while not Path(file).exists():
        time.sleep(0.02)


def note_fields(job: Any, *_exc_info: Any) -> bool:
    """An exception handler of RQ's, such as an exception notifier. It hands on to the next one."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(json.dumps({"job": job.id, **shipper.current_fields()}) + "\n")
    return True


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def be_killed_while_telling(when: str, how: str = "returned") -> str:
    """Be killed right `before` or `after` this work-horse writes its closing record."""
    append = Sink.append

    def append_or_die(sink: Sink, line: bytes) -> bool:
        if when == "after":
            append(sink, line)
        be_killed()
        return True

    setattr(Sink, "append", append_or_die)  # noqa: B010 - only in this process, which is killed
    if how == "raised":
        raise ValueError("no such order")
    return "a word"


def ask_for_retry() -> Retry:
    return Retry(max=1)


class Picky:
    """Can be pickled and cannot be unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return fail, ("cannot be unpickled",)


def exit_with(status: int) -> None:
    os._exit(status)


def leave() -> None:
    raise SystemExit("enough")


def be_deaf(seconds: float, file: str) -> None:
    """Hang in a way that the alarm of RQ's timeout cannot end. From then on the file is there."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    Path(file).touch()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)


def fill_redis() -> str:
    """Succeed, but leave Redis unable to take a word of it."""
    get_current_job().connection.config_set("maxmemory", "1")  # type: ignore[union-attr]
    return "done"


def end_redis() -> str:
    """Succeed, and take Redis away."""
    get_current_job().connection.shutdown(nosave=True)  # type: ignore[union-attr]
    return "done"


def enqueue_another() -> None:
    job = get_current_job()
    assert job is not None
    Queue(job.origin, connection=job.connection).enqueue(add, 1, 2)


def schedule_another() -> None:
    from rq_scheduler import Scheduler

    job = get_current_job()
    assert job is not None
    Scheduler(job.origin, connection=job.connection).enqueue_in(timedelta(0), add, 1, 2)


def raising_callback(*_: object) -> None:
    raise RuntimeError("the callback failed")


def note_nothing(*_: object) -> None:
    """A job's callback that does nothing."""


def leave_a_word() -> str:
    return "a word"


def sign_in(user: str, password: str, *, headers: dict[str, str]) -> str:
    return f"{user} is in"


def sign_in_and_be_killed(user: str, password: str, headers: dict[str, str]) -> None:
    be_killed()


class ReversedPickle:
    """A serializer of the application. Other processes cannot read its payloads."""

    @staticmethod
    def dumps(value: object, *options: Any, **more: Any) -> bytes:
        return pickle.dumps(value, *options, **more)[::-1]

    @staticmethod
    def loads(data: bytes, **options: Any) -> Any:
        return pickle.loads(data[::-1], **options)  # noqa: S301 - like RQ's own serializer


def tell_progress(then: str = "") -> None:
    """Four changes at once, of which the first and the last are worth a record, however busy the machine is."""
    setattr(importlib.import_module("shipper.emit.progress"), "RECORD_EVERY_S", 300.0)  # noqa: B010 - mypy
    for percent in (10, 20, 30):
        shipper.progress(percent, f"at {percent}")
    if then == "be killed":
        be_killed()
    shipper.progress(100, "done")


def log_a_line(text: str) -> None:
    logging.getLogger("shop").warning(text)


def write_log(path: str) -> None:
    log = logging.getLogger("shop")
    handler = logging.FileHandler(path)
    handler.setFormatter(shipper.JsonFormatter())
    log.addHandler(handler)
    log.warning("looking at %s", "order 7", extra={"order": 7, "password": "s3cret"})
    try:
        raise KeyError("no such order")
    except KeyError:
        log.exception("lost it")
    handler.close()


def note_failure(record: dict[str, Any]) -> None:
    """A callback of the application's: leaves a line in the file that NOTES names."""
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{record['event']['action']} {record['event']['reason']} {record.get('user', {}).get('id')}\n")


def failing_callback(record: dict[str, Any]) -> None:
    raise RuntimeError("a callback that fails")


def audited(thing: str) -> None:
    """Records what it does, and has another job do more."""
    from rq import get_current_job

    import shipper

    shipper.audit.record("thing-printed", ("thing", thing))
    job = get_current_job()
    assert job is not None
    Queue(job.origin, connection=job.connection).enqueue(audited_again, thing)


def audited_again(thing: str) -> None:
    import shipper

    shipper.audit.record("thing-posted", ("thing", thing))
