"""`make test-rq`: RQ's own test-suite, from the source distribution of the installed release.

    python -m tests.compat.rq_suite [pytest's arguments]

The suite insists on a Redis at port 6379. It gets one on a loopback of its own, in a network namespace,
so that a Redis which is there already is neither needed nor touched; where namespaces are not allowed, port
6379 has to be free.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from stack.elasticsearch import cache_folder
from stack.processes import StackError, ending_with_us, wait_until
from stack.redis import Redis
from tests.programs import BIN, ROOT

PORT = "6379"
INSIDE = "--inside"
LIMIT_S = 3000  # it takes some 90 s
EXIT_LIMIT_S = 300  # from the report to the exit
ROUNDS = 3
RECORDS = "records.jsonl"
TESTS_FAILED = 1  # pytest's exit status for just that
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


def main(arguments: list[str]) -> int:
    try:
        if arguments[:1] == [INSIDE]:
            return _run(arguments[1:])
        _archive()  # while there is a network
        command = [sys.executable, "-m", "tests.compat.rq_suite", INSIDE, *arguments]
        return subprocess.run(ending_with_us([*_namespace(), *command]), cwd=ROOT, check=False).returncode
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _namespace() -> list[str]:
    """The command that gives what follows a network of its own; nothing where that is not allowed."""
    for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which(command[0]):
            tried = subprocess.run([*command, "true"], capture_output=True, check=False)
            if tried.returncode == 0:
                return command
    return []


def _run(arguments: list[str]) -> int:
    _loopback_up()
    os.environ["REDIS_PORT"] = PORT
    with tempfile.TemporaryDirectory(prefix="rq-suite-") as folder:
        redis = Redis(Path(folder))
        try:
            return _pytest(_source(Path(folder)), Path(folder), arguments)
        finally:
            redis.stop()


def _loopback_up() -> None:
    """A new network begins with its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", IFF_UP)
        try:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)
        except PermissionError:
            return  # the machine's own loopback, and that is up


def _archive() -> Path:
    """The source distribution of the installed release, fetched once."""
    version = importlib.metadata.version("rq")
    kept = cache_folder() / "sdists"
    archive = kept / f"rq-{version}.tar.gz"
    if not archive.exists():
        kept.mkdir(parents=True, exist_ok=True)
        fetch = [str(BIN / "pip"), "download", "-q", "--no-deps", "--no-binary", "rq", "-d", str(kept)]
        if subprocess.run([*fetch, f"rq=={version}"], check=False).returncode != 0:
            raise StackError(f"The source of rq {version} could not be fetched. Is the network there?")
    return archive


def _source(folder: Path) -> Path:
    """Its unpacked folder, without the package: the installed one is what is tested."""
    archive = _archive()
    with tarfile.open(archive) as tar:
        # The filter came with Python 3.11.4; the archive is the package index's own.
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(folder, **safely)  # noqa: S202
    source = folder / archive.name.removesuffix(".tar.gz")
    shutil.rmtree(source / "rq")
    return source


def _pytest(source: Path, folder: Path, arguments: list[str]) -> int:
    """Run the suite with us; what fails so has to pass in one of ROUNDS more, or to fail without us as well.

    Some of the suite's tests sleep for a fraction of a second and expect a process to be as far by then: on a busy
    machine those fail, whoever is loaded.
    """
    failed = _failures(source, folder, ["tests", *arguments], with_us=True)
    without_us: set[str] = set()
    for _ in range(ROUNDS):
        if not failed:
            break
        print(f"Once more, by themselves: {len(failed)} that failed", flush=True)
        failed = _failures(source, folder, sorted(failed), with_us=True)
        if failed:
            fail_anyway = _failures(source, folder, sorted(failed), with_us=False)
            without_us |= fail_anyway
            failed -= fail_anyway
    records = folder / RECORDS
    written = len(records.read_bytes().splitlines()) if records.exists() else 0
    for name in sorted(without_us):
        print(f"{name} fails on this machine without us, too")
    for name in sorted(failed):
        print(f"{name} passes without us, and fails with us")
    version = importlib.metadata.version("rq")
    print(f"RQ {version}'s own tests, instrumented: {written} records were written", flush=True)
    return 0 if written and not failed else 1


def _failures(source: Path, folder: Path, tests: list[str], *, with_us: bool) -> set[str]:
    """Run these of the suite's tests; the ids of those that failed. Raises StackError if they could not be run."""
    plugins, report = folder / "plugins", folder / "report.xml"
    plugins.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    # Under another name: the suite's own package is called `tests` as well.
    shutil.copy(ROOT / "tests/compat/instrumented.py", plugins / "shipper_instrumented.py")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *(["-p", "shipper_instrumented"] if with_us else []),
        "-o",
        f"cache_dir={folder / 'cache'}",
        "-o",
        "junit_family=xunit1",
        f"--junit-xml={report}",
        "-W",
        "ignore",
        "-p",
        "no:ddtrace",
        *tests,
    ]
    environment = {
        **os.environ,
        "SHIPPER_LOG": str(folder / RECORDS),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        # The source before everything else: this checkout, which an editable installation also puts on the path,
        # has a package called `tests` too, and the suite's workers would import that.
        "PYTHONPATH": f"{source}{os.pathsep}{plugins}",
    }
    status = _status(command, source, environment, report)
    if status not in (0, TESTS_FAILED, None):
        raise StackError(f"RQ's own tests could not be run: pytest's exit status is {status}.")
    failed = {
        f"{case.get('file')}::{_within(case)}{case.get('name')}"
        for case in ElementTree.parse(report).iter("testcase")  # noqa: S314 - pytest wrote it a moment ago
        if case.find("failure") is not None or case.find("error") is not None
    }
    if status is None and not failed:
        raise StackError("RQ's own tests passed, and pytest did not end.")
    return failed


def _status(command: list[str], folder: Path, environment: dict[str, str], report: Path) -> int | None:
    """Run pytest, end what its tests leave behind, and return its exit status, None if it did not end by itself.

    In a session of its own: an RQ worker that is told to stop a job before it knows its work-horse kills its whole
    process group. Once the report is there, all tests have been run: if pytest then waits for a worker that a test
    which failed has not ended, that is not waited for.
    """
    running = subprocess.Popen(ending_with_us(command), cwd=folder, env=environment, start_new_session=True)
    try:
        wait_until(lambda: running.poll() is not None or report.exists(), LIMIT_S, "RQ's own tests")
        return running.wait(EXIT_LIMIT_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _within(case: ElementTree.Element) -> str:
    """The class of a test, as it stands in its id."""
    module = str(case.get("file")).removesuffix(".py").replace("/", ".")
    inside = str(case.get("classname")).removeprefix(module).strip(".")
    return f"{inside.replace('.', '::')}::" if inside else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
