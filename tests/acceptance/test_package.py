"""The package as people get it: from the sdist to a wheel to a clean environment, far from this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from elasticsearch import Elasticsearch

from shipper.ship.reader.framer import CHECKED_IN
from stack.elasticsearch import client_requirement
from tests.programs import LIMIT_S, ROOT, count

pytestmark = pytest.mark.slow

# Files of the package that are no code, and are read when it is used.
DATA = [
    str(file.relative_to(ROOT))
    for file in (ROOT / "shipper").rglob("*")
    if file.is_file() and file.suffix not in (".py", ".pyc", ".so", ".c", ".pyi")
]
OLD = "2026-11-20 10:00:00 default: jobs.f() (a)\n2026-11-20 10:00:01 default: Job OK (a)\n"
QUICK = {"PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # what is never imported is not compiled
JOBS = "def greet(name):\n    return f'hello {name}'\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the sdist, as package indices and distributions do."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, env={**os.environ, **QUICK})
    return next(folder.glob("*.whl"))


def test_the_wheel_has_all_that_the_checkout_has(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel).namelist()
    assert len(DATA) > 15
    assert set(DATA) <= set(inside)
    assert {str(file.relative_to(ROOT)) for file in (ROOT / "shipper").rglob("*.py")} <= set(inside)


def test_the_sdist_has_no_links_and_its_readme_leads_to_what_is_not_in_it(wheel: Path) -> None:
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as sdist:
        assert not [member.name for member in sdist if member.issym() or member.islnk()]
    (metadata,) = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA")]
    readme = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "](docs/" not in readme
    assert "](https://raw.githubusercontent.com/rq-shipper/rq-shipper/main/docs/pictures/flow.svg)" in readme
    assert "](https://github.com/rq-shipper/rq-shipper/blob/main/docs/endings.md)" in readme
    assert "Project-URL: Repository," in readme


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel and nothing of this checkout."""
    home = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(home / "bin/python"),
        "install",
        "-q",
        str(wheel),
        client_requirement(),
    ]
    subprocess.run(pip, check=True, env={**os.environ, **QUICK})
    return home / "bin"


@pytest.fixture
def run(installed: Path, environment: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Run a program of that environment in an empty folder; what it printed."""
    (tmp_path / "jobs_of_mine.py").write_text(JOBS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command: str) -> str:
        done = subprocess.run(
            [installed / command[0], *command[1:]],
            cwd=tmp_path,
            env={**kept, **environment},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_all_of_it_works_far_from_the_checkout(
    run: Callable[..., str], connection: redis.Redis, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    url = connection.connection_pool.connection_kwargs
    assert str(ROOT) not in run("python", "-c", "import shipper; print(shipper.__file__)")
    assert f"lines are checked in {CHECKED_IN}" in run("shipper", "--version")  # as here: a compiler is there, or not
    assert "ingest pipeline rq-legacy" in run("shipper", "setup")
    run(
        "python",
        "-c",
        f"""
import redis, rq, shipper
shipper.instrument()
queue = rq.Queue("letters", connection=redis.Redis(port={url["port"]}))
with shipper.log_context(user="ann"):
    queue.enqueue("jobs_of_mine.greet", "you")
""",
    )
    run("shipper", "worker", "letters", "--burst")
    assert "3 records indexed" in run("shipper", "run", "--once")
    (tmp_path / "old.log").write_text(OLD)
    assert "2 records indexed" in run("shipper", "import", "old.log", "--format", "legacy")
    assert count(search, f"rq-job-{namespace}-*") == 5
    entries = [json.loads(line) for line in run("shipper", "timeline", "--user", "ann", "--json").splitlines()]
    assert [record["event"]["action"] for record in entries] == ["job-enqueued", "job-started", "job-finished"]
    run("shipper", "timeline", "--user", "ann", "--html", "day.html")
    assert "jobs_of_mine.greet" in (tmp_path / "day.html").read_text()
