"""`never_raise` keeps exceptions of our own code from reaching the application's jobs and requests."""

from __future__ import annotations

import logging
import sys
import time
from functools import cache

log = logging.getLogger("shipper")

WARN_EVERY_S = 60.0

# What RQ's signal handlers raise wherever the process is, also in our code: a job's timeout, and the end of a worker.
# By name, as RQ is loaded where they are raised, and is not to be loaded elsewhere: it takes 10 MB.
_OF_SIGNALS = (("rq.timeouts", "BaseTimeoutException"), ("rq.exceptions", "StopRequested"))


class _Guard:
    """The context manager that `never_raise` returns. Has no state of a block, so one serves all blocks of a name."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception) or _is_of_a_signal(error):
            return False
        _say(self._name, error)
        return True


def keep_back(error: Exception, name: str) -> None:
    """What `never_raise` does with an exception. To be called in `except Exception`.

        try:
            …
        except Exception as error:
            keep_back(error, "started")

    For what is entered for each job: where nothing is raised, it costs nothing, and a with-block costs two calls.
    """
    if _is_of_a_signal(error):
        raise error
    _say(name, error)


_last_warning = -WARN_EVERY_S  # one warning a minute for the whole process


def _say(name: str, error: Exception) -> None:
    global _last_warning  # noqa: PLW0603 - it is of the whole process
    now = time.monotonic()
    if now - _last_warning >= WARN_EVERY_S:
        _last_warning = now
        log.warning(
            "No record of %r: %s: %s. The job is not affected.",
            name,
            type(error).__name__,
            error,
            exc_info=error,
            extra={"event.action": "observer-failed"},
        )


def _is_of_a_signal(error: Exception) -> bool:
    """Whether RQ's signal handlers raise such exceptions."""
    loaded = (getattr(sys.modules.get(module), name, None) for module, name in _OF_SIGNALS)
    return any(isinstance(one, type) and isinstance(error, one) for one in loaded)


@cache  # neither a generator nor a new object each time
def never_raise(name: str) -> _Guard:
    """`with never_raise("started"):` logs an exception of the block, at most once a minute, and continues after it.

    RQ's job timeout (BaseTimeoutException), its StopRequested and exceptions that are no Exception are not caught: they
    are for the job or the worker.
    `name` says in the log what was not recorded.
    """
    return _Guard(name)
