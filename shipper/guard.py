"""The boundary to the application: a job or a request never fails because of us."""

from __future__ import annotations

import logging
import time

from rq.timeouts import BaseTimeoutException

log = logging.getLogger("shipper")

WARN_EVERY_S = 60.0


class never_raise:  # noqa: N801 - used as a word: `with never_raise("started"):`
    """Log what our own code raises in the block, at most once a minute, and go on after the block.

    What RQ's alarm raises (BaseTimeoutException), and what is no Exception, passes: it is meant for the job.

    A class and not a generator: this is entered a dozen times for each job, and costs a third so.
    """

    __slots__ = ("_moment",)

    _last_warning = -WARN_EVERY_S  # one warning a minute for the whole process

    def __init__(self, moment: str) -> None:
        self._moment = moment

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if kind is None:
            return False
        if not issubclass(kind, Exception) or issubclass(kind, BaseTimeoutException):
            return False  # RQ's alarm rang while we were at it: it is meant for the job
        now = time.monotonic()
        if now - never_raise._last_warning >= WARN_EVERY_S:
            never_raise._last_warning = now
            log.warning(
                "No record of %r: %s: %s. The job is not affected.",
                self._moment, kind.__name__, error,
                exc_info=error, extra={"event.action": "observer-failed"},
            )  # fmt: skip
        return True
