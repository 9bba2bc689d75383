"""Who asks for a section: the running job, or a process that runs none."""

from __future__ import annotations

import os
import uuid
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .. import context
from ..forking import in_each_child, no_fork


class Caller(NamedTuple):
    """Who asks for a section.

    `token` identifies this execution, and only it may release the section. `job_id` is "" outside of a job.
    `timeout_s` is the job's, None without one. `is_in_worker`: a worker of ours runs the job, so it can put it back.
    """

    token: str
    job_id: str
    execution_id: str
    function: str
    timeout_s: float | None
    is_in_worker: bool
    connection: Any


def token_of(job_id: str, execution_id: str) -> str:
    """The token of an execution. The parent of a work-horse builds it, too."""
    return f"{job_id}:{execution_id}"


def current() -> Caller:
    """The caller in this thread."""
    with no_fork:
        from rq import get_current_job

    job = get_current_job()
    if job is None:
        return Caller(uuid.uuid4().hex, "", "", "", None, False, _own_connection())
    running = context.running.get()
    execution_id = running.execution_id if running is not None and running.job_id == job.id else None
    timeout = float(job.timeout) if job.timeout and float(job.timeout) > 0 else None
    return Caller(
        token=token_of(job.id, execution_id or _process_token()),
        job_id=job.id,
        execution_id=execution_id or "",
        function=(running.function if running else None) or job.func_name or "",
        timeout_s=timeout,
        is_in_worker=execution_id is not None,
        connection=job.connection,
    )


@cache
def _own_connection() -> Any:
    """The connection of a process that runs no job: SHIPPER_REDIS."""
    with no_fork:
        from .. import settings
        from ..live.connection import connect

        return connect(settings.load(complain=lambda _: None))


@cache
def _process_token() -> str:
    return uuid.uuid4().hex


# --- the processes of one machine -------------------------------------------------------------------------


@cache
def place() -> str:
    """Identifies the machine, since its boot, and the PID namespace. "" where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


@cache
def process() -> str:
    """Identifies this process on its machine: "pid:start". The kernel uses pids again, so it has the start time."""
    return f"{os.getpid()}:{_start_of(os.getpid())}"


def is_gone(there: str, identity: str) -> bool:
    """Whether that process has certainly ended. False for those of other machines."""
    if not there or there != place():
        return False
    pid, _, start = identity.partition(":")
    return pid.isdigit() and _start_of(int(pid)) != start


def _start_of(pid: int) -> str | None:
    """When a process started, in clock ticks since boot (proc(5)). None if it has ended, or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


in_each_child(process.cache_clear)
in_each_child(_process_token.cache_clear)
