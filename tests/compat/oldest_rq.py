"""Every ending again, and what else wraps RQ's own ways, on the oldest releases that we promise to work with.

    python -m tests.compat.oldest_rq [pytest's arguments]

They are installed into a virtual environment of their own, which has everything else from the one that runs this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib

from stack.processes import ending_with_us
from tests.programs import ROOT

# RQ 2.6's SpawnWorker does not work with a newer redis-py; that is RQ's own matter.
TOGETHER_WITH = {"redis": "redis<6"}
PROMISED = ("rq", "redis", "python-json-logger")
HOME = ROOT / ".venv-oldest"
SUITES = (
    "tests/integration/test_endings.py",
    "tests/integration/test_unique.py",
    "tests/integration/test_sections.py::test_a_busy_job_goes_back_to_its_queue_and_keeps_its_retries",
    "tests/integration/test_sections.py::test_a_killed_work_horse_s_section_is_released_by_its_parent",
    "tests/integration/test_operate.py::test_cancelling_discarding_and_stopping",
)


def main(arguments: list[str]) -> int:
    python = HOME / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", HOME], check=True)
    folder = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with open(f"{folder}/the-rest.pth", "w", encoding="utf-8") as rest:
        rest.write(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")  # found after what is in the environment itself
    shipper = HOME / "bin/shipper"
    shipper.write_text(f"#!{python}\nimport sys\nfrom shipper.cli import main\nsys.exit(main())\n", encoding="utf-8")
    shipper.chmod(0o755)
    wanted = [TOGETHER_WITH.get(name, f"{name}=={least}") for name, least in _least().items()]
    print(f"The oldest that we work with: {', '.join(wanted)}", flush=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", *wanted], check=True)
    return subprocess.run(
        ending_with_us([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *(arguments or SUITES)]),
        cwd=ROOT,
        env=dict(os.environ),
        check=False,
    ).returncode


def _least() -> dict[str, str]:
    """The lower bounds of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = (text.partition(">=") for text in project["dependencies"])
    return {name: bound.split(",")[0] for name, _, bound in bounds if name in PROMISED}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
