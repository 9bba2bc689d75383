"""Start, watch and stop programs of ours: by process id, never by name."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

STOP_GRACE_S = 10.0  # a worker finishes its job and a shipper its batch well within this


class StackError(RuntimeError):
    """Something on this machine keeps us from starting; the message says what to do about it."""


def free_port(*beside: int) -> int:
    """A TCP port on the loopback address that nobody listens on, and that is not given again while this process lives.

    So are those that far `beside` it. Linux gives none of them to outgoing connections: a server that takes a while to
    start would find one of its own in use by a connection, though it was free when it was chosen.
    """
    ports = _fixed_ports()
    for port in random.sample(ports, min(len(ports), 1000)):
        if all(_reserve(one) for one in (port, *(port + other for other in beside))):
            return port
    raise StackError("There is no free port on the loopback address.")


@cache
def _fixed_ports() -> range:
    """Ports that are not given to outgoing connections (ip(7), ip_local_port_range)."""
    try:
        least, most = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        least, most = 32_768, 60_999
    below, above = range(10_000, least), range(most + 1, 65_536)
    return max(below, above, key=len) or range(10_000, 65_536)


def _reserve(port: int) -> bool:
    """Have a port for as long as this process lives. False if another process of ours has it, or anybody uses it.

    A name in Linux's abstract namespace of sockets is one process's, and free again when that has ended (unix(7)).
    """
    with socket.socket(socket.AF_UNIX) as mark, socket.socket() as probe:
        try:
            if sys.platform == "linux":
                mark.bind(f"\0rq-shipper-port-{port}")
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        mark.detach()  # it stays open
        return True


def port_from(environment_name: str) -> int:
    """The port that the environment names, checked to be free; any free one if it names none."""
    wanted = os.environ.get(environment_name)
    if not wanted:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(wanted)))
        except ValueError:
            raise StackError(f"{environment_name}={wanted!r} is not a port number.") from None
        except OSError:
            raise StackError(
                f"Port {wanted} is in use by another program. Free it, or unset {environment_name} "
                "to have a free port chosen."
            ) from None
    return int(wanted)


def wait_until(ready: Callable[[], object], timeout_s: float, what: str, every_s: float = 0.05) -> None:
    """Return as soon as `ready()` is true; raise StackError with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise StackError(f"Waited {timeout_s:.0f} s for {what}, in vain.")
        time.sleep(every_s)


@contextlib.contextmanager
def saying_how_long(every_s: float = 5.0) -> Iterator[None]:
    """While the block runs, print every few seconds for how long it has: whoever waits sees that something goes on."""
    over, begun = threading.Event(), time.monotonic()

    def say() -> None:
        while not over.wait(every_s):
            print(f"  … {time.monotonic() - begun:.0f} s", flush=True)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def start(
    command: list[str],
    log: Path,
    *,
    environment: dict[str, str] | None = None,
    account: tuple[int, int] | None = None,
    folder: Path | None = None,
    outlives: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own, its output appended to `log` (mode 0600).

    `environment` is added to ours; `account` is a (uid, gid) to run as. Unless it `outlives` us, it is killed when this
    process ends, however that ends: nobody has to clean up after a SIGKILL.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        uid, gid = account if account else (None, None)
        begin = partial(
            subprocess.Popen,
            command if outlives else ending_with_us(command),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=True,
            user=uid,
            group=gid,
            extra_groups=[] if account else None,
        )
        return in_lasting_thread(begin)
    finally:
        os.close(descriptor)


def in_lasting_thread(begin: Callable[[], Result]) -> Result:
    """Call it in a thread that is there as long as this process.

    A program that ends with us ends with the thread that has started it: one that may end before is the wrong one.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return begin() if is_main else _starter().submit(begin).result()


@cache
def _starter() -> ThreadPoolExecutor:
    """A thread that is there as long as this process."""
    return ThreadPoolExecutor(max_workers=1)


def ending_with_us(command: list[str]) -> list[str]:
    """The command, killed by the kernel when the thread that starts it ends (prctl(2), PR_SET_PDEATHSIG)."""
    setpriv = shutil.which("setpriv")  # util-linux, which every Debian has
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command


def birth(pid: int) -> str | None:
    """When the process began (clock ticks since boot, from proc(5)): tells a reused id apart. None if gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def stop_group(pid: int, grace_s: float = STOP_GRACE_S) -> None:
    """End the process group led by `pid`: SIGTERM, and SIGKILL for what is still there after `grace_s`."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and birth(pid) is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program that this process started."""
    stop_group(process.pid)
    process.wait()


def tail_of(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
