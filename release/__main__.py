"""`make release-check`: all that can be known of a release before it is published.

python -m release          every check; the files to publish are left in dist/
python -m release notes    the newest section of CHANGELOG.md, for the page of the release
"""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from .numbers import ROOT, Problem, changes, check_changelog, check_places

DIST = ROOT / "dist"
OURS = Path(sys.executable).parent
# What users install beside the package itself: every extra but those for development.
EXTRAS = "proxy,gzip,notify,django,otel,sign"
CLEAN = ROOT / ".run/release"
# The extra `release`, apart from what the tests run with: a package that is there changes what others do.
TOOLS = CLEAN / "tools/bin"
# Every command can be imported and says what it does; a secret is found.
COMMANDS = (("shipper", "--version"), ("shipper", "--help"), ("shipper", "redact", "--try", "password=hunter22"))


def main(arguments: list[str]) -> int:
    if arguments == ["notes"]:
        print(changes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[0].text)
        return 0
    failed = []
    for what, check in CHECKS.items():
        began = time.monotonic()
        print(f"{what} … ", end="", flush=True)
        try:
            said = check()
        except Problem as problem:
            failed.append(what)
            print(f"FAILED\n{problem}\n", flush=True)
        else:
            print(f"{said or 'good'} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"not ready: {', '.join(failed)}" if failed else f"ready: {', '.join(file.name for file in _built())}")
    return 1 if failed else 0


def tools() -> None:
    """What checks and builds, in an environment of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["optional-dependencies"]["release"]
    _run(OURS / "python", "-m", "venv", str(TOOLS.parent))
    _run(TOOLS / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)


def build() -> str:
    """An sdist, and a wheel made from it, in dist/."""
    DIST.mkdir(exist_ok=True)
    for old in DIST.iterdir():
        old.unlink()
    _run(TOOLS / "python", "-m", "build", "--outdir", str(DIST), str(ROOT))
    return str(_version())


def numbers() -> str:
    newest = check_changelog(_version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    check_places(newest.version)
    return f"{newest.version}, {newest.date or 'not dated yet'}"


def metadata() -> None:
    """As a package index would take it, with a README that it can show."""
    _run(TOOLS / "twine", "check", "--strict", *map(str, (_sdist(), _wheel())))


def contents() -> None:
    """Nothing is in the wheel that should not be."""
    _run(TOOLS / "check-wheel-contents", str(_wheel()))


def installed() -> str:
    """The wheel in a clean environment, outside of this checkout: commands run, and a secret is found."""
    python = _environment("newest", str(_wheel()))
    for program, *arguments in COMMANDS:
        _run(python.parent / program, *arguments, folder=CLEAN)
    said = _run(python, "-c", "import shipper; print(shipper.__file__)", folder=CLEAN)
    if str(CLEAN) not in said:
        raise Problem(f"The clean environment imports another shipper: {said}")
    return _run(python.parent / "shipper", "--version", folder=CLEAN).strip()


def materials() -> str:
    """The list of all packages in that environment (CycloneDX), as dist/*.cdx.json."""
    file = DIST / f"rq-shipper-{_version()}.cdx.json"
    _run(
        TOOLS / "cyclonedx-py", "environment", str(CLEAN / "newest"), "--pyproject", str(ROOT / "pyproject.toml"),
        "--output-reproducible", "--output-format", "JSON", "--output-file", str(file),
    )  # fmt: skip
    return file.name


def lower_bounds() -> str:
    """Every dependency and extra at its lower bound: they can be installed together, and commands run."""
    python = _environment("oldest", f"{_wheel()}[{EXTRAS}]", "--resolution", "lowest-direct")
    for program, *arguments in COMMANDS:
        _run(python.parent / program, *arguments, folder=CLEAN)
    _run(OURS / "python", "-m", "tests.compat.oldest", "--units")
    return "and the unit tests on them"


def documentation() -> None:
    """The docs site, with every warning an error; the reference pages are what the code says."""
    _run(OURS / "python", "-m", "reference", "--check")
    _run(Path("make"), "--no-print-directory", "docs")


CHECKS: dict[str, Callable[[], str | None]] = {
    "tools": tools,
    "sdist and wheel": build,
    "changelog and numbers": numbers,
    "metadata (twine)": metadata,
    "contents (check-wheel-contents)": contents,
    "clean installation": installed,
    "bill of materials (CycloneDX)": materials,
    "documentation": documentation,
    "lower bounds": lower_bounds,
}


def _environment(name: str, *wanted: str) -> Path:
    """A new virtual environment with that installed; its Python."""
    home = CLEAN / name
    _run(TOOLS / "uv", "venv", "--quiet", "--clear", str(home))
    python = home / "bin/python"
    _run(TOOLS / "uv", "pip", "install", "--quiet", "--python", str(python), *wanted)
    _run(TOOLS / "uv", "pip", "check", "--quiet", "--python", str(python))
    return python


def _run(program: Path, *arguments: str, folder: Path = ROOT) -> str:
    """What it printed. Raises Problem with that if it fails."""
    done = subprocess.run(
        [program, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Problem(f"{program.name} {' '.join(arguments)}:\n{done.stdout}")
    return done.stdout


def _built() -> list[Path]:
    return sorted(DIST.iterdir()) if DIST.exists() else []


def _one(pattern: str) -> Path:
    found = sorted(DIST.glob(pattern))
    if len(found) != 1:
        raise Problem(f"There should be one {pattern} in dist/, and there are {len(found)}: was it built?")
    return found[0]


def _sdist() -> Path:
    return _one("*.tar.gz")


def _wheel() -> Path:
    return _one("*.whl")


def _version() -> Version:
    return parse_wheel_filename(_wheel().name)[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
