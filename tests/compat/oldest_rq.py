"""Every ending again, on the oldest releases that we promise to work with.

    python -m tests.compat.oldest_rq [pytest's arguments]

They are installed into a virtual environment of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

from stack.elasticsearch import client_requirement
from tests.programs import ROOT

# RQ 2.6's SpawnWorker does not work with a newer redis-py; that is RQ's own matter.
TOGETHER_WITH = {"redis": "redis<6"}
PROMISED = ("rq", "redis", "python-json-logger")
HOME = ROOT / ".venv-oldest"
SUITES = ("tests/integration/test_endings.py",)


def main(arguments: list[str]) -> int:
    python = HOME / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
    wanted = [TOGETHER_WITH.get(name, f"{name}=={least}") for name, least in _least().items()]
    print(f"The oldest that we work with: {', '.join(wanted)}", flush=True)
    tools = [
        client_requirement(),
        "pytest>=8.3",
        "hypothesis>=6.100",
        "pyyaml>=6.0",
        "psutil>=5.9",
        "opentelemetry-sdk>=1.25",
    ]
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", str(ROOT), *wanted, *tools]
    subprocess.run(install, check=True)
    return subprocess.run(
        [python, "-m", "pytest", "-q", *(arguments or SUITES)], cwd=ROOT, env=dict(os.environ), check=False
    ).returncode


def _least() -> dict[str, str]:
    """The lower bounds of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = (text.partition(">=") for text in project["dependencies"])
    return {name: bound.split(",")[0] for name, _, bound in bounds if name in PROMISED}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
