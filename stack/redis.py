"""A Redis of our own: on a free loopback port, nothing kept on disk. Single, with a Sentinel, or as a cluster."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from .processes import StackError, free_port, port_from, start, stop, tail_of, wait_until

START_LIMIT_S = 120.0
SLOTS = 16_384  # in a cluster
_BUS_OFFSET = 10_000  # a cluster node's bus port is its port + 10,000
# Until a node that says nothing counts as down: on a busy machine one may say nothing for long.
_MISSED_AFTER_MS = 300_000


class _Server:
    """A running redis-server process. `stop()` ends it."""

    def __init__(self, folder: Path, port: int, arguments: list[str], *, outlives: bool = False) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise StackError("redis-server is not installed. Run `make setup`, or install it by hand.")
        self.port = port
        self.log = folder / "redis.log"
        self.process: subprocess.Popen[bytes] = start([program, *arguments], self.log, folder=folder, outlives=outlives)
        wait_until(self._answers, START_LIMIT_S, f"Redis on port {self.port}")

    def ask(self, *words: str) -> bytes:
        """The raw answer to a command. A long answer is cut off."""
        command = b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_LIMIT_S) as connection:
            connection.sendall(b"*%d\r\n%b" % (len(words), command))
            return connection.recv(4096)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise StackError(f"Redis ended as it started:\n{tail_of(self.log)}")
        try:
            return self.ask("PING").startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        stop(self.process)


class Redis(_Server):
    """A running redis-server. `url` names it."""

    def __init__(self, folder: Path, *flags: str, port: int | None = None, outlives: bool = False) -> None:
        port = port or port_from("REDIS_PORT")
        flags_of_all = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        super().__init__(folder, port, [*flags_of_all, *flags], outlives=outlives)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class Sentinel(_Server):
    """A Sentinel that monitors one Redis, named `mymaster`."""

    def __init__(self, folder: Path, master: Redis) -> None:
        port = free_port()
        settings = folder / "sentinel.conf"  # Sentinel rewrites this file
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds mymaster {_MISSED_AFTER_MS}\n"
        )
        super().__init__(folder, port, [str(settings), "--sentinel"])


class Cluster:
    """A Redis Cluster of three nodes, each with a third of the slots."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Redis] = []
        for number in range(3):
            home = folder / f"node-{number}"
            home.mkdir()
            flags = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(_MISSED_AFTER_MS))
            self.nodes.append(Redis(home, *flags, port=free_port(_BUS_OFFSET)))
        share = -(-SLOTS // len(self.nodes))
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "ADDSLOTS", *map(str, range(SLOTS)[number * share : (number + 1) * share]))
        for node in others:
            node.ask("CLUSTER", "MEET", "127.0.0.1", str(first.port))
        wait_until(self._is_whole, START_LIMIT_S, "the nodes of a Redis Cluster to know one another")

    def _is_whole(self) -> bool:
        whole = (b"cluster_state:ok", b"cluster_known_nodes:%d\r" % len(self.nodes))
        return all(word in node.ask("CLUSTER", "INFO") for node in self.nodes for word in whole)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
