"""A suite or a demo that was ended by SIGKILL leaves no server behind, and the next one removes its folders."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stack import elasticsearch
from stack.processes import birth, wait_until
from tests.programs import LIMIT_S, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.elasticsearch]  # starts its own servers

SERVER_OF_ITS_OWN = """
import sys, time
from pathlib import Path
from stack.elasticsearch import Elasticsearch
from stack.redis import Redis

redis = Redis(Path(sys.argv[1]))
search = Elasticsearch()
print(redis.process.pid, search.process.pid, search.port, search.folder, flush=True)
time.sleep(3600)
"""


def test_nothing_is_left_of_what_was_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", SERVER_OF_ITS_OWN, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    redis, search, port, folder = owner.stdout.readline().split()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    wait_until(lambda: not birth(int(redis)) and not birth(int(search)), LIMIT_S, "its servers to end")

    def nobody_answers() -> bool:  # the server itself is a child of what was started
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(port))) != 0

    wait_until(nobody_answers, LIMIT_S, "Elasticsearch to end")
    assert Path(folder).exists()

    def swept() -> bool:  # the server may still write as it ends, and another test's server sweeps at the same time
        elasticsearch.sweep()
        return not Path(folder).exists()

    wait_until(swept, LIMIT_S, "the folder to be removed")
