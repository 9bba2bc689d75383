"""Programs that start warm: each a process of its own, forked from one that has imported the libraries.

Nine tenths of what a short program of ours costs is the import of libraries: of RQ, of redis-py, of the Elasticsearch
client. Hundreds are started by the tests, so a process for each kind of them imports the libraries once, and nothing of
ours, and each program is a fork of it: with the arguments, the environment, the descriptors and the session that it
would have had, and with our own code imported by itself, in its own order. COLD=1 in the environment starts all of them
from nothing, as a shell does; programs on whose interpreter something depends always start so (`kind_of`).

Run as a program, `python -m tests.warm KIND`, this is the process that forks; its standard input is where it is asked.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.processes import ending_with_us, in_lasting_thread

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

# What each kind of program imports in any case.
LIBRARIES = {
    "rq": ("rq.cli.cli", "redis.sentinel"),
    "shipper": (
        "elasticsearch", "rq.cli.cli", "redis.sentinel", "click", "rich.console", "rich.progress", "rich.table",
        "rich.text", "orjson", "msgspec", "prometheus_client", "pythonjsonlogger.json", "rfc8785",
    ),
    "django": (
        "django.core.management", "django.db.models", "django.test", "django.db.backends.sqlite3.base",
        "rq.cli.cli", "redis.sentinel",
    ),
}  # fmt: skip
FOLDER = "WARM_FOLDER"  # the variable with the folder to start a program in, if it is not the checkout's
_MESSAGE_LIMIT = 1 << 20
_PR_SET_PDEATHSIG = 1


def kind_of(command: tuple[str, ...], environment: Mapping[str, str]) -> str | None:
    """The kind of a program, or None if it has to start from nothing."""
    if os.environ.get("COLD") or not hasattr(os, "pidfd_open"):
        return None
    if any(name.startswith(("PYTHON", "OTEL_", "DD_", "RQ_KEY_PREFIX")) for name in environment):
        return None  # the interpreter or a library reads it as it starts
    if command[0] == "python":
        return "django" if "DJANGO_SETTINGS_MODULE" in environment and command[1] in ("-c", "-m") else None
    return command[0] if command[0] in LIBRARIES else None


class Program:
    """A program that was started, with what `subprocess.Popen` has of it."""

    def __init__(self, command: tuple[str, ...], status: int) -> None:
        self.args = command
        self.returncode: int | None = None
        self._status = open(status, "rb")  # noqa: SIM115 - until the program has ended
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, and we are not told yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout_s: float | None) -> int | None:
        if self.returncode is None:
            with selectors.PollSelector() as selector:
                selector.register(self._status, selectors.EVENT_READ)
                if selector.select(timeout_s):
                    self.returncode = int(self._status.readline())
                    self._status.close()
        return self.returncode


def start(
    kind: str, command: tuple[str, ...], environment: Mapping[str, str], stdin: int, stdout: int, stderr: int
) -> Program:
    """Start a program in the root of the checkout, in a session of its own; it is killed when this process ends."""
    ours, theirs = os.pipe()
    try:
        asked = json.dumps([command, dict(environment)]).encode()
        with _starting:
            if kind not in _forking:
                _forking[kind] = in_lasting_thread(lambda: _Forking(kind))
        socket.send_fds(_forking[kind].socket, [asked], [stdin, stdout, stderr, theirs])
    finally:
        os.close(theirs)
    return Program(command, ours)


class _Forking:
    """The process that forks programs of a kind, and the socket on which it is asked."""

    def __init__(self, kind: str) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            ending_with_us([sys.executable, "-m", "tests.warm", kind]),
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )
        theirs.close()

    def stop(self) -> None:
        self.socket.close()
        self._process.wait()


_forking: dict[str, _Forking] = {}
_starting = threading.Lock()


def stop() -> None:
    """End the processes that fork, at the end of the tests."""
    while _forking:
        _forking.popitem()[1].stop()


# --- in the process that forks ---


@dataclass(frozen=True, slots=True)
class _Request:
    command: list[str]
    environment: dict[str, str]
    descriptors: list[int]


def _serve(asked: socket.socket) -> _Request | None:
    """Fork for each request. Returns in the forked process, with what to do; None where nobody asks any more."""
    running: dict[int, tuple[int, int]] = {}  # a pidfd: the process id, and where its end is told
    with selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not asked:
                    selector.unregister(key.fd)
                    _tell_end(key.fd, *running.pop(key.fd))
                    continue
                message, descriptors, _, _ = socket.recv_fds(asked, _MESSAGE_LIMIT, 4)
                if not message:
                    return None
                pid = os.fork()
                if pid == 0:
                    _die_with_parent()
                    for pidfd, (_, status) in running.items():
                        os.close(pidfd)
                        os.close(status)
                    asked.close()
                    os.setsid()
                    # Only now does anybody know of it: who ends its process group needs one to be there.
                    os.write(descriptors[-1], b"%d\n" % os.getpid())
                    os.close(descriptors.pop())
                    return _Request(*json.loads(message), descriptors)  # type: ignore[call-arg]
                status = descriptors.pop()
                for descriptor in descriptors:
                    os.close(descriptor)
                pidfd = os.pidfd_open(pid)
                running[pidfd] = (pid, status)
                selector.register(pidfd, selectors.EVENT_READ)


def _tell_end(pidfd: int, pid: int, status: int) -> None:
    _, code = os.waitpid(pid, 0)
    os.close(pidfd)
    with contextlib.suppress(BrokenPipeError):  # who asked has forgotten it
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(code))
    os.close(status)


_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# --- in the program ---


def _become(request: _Request) -> None:
    """Be what a shell would have started, and run."""
    for ours, wanted in zip(request.descriptors, (0, 1, 2), strict=True):
        os.dup2(ours, wanted)
    for descriptor in request.descriptors:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(os.environ.pop(FOLDER, "."))
    time.tzset()
    program, *arguments = request.command
    sys.argv[:] = [str(BIN / program), *arguments]
    if program != "python":
        sys.path[0] = str(BIN)
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    sys.path[0] = ""
    what, name, *rest = arguments
    sys.argv[:] = [what, *rest]
    if what == "-m":
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return
    main: dict[str, Any] = vars(sys.modules["__main__"])
    for key in [key for key in main if not key.startswith("__")]:
        del main[key]
    exec(compile(name, "<string>", "exec"), main)  # noqa: S102 - a test's own code, as `python -c` would run it


def main(kind: str) -> None:
    asked = socket.socket(fileno=os.dup(0))
    for name in LIBRARIES[kind]:
        importlib.import_module(name)
    gc.freeze()
    if request := _serve(asked):
        _become(request)


if __name__ == "__main__":
    main(sys.argv[1])
