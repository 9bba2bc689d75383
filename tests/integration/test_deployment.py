"""What docs/deployment.md promises, as far as it can be run here: containers' logs, logrotate, states made again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import redis
from elasticsearch import Elasticsearch
from rq import Queue

from shipper.sink import Sink
from tests import work
from tests.bulk_server import serving
from tests.integration.test_shipping import append, lines
from tests.programs import BIN, LIMIT_S, ROOT, Programs, count, wait_for
from tests.unit import test_kubernetes as kubernetes


def as_kept_by_the_engine(output: str) -> str:
    """The output of a container as the Container Runtime Interface writes it."""
    return "".join(f"2026-11-26T08:00:00.123456789Z stdout F {line}\n" for line in output.splitlines())


def test_the_shipper_of_a_node_reads_what_workers_print(
    programs: Programs, connection: redis.Redis, tmp_path: Path
) -> None:
    """With the variables of the DaemonSet, whose paths are those of a folder here."""
    queue = Queue("letters", connection=connection)
    queue.enqueue(work.add, 1, 2)
    printed = subprocess.run(  # into a pipe, as a container's output is
        [BIN / "rq", "worker", "--burst", "--url", programs.environment["SHIPPER_REDIS"], "letters"],
        cwd=ROOT,
        env={
            **os.environ,
            **programs.environment,
            "RQ_JOB_CLASS": "shipper.LoggedJob",
            "SHIPPER_LOG": "/dev/stdout",
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    ).stdout
    forged = next(line for line in printed.splitlines() if '"job-finished"' in line)
    for pod, container, output in (("worker-1", "worker", printed), ("other-1", "other", forged)):
        file = tmp_path / f"var/log/pods/shop_{pod}/{container}/0.log"
        file.parent.mkdir(parents=True)
        file.write_text(as_kept_by_the_engine(output))
        link = tmp_path / f"var/log/containers/{pod}_shop_{container}-0123456789ab.log"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(file)
    (shipper,) = kubernetes.containers(ROOT / "deploy/kubernetes/daemonset/daemonset.yaml")
    variables = {
        name: value.replace("/var/", f"{tmp_path}/var/") for name, value in kubernetes.environment(shipper).items()
    }
    with serving() as server:
        own = {"SHIPPER_ELASTICSEARCH": server.url, "SHIPPER_LINK_ROOTS": str(tmp_path / "var/log")}
        said = programs.run("shipper", "run", "--once", **{**variables, **own}).stderr
        assert " 0 dead letters" in said
        actions = sorted(json.loads(source)["event"]["action"] for source in server.jobs.values())
        assert actions == ["job-finished", "job-started"]
        texts = [json.loads(source) for (index, _), source in server.documents.items() if index.startswith("rq-app-")]
    assert any("Job OK" in one.get("message", "") for one in texts)
    assert [one["event"]["action"] for one in texts if "foreign" in one.get("tags", ())] == ["job-finished"]


def test_logrotate_loses_and_doubles_nothing(programs: Programs, tmp_path: Path) -> None:
    """A real logrotate with our file for it, between a writer and the shipper. The accounts are this test's own."""
    text = (ROOT / "deploy/logrotate/shop").read_text()
    text = text.replace("/var/log/shop/records.jsonl", str(programs.log)).replace("    su shop shop\n", "")
    text = text.replace("create 0660 shop shop", "create 0660")
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(text)
    configuration.chmod(0o644)
    writer, data = Sink(programs.log), iter(lines(2000).splitlines(keepends=True))
    wanted = 0

    def write_to_the_new_file() -> bool:
        """What is written within a second of the rotation goes to the renamed file."""
        nonlocal wanted
        wanted += writer.append(next(data))
        return programs.log.stat().st_size > 0

    with serving() as server:
        programs.start("shipper", "run", SHIPPER_ELASTICSEARCH=server.url, SHIPPER_ROTATE_MB="0")
        for _ in range(3):
            wanted += sum(writer.append(next(data)) for _ in range(200))
            # The name of a rotated file has the second, and a file of that name is not replaced.
            wait_for(lambda: _rotated(configuration, programs), "a rotation")
            wait_for(write_to_the_new_file, "the writer to notice")
        wait_for(lambda: len(server.jobs) == wanted, "all records")
    assert list(programs.log.parent.glob("records.jsonl-*.gz")), "nothing was compressed"
    assert not writer.dropped


def _rotated(configuration: Path, programs: Programs) -> bool:
    before = len(list(programs.log.parent.glob("records.jsonl-*")))
    program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "logrotate is not installed: make setup"
    command = [program, "--force", "--state", f"{configuration}.state", str(configuration)]
    subprocess.run(command, check=True, timeout=LIMIT_S, capture_output=True)
    return len(list(programs.log.parent.glob("records.jsonl-*"))) > before


def test_states_are_made_again_from_the_records(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    """The commands of docs/deployment.md, Rebuilding states."""
    for number, line in enumerate(lines(30).splitlines(keepends=True)):
        append(programs, line.replace(b"0a1b2c3d4e5f", b"%012d" % number))  # jobs of their own
    programs.run("shipper", "run", "--once")
    index = f"rq-state-{namespace}"
    search.indices.refresh(index=f"rq-*-{namespace}*")
    before = {hit["_id"]: hit for hit in search.search(index=index, size=100, version=True)["hits"]["hits"]}
    assert len(before) == 30
    search.indices.delete(index=index)
    page = (ROOT / "docs/deployment.md").read_text()
    (commands,) = re.findall(r"## Rebuilding states.*?```sh\n(.*?)```", page, re.DOTALL)
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", commands.replace("90d", "730d")],
        cwd=ROOT,
        env={**os.environ, **programs.environment, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 records indexed, 30 were there already, 0 dead letters" in done.stderr
    assert count(search, index) == 30
    after = {hit["_id"]: hit for hit in search.search(index=index, size=100, version=True)["hits"]["hits"]}
    assert {one: (hit["_version"], hit["_source"]) for one, hit in after.items()} == {
        one: (hit["_version"], hit["_source"]) for one, hit in before.items()
    }
