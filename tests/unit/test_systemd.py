"""The units in deploy/systemd, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shipper.ship import daemon
from tests.programs import LIMIT_S, ROOT

UNITS = sorted((ROOT / "deploy/systemd").glob("*.*"))
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that is here in the place of those that are not."""
    for file in UNITS:
        if not file.name.endswith(".conf"):
            text = re.sub(r"/opt/\S+/bin/\w+", "/bin/true", file.read_text())
            (tmp_path / file.name.replace("@.", "@payments-1.")).write_text(text)
    return tmp_path


@needs_systemd
def test_systemd_understands_every_line(units: Path) -> None:
    files = sorted(str(file) for file in units.iterdir())
    assert len(files) == 5
    done = run("systemd-analyze", "verify", "--man=no", *files)
    said = [line for line in (done.stdout + done.stderr).splitlines() if str(units) in line or "shipper" in line]
    assert said == []


@needs_systemd
@pytest.mark.parametrize("name", ["shipper.service", "shipper-watch.service", "shipper-prune.service"])
def test_our_services_are_shut_in(units: Path, name: str) -> None:
    """systemd's own measure of exposure: 0 is none, 10 is everything; below 4 it says OK."""
    done = run("systemd-analyze", "security", "--offline=yes", "--threshold=30", str(units / name))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shipper_has_time_to_end() -> None:
    (limit,) = re.findall(r"TimeoutStopSec=(\d+)", (ROOT / "deploy/systemd/shipper.service").read_text())
    assert int(limit) > daemon.DRAIN_S


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="systemd-tmpfiles is not installed")
def test_the_folders_and_accounts_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nshop:x:2000:2000::/srv/shop:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nshop:x:2000:\n")
    folder = ROOT / "deploy/systemd"
    done = run("systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(folder / "shipper.sysusers.conf"))
    assert done.returncode == 0, done.stderr
    assert "shipper" in done.stdout + done.stderr
