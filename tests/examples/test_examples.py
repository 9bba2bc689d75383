"""Every block of shell and Python in README and docs that names nobody else who runs it, as it stands.

They run in order, in one folder, beside a small shop in which something of each kind has happened. `_same` says what
stands for what: addresses, paths and ids of the examples are not those of this machine. All of Python's blocks run in
one process, each with names of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.conftest import indices_of_their_own
from tests.examples import blocks as documented
from tests.examples.blocks import Block
from tests.examples.shell import Shell
from tests.programs import BIN, LIMIT_S, patient

pytestmark = pytest.mark.slow

OLD_LOG = "2026-11-20 10:00:00 default: jobs.f() (a)\n2026-11-20 10:00:01 default: Job OK (a)\n"
OLD_LINE = b'{"@timestamp":"2026-11-20T10:00:00Z","message":"old"}\n'
TRACE = "0af7651916cd43dd8448eb211c80319c"
SHELL = [block for block in documented.of("sh") if block.is_left_to_us]
PYTHON = [block for block in documented.of("python") if block.is_left_to_us]

JOBS = """
def charge_card(order): ...
def fail(order): raise TimeoutError(f"order {order} timed out")
def decline(order): raise ValueError(f"order {order} declined")
def rebuild(user_id): ...
"""
# What has happened in the shop before the examples. It prints the ids of two dead jobs.
DAY = f"""
import os, redis, rq, shipper
from shop import jobs
shipper.instrument()
connection = redis.Redis.from_url(os.environ["SHIPPER_REDIS"])
with shipper.actor(id="ann"), shipper.log_context(user="ann", customer="42", plan="gold", trace_id="{TRACE}"):
    shipper.audit.record("address-changed", "customer:42", changes={{"city": ("Ulm", "Bonn")}})
    rq.Queue("payments", connection=connection).enqueue(jobs.charge_card, 42)
    dead = [rq.Queue("payments", connection=connection).enqueue(fails, 7) for fails in (jobs.fail, jobs.decline)]
    rq.Queue("old", connection=connection).enqueue(jobs.charge_card, 43)
    rq.Queue("low", connection=connection).enqueue(jobs.charge_card, 44)
rq.SimpleWorker(["payments"], connection=connection).work(burst=True, logging_level="ERROR")
print(*(job.id for job in dead))
"""
# A holder of a critical section whose host is gone.
GONE = 'import os, shipper; shipper.critical_section("financial:7", ttl=300).__enter__(); os._exit(0)'
BLOCKS = """
import asyncio, json, os, subprocess, sys, traceback
from types import SimpleNamespace
import redis, rq, shipper, shipper.queues, shipper.operate
from shop.jobs import charge_card, rebuild

said = {}
for place, text in json.load(sys.stdin).items():
    names = {
        **globals(),
        "__name__": "shop.jobs",  # RQ refuses functions of __main__
        "queue": rq.Queue("low", connection=redis.Redis.from_url(os.environ["SHIPPER_REDIS"])),
        "order": 33,
        "user_id": 7,
        "job_id": os.environ["DEAD_JOB"],
        "messages": SimpleNamespace(warning=lambda *_: None),
        "request": None,
        "account": SimpleNamespace(save=lambda fence: None),
        "pager": SimpleNamespace(send=lambda *_, **__: None),
    }
    if "release_section" in text:
        subprocess.run([sys.executable, "-c", os.environ["GONE"]], check=True)
    try:
        exec(compile(text, place, "exec"), names)
        said[place] = ""
    except BaseException:
        said[place] = traceback.format_exc()
json.dump(said, open("said.json", "w"))
"""


@dataclass(frozen=True)
class Shop:
    shell: Shell
    same: tuple[tuple[str, str], ...]

    def here(self, text: str) -> str:
        """An example's text with the addresses, paths and ids of this machine."""
        for pattern, replacement in self.same:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        return text


@pytest.fixture(scope="module")
def shop(redis_url: str, elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("documented")
    _fill(folder)
    with patient(elasticsearch_url) as search, indices_of_their_own(search) as namespace:
        environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "COLUMNS": "160",
            "RQ_REDIS_URL": redis_url,
            "SHIPPER_LOG": str(folder / "log/records.jsonl"),
            "SHIPPER_STATE": str(folder / "state"),
            "SHIPPER_ELASTICSEARCH": elasticsearch_url,
            "SHIPPER_REDIS": redis_url,
            "SHIPPER_NAMESPACE": namespace,
            "SHIPPER_LISTEN": "off",
        }
        with redis.Redis.from_url(redis_url) as connection:
            connection.flushdb()
        job, other = _python(folder, environment, DAY).splitlines()[-1].split()
        shell = Shell(folder, {**environment, "DEAD_JOB": other, "GONE": GONE})
        shell.block("shipper run --once", "the shop's day")
        search.indices.refresh(index=f"rq-*-{namespace}*")
        yield Shop(shell, _same(folder, elasticsearch_url, redis_url, job))


def _fill(folder: Path) -> None:
    """Files that the examples read."""
    for name in ("log", "rq", "etc", "elsewhere", "shop"):
        (folder / name).mkdir()
    (folder / "shop/jobs.py").write_text(JOBS)
    (folder / "rq/worker.log").write_text(OLD_LOG)
    (folder / "worker.log").write_text("connected to postgres://app:hunter2@db/shop\n")
    (folder / "records.jsonl.7.gz").write_bytes(gzip.compress(OLD_LINE))
    (folder / "events.jsonl").write_text(json.dumps({"action": "backup-made", "resource": "database:shop"}) + "\n")


def _same(folder: Path, elasticsearch_url: str, redis_url: str, job: str) -> tuple[tuple[str, str], ...]:
    return (
        (r"https://search\.example:9200|http://127\.0\.0\.1:9200", elasticsearch_url),
        (r"redis://127\.0\.0\.1:6379/0", redis_url),
        (r"SHIPPER_API_KEY=…", "SHIPPER_API_KEY=a2V5"),  # which a server without security ignores
        (r"/var/log/shop", f"{folder}/log"),
        (r"/var/log/rq", f"{folder}/rq"),
        (r"/etc/shipper", f"{folder}/etc"),
        (r"/mnt/elsewhere", f"{folder}/elsewhere"),
        (r"3f2b8c1e(-…)?", job),
        (r"0af7…", TRACE),
        (r"^(.*rq worker [^#\n]*)", r"\1 --burst"),
        (r"^((?:[A-Z_]+=\S+ )*shipper run\b(?!.*--once)[^#\n]*)", r"\1 --once"),
    )


def _python(folder: Path, environment: dict[str, str], text: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=folder,
        env={**os.environ, **environment},
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_a_block_of_shell(shop: Shop, block: Block) -> None:
    if "locks --release" in block.text:
        _python(shop.shell.folder, shop.shell.environment, GONE)
    if "audit verify" in block.text:
        shop.shell.block("shipper run --once", "what was written until now")
    shop.shell.block(shop.here(block.text), block.place)


@pytest.fixture(scope="module")
def of_python(shop: Shop) -> dict[str, str]:
    """Block → what it raised, empty if nothing."""
    texts = {block.place: shop.here(block.text) for block in PYTHON}
    _python(shop.shell.folder, shop.shell.environment, BLOCKS, json.dumps(texts))
    said: dict[str, str] = json.loads((shop.shell.folder / "said.json").read_text())
    return said


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_a_block_of_python(of_python: dict[str, str], block: Block) -> None:
    assert of_python[block.place] == ""
