"""A compose project made of a copy of this checkout's files, unedited, and what is asked of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from stack.engine import Engine
from tests.programs import ROOT

LIMIT_S = 900.0  # for everything to be healthy where others use the machine, too
FILES = (
    "docker-compose.yml", "compose.production.yml", "Dockerfile", ".dockerignore", "pyproject.toml", "hatch_build.py",
    "README.md", "LICENSE", "CHANGELOG.md", "shipper", "compose", "demo", "logstash",
)  # fmt: skip


class Project:
    """A project in `folder`, with `variables` as its .env. `profiles` are those that all commands use."""

    def __init__(self, engine: Engine, folder: Path, variables: dict[str, str], *files: str) -> None:
        self.engine = engine
        self.folder = folder
        self.profiles = ["demo"]
        self._login = ""
        folder.mkdir(parents=True)
        for name in FILES:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.so")
                shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
            else:
                shutil.copy(ROOT / name, folder / name)
        self._flags = [word for file in files for word in ("-f", file)]
        self.write_env(variables)

    def write_env(self, variables: dict[str, str]) -> None:
        self.variables = variables
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose …`."""
        profiles = [word for profile in self.profiles for word in ("--profile", profile)]
        return self.engine.docker("compose", *self._flags, *profiles, *words, folder=self.folder, check=check)

    def up(self, *words: str) -> None:
        self.run("up", "--wait", "--wait-timeout", f"{LIMIT_S:.0f}", *words)

    def tell(self, *words: str, service: str = "watch") -> str:
        """What a command says in a running service."""
        return self.run("exec", "-T", service, *words).stdout

    def admin(self, *words: str) -> str:
        """What `python -m compose …` says."""
        return self.run("run", "--rm", "--no-deps", "-T", "setup", *words).stdout

    def rotate(self) -> str:
        """New credentials for all. Returns what was said."""
        self._login = ""
        return self.admin("rotate")

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        """`docker inspect` of all containers, or those of a service."""
        ids = self.run("ps", "--all", "--quiet", *([service] if service else [])).stdout.split()
        return json.loads(self.engine.docker("inspect", *ids).stdout) if ids else []

    def container(self, service: str) -> dict[str, Any]:
        (one,) = self.containers(service)
        return one

    def kill(self, service: str) -> None:
        """End it as the kernel would. For `docker kill` the engine does not start a container again."""
        os.kill(self.container(service)["State"]["Pid"], signal.SIGKILL)

    def healthy(self) -> bool:
        """Whether all that lives runs and is healthy."""
        for one in self.containers():
            if one["HostConfig"]["RestartPolicy"]["Name"] == "on-failure":
                continue
            state = one["State"]
            if state["Status"] != "running" or state.get("Health", {}).get("Status", "healthy") != "healthy":
                return False
        return True

    def wait_until_healthy(self) -> None:
        wait_for(self.healthy, "all services to be healthy", every_s=1.0, tell=lambda: self.run("ps", "-a").stdout)

    def python(self, code: str, service: str = "app") -> str:
        """What a program prints that runs with a service's settings."""
        return self.tell("python", "-c", code, service=service)

    def enqueue(
        self, function: str, *arguments: object, number: int = 1, service: str = "app", **options: object
    ) -> list[str]:
        """Push jobs as the application does. Returns their ids."""
        said = self.python(
            "import shipper, redis, rq; from shipper import settings; shipper.instrument()\n"
            f"queue = rq.Queue('payments', connection=redis.Redis.from_url(settings.load().redis))\n"
            f"for _ in range({number}): print(queue.enqueue({function!r}, *{arguments!r}, **{options!r}).id)",
            service,
        )
        return said.split()

    def written(self) -> list[dict[str, Any]]:
        """All records of the log and its rotated files."""
        lines = self.tell("sh", "-c", "cat /var/log/shipper/records.jsonl*").splitlines()
        return [json.loads(line) for line in lines]

    def search(self, user: str = "reader") -> Elasticsearch:
        """A client that logs in from outside as `login` tells, and checks the certificate."""
        if not self._login:
            self._login = self.admin("login")
        password = re.search(rf"user {user}, password (\w+)", self._login)
        assert password
        authority = self.folder / "ca.crt"
        if not authority.exists():
            authority.write_text(self.tell("cat", "/run/keys/ca.crt"))
        address = self.run("port", "elasticsearch", "9200").stdout.strip()
        return Elasticsearch(
            f"https://{address}", ca_certs=str(authority), basic_auth=(user, password[1]), request_timeout=60
        )

    def documents(self) -> Counter[str]:
        """Id → number of documents, in all indices of records that the log has."""
        with self.search() as client:
            from elasticsearch.helpers import scan

            indices = "rq-job-*,rq-audit-*,rq-app-*,rq-metric-*,rq-alert-*"
            hits = scan(client, index=indices, query={"_source": False}, size=2000)
            return Counter(hit["_id"] for hit in hits)

    def wait_until_all_is_indexed(self) -> int:
        """Wait until Elasticsearch has each id that the log has now, once, and none that is not in it. Their number.

        The watch goes on writing: what it adds in between is known of afterwards.
        """
        before = {record["event"]["id"] for record in self.written()}
        sizes = (0, 0)

        def is_indexed() -> bool:
            nonlocal sizes
            there = self.documents()
            sizes = (len(before), there.total())
            if there.total() != len(there) or not before <= set(there):
                return False
            return set(there) <= {record["event"]["id"] for record in self.written()}

        wait_for(is_indexed, "the log's ids in Elasticsearch", every_s=2.0, tell=lambda: f"(log, index): {sizes}")
        return len(before)

    def ending(self, job: str) -> dict[str, Any] | None:
        """The record of a job's end, in the log."""
        ends = [one for one in self.records(job) if ends_job(one)]
        return ends[-1] if ends else None

    def records(self, job: str) -> list[dict[str, Any]]:
        """A job's records, in the log."""
        return [one for one in self.written() if one.get("messaging", {}).get("message", {}).get("id") == job]


def ends_job(record: dict[str, Any]) -> bool:
    """Whether it is the closing record of a job's execution. Alarms and audit records end, too."""
    return record["event"]["dataset"] == "rq.job" and "end" in record["event"]


def wait_for(
    ready: Callable[[], object], what: str, *, every_s: float = 0.5, limit_s: float = LIMIT_S,
    tell: Callable[[], str] = str,
) -> None:  # fmt: skip
    """Wait for a condition, through failures of what is asked."""
    deadline, failure = time.monotonic() + limit_s, ""
    while True:
        try:
            if ready():
                return
        except Exception as error:
            failure = f" ({error})"
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit_s:.0f} s for {what}, in vain{failure}\n{tell()}")
        time.sleep(every_s)
