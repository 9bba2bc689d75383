"""Every ending again, what else wraps RQ's own ways, and what else dependencies do, on the oldest releases of them all.

    python -m tests.compat.oldest [--units | pytest's arguments]

The lower bounds of pyproject.toml are installed into a virtual environment of their own, which has everything else
from the one that runs this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib

from packaging.requirements import Requirement
from packaging.version import Version

from stack.processes import ending_with_us
from tests.programs import ROOT

HOME = ROOT / ".venv-oldest"
# `--units`: all unit tests but those of what only developers have.
UNITS = (
    "tests/unit",
    "--ignore=tests/unit/test_compose_credentials.py",
    "--ignore=tests/unit/test_imports.py",
    "--ignore=tests/unit/test_reference.py",
    "--numprocesses=2",
)
# redis 5.0 leaves sockets to the garbage collector, which may find them before their connections.
LEFT_OPEN = ("-W", "ignore:unclosed <socket:ResourceWarning")
FOR_DEVELOPMENT = ("dev", "docs", "release")
SUITES = (
    "tests/unit/test_command_line.py",
    "tests/unit/test_gauges.py",
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
    wanted = least()
    print(f"The oldest that we work with: {', '.join(wanted)}", flush=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", *wanted], check=True)
    chosen = UNITS if arguments == ["--units"] else arguments or SUITES
    return subprocess.run(
        ending_with_us([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *LEFT_OPEN, *chosen]),
        cwd=ROOT,
        env=dict(os.environ),
        check=False,
    ).returncode


def least() -> list[str]:
    """Requirements of exactly the lower bounds: of the dependencies, and of the extras that users install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        one for name, ones in project["optional-dependencies"].items() if name not in FOR_DEVELOPMENT for one in ones
    ]
    bounds: dict[str, Version] = {}
    for one in map(Requirement, [*project["dependencies"], *extras]):
        if one.marker is None or one.marker.evaluate():  # a newer Python may need a newer release
            (bound,) = (Version(part.version) for part in one.specifier if part.operator == ">=")
            bounds[one.name] = max(bound, bounds.get(one.name, bound))
    return [f"{name}=={bound}" for name, bound in bounds.items()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
