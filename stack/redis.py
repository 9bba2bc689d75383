"""A Redis of our own: on a free loopback port, nothing kept on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from .processes import StackError, port_from, start, stop, tail_of, wait_until

START_LIMIT_S = 120.0


class Redis:
    """A running redis-server. `url` names it; `stop()` ends it."""

    def __init__(self, folder: Path, *, outlives: bool = False) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise StackError("redis-server is not installed. Run `make setup`, or install it by hand.")
        self.port = port_from("REDIS_PORT")
        self.log = folder / "redis.log"
        self.process: subprocess.Popen[bytes] = start(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            self.log,
            folder=folder,
            outlives=outlives,
        )
        wait_until(self._answers, START_LIMIT_S, f"Redis on port {self.port}")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise StackError(f"Redis ended as it started:\n{tail_of(self.log)}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        stop(self.process)
