"""The demo's programs: which there are, how each is started, and how all are ended again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stack.elasticsearch import Elasticsearch
from stack.processes import StackError, birth, start, stop_group
from stack.redis import Redis

from .load import QUEUES

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
WORKERS = 2


@dataclass(frozen=True)
class Addresses:
    """Where everything is."""

    redis: str
    elasticsearch: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The settings of every program of the demo."""
        return {
            "SHIPPER_LOG": str(self.folder / "records.jsonl"),
            "SHIPPER_STATE": str(self.folder / "state"),
            "SHIPPER_ELASTICSEARCH": self.elasticsearch,
            "SHIPPER_REDIS": self.redis,
            "SHIPPER_SERVICE": "shop",
            "SHIPPER_VERSION": "1.0.0",
            "SHIPPER_ENVIRONMENT": "demo",
            "SHIPPER_NAMESPACE": os.environ.get("SHIPPER_NAMESPACE", "default"),
        }


class Services:
    """Everything that the demo starts. Servers named by REDIS_URL and ELASTICSEARCH_URL are used, not started.

    All of it ends with this process, however that ends, unless it is `kept`.
    """

    def __init__(self, folder: Path, *, kept: bool = False) -> None:
        self.folder = folder
        self._kept = kept
        self._ledger = folder / "processes.json"
        self._refuse_a_second_one()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._started: dict[str, int] = {}
        self._own_folders: list[Path] = []
        self._shipper: subprocess.Popen[bytes] | None = None
        self.restarts = 0

    def start_servers(self) -> Addresses:
        """Redis and Elasticsearch."""
        redis_url, elasticsearch_url = os.environ.get("REDIS_URL"), os.environ.get("ELASTICSEARCH_URL")
        if not redis_url:
            redis = Redis(self.folder, outlives=self._kept)
            self._note("redis", redis.process.pid)
            redis_url = redis.url
        if not elasticsearch_url:
            elasticsearch = Elasticsearch(outlives=self._kept)
            self._own_folders.append(elasticsearch.folder)
            self._note("elasticsearch", elasticsearch.process.pid)
            elasticsearch_url = elasticsearch.url
        self.addresses = Addresses(redis_url, elasticsearch_url, self.folder)
        return self.addresses

    def start_workers(self) -> None:
        """The unmodified `rq` command, told to use our job class."""
        for number in range(1, WORKERS + 1):
            worker = start(
                [str(BIN / "rq"), "worker", *QUEUES, "--url", self.addresses.redis],
                self.folder / f"worker-{number}.log",
                environment={**self.addresses.environment, "RQ_JOB_CLASS": "shipper.LoggedJob"},
                folder=ROOT,
                outlives=self._kept,
            )
            self._note(f"worker {number}", worker.pid)

    def start_shipper(self) -> None:
        self._shipper = start(
            [str(BIN / "shipper"), "run"],
            self.folder / "shipper.log",
            environment=self.addresses.environment,
            folder=ROOT,
            outlives=self._kept,
        )
        self._note("shipper", self._shipper.pid)

    def start_watches(self, count: int, every: str) -> None:
        """Each with a state folder of its own, as on a host of its own: they share no lock."""
        for number in range(1, count + 1):
            own = {"SHIPPER_STATE": str(self.folder / f"watch-{number}"), "SHIPPER_WATCH_EVERY": every}
            watch = start(
                [str(BIN / "shipper"), "watch"],
                self.folder / f"watch-{number}.log",
                environment={**self.addresses.environment, **own},
                folder=ROOT,
                outlives=self._kept,
            )
            self._note(f"watch {number}", watch.pid)

    def keep_shipper_alive(self) -> None:
        """Start the shipper again if somebody ended it, as systemd or a container engine would."""
        if self._shipper is not None and self._shipper.poll() is not None:
            print(f"  the shipper ended ({self._shipper.returncode}); it is started again", flush=True)
            self.restarts += 1
            self.start_shipper()

    def stop_shipper(self) -> None:
        """Let it finish its batch and save its positions."""
        if self._shipper is not None:
            stop_group(self._shipper.pid)
            self._shipper = None

    def stop(self) -> None:
        """End all that was started, the last first."""
        self._shipper = None
        for pid in reversed(self._started.values()):
            stop_group(pid)
        for folder in self._own_folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._ledger.unlink(missing_ok=True)

    def _note(self, name: str, pid: int) -> None:
        """Remember what was started, for `make down`: with its birth, because process ids are used again."""
        self._started[name] = pid
        content = {
            "processes": {name: [pid, birth(pid)] for name, pid in self._started.items()},
            "folders": [str(folder) for folder in self._own_folders],
        }
        self._ledger.write_text(json.dumps(content))

    def _refuse_a_second_one(self) -> None:
        if running(self._ledger):
            raise StackError(f"A demo is up already ({self.folder}). End it with `make down`, then try again.")


def running(ledger: Path) -> dict[str, int]:
    """The processes of a ledger that are still the same and alive."""
    try:
        noted = json.loads(ledger.read_text())["processes"]
    except (OSError, ValueError, KeyError):
        return {}
    return {name: pid for name, (pid, born) in noted.items() if born is not None and birth(pid) == born}


def down(folder: Path) -> None:
    """End what an earlier demo left up."""
    ledger = folder / "processes.json"
    there = running(ledger)
    for name, pid in reversed(there.items()):
        print(f"ending {name} ({pid})", flush=True)
        stop_group(pid)
    if ledger.exists():
        for own in json.loads(ledger.read_text()).get("folders", []):
            shutil.rmtree(own, ignore_errors=True)
        ledger.unlink()
    if not there:
        print("nothing was up")
