"""Workers as applications have them: each overrides something of RQ's without calling it, or goes ways of its own."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from rq import SimpleWorker, Worker
from rq.timeouts import BaseDeathPenalty, JobTimeoutException
from rq.utils import now

from shipper.emit.events import observers


class ForgetsTheStop(Worker):
    """A stopped job is no failure to it: it clears RQ's mark, and leaves RQ's handling out."""

    def handle_job_failure(self, job: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
        if self._stopped_job_id != job.id:
            return super().handle_job_failure(job, queue, *args, **kwargs)
        self._stopped_job_id = None
        return None


class ForksSlowly(Worker):
    """It has forked, and is not as far as to note the work-horse's process id when it is told to stop the job."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        self.is_told = threading.Event()
        os.register_at_fork(after_in_parent=self._wait)
        super().fork_work_horse(job, queue)

    def _wait(self) -> None:
        self.is_told.wait()
        time.sleep(0.1)  # where nobody waits for us, the worker is killed in this time

    def handle_payload(self, message: Any) -> None:
        self.is_told.set()
        super().handle_payload(message)


class IsToldToEndMeanwhile(Worker):
    """SIGTERM reaches it when RQ is done with a job, and its end is being recorded."""

    def execute_job(self, job: Any, queue: Any) -> None:
        super().execute_job(job, queue)
        setattr(observers, "work_horse_exited", self._end)  # noqa: B010 - mypy

    def _end(self, *_: Any) -> None:
        delattr(observers, "work_horse_exited")
        os.kill(os.getpid(), signal.SIGTERM)


class CountsOnceTheJobIsDeaf(Worker):
    """It counts a job's time from when the file is there that DEAF names, however long the fork took."""

    def monitor_work_horse(self, job: Any, queue: Any, *rest: Any) -> None:
        while not Path(os.environ["DEAF"]).exists():
            time.sleep(0.02)
        super().monitor_work_horse(job, queue, *rest)


class WatchesByItself(Worker):
    def monitor_work_horse(self, job: Any, queue: Any, *rest: Any) -> None:
        self.wait_for_horse()
        self._horse_pid = 0


class ExecutesByItself(Worker):
    """Its execute_job is its own, and waits for the work-horse in a way of its own."""

    def execute_job(self, job: Any, queue: Any) -> None:
        self.prepare_execution(job)
        self.fork_work_horse(job, queue)
        self.wait_for_horse()
        self._horse_pid = 0


def _timed(method: Any) -> Any:
    @functools.wraps(method)
    def timed(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return timed


class IsDecorated(ExecutesByItself):
    """The same, behind a decorator of the application's own."""

    @_timed
    def execute_job(self, job: Any, queue: Any) -> None:
        super().execute_job(job, queue)


class SwallowsExceptions(SimpleWorker):
    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        return None


class HandlesFailuresByItself(SimpleWorker):
    """RQ never hears of a failure, and keeps the job as started."""

    def handle_job_failure(self, job: Any, queue: Any, *args: Any, **kwargs: Any) -> None:
        return None


class HandlesSuccessByItself(SimpleWorker):
    def handle_job_success(self, job: Any, queue: Any, *args: Any, **kwargs: Any) -> None:
        return None


class CallsPerform(Worker):
    """Runs the job in a thread with job.perform(), and calls RQ's handle_job_failure for failures."""

    def execute_job(self, job: Any, queue: Any) -> None:
        runner = threading.Thread(target=self._run, args=(job, queue))
        runner.start()
        runner.join()

    def _run(self, job: Any, queue: Any) -> None:
        with self.connection.pipeline() as pipe:
            job.prepare_for_execution(self.name, pipeline=pipe)
            pipe.execute()
        try:
            job.perform()
        except Exception:
            job.ended_at = now()
            self.handle_job_failure(job, queue=queue, exc_string=traceback.format_exc())


class RaisesInHandler(SimpleWorker):
    """Its exception handler ends the worker when a job timed out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.push_exc_handler(self._on_error)

    def _on_error(self, job: Any, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, JobTimeoutException):
            raise SystemExit(0)


class _NoAlarm(BaseDeathPenalty):
    def setup_death_penalty(self) -> None: ...

    def cancel_death_penalty(self) -> None: ...


class FourAtOnce(SimpleWorker):
    """Several executions at once in one process (RQ 3)."""

    death_penalty_class = _NoAlarm

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._threads: list[threading.Thread] = []

    def execute_job(self, job: Any, queue: Any) -> None:
        execution = self.prepare_execution(job)
        self._threads.append(threading.Thread(target=self.perform_job, args=(job, queue, execution)))
        self._threads[-1].start()
        if len(self._threads) % 4 == 0:
            self._threads[-4].join()

    def teardown(self) -> None:
        for thread in self._threads:
            thread.join()
        super().teardown()
