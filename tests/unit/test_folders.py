"""What is created is no wider than it has to be, whatever the umask is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper import folders
from shipper.cli import timeline
from shipper.read.clock import Clock
from shipper.ship.source.checkpoints import Registry
from shipper.sink import Sink


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("no_umask")
def test_no_folder_is_wider_than_0750_and_no_page_wider_than_0600(tmp_path: Path) -> None:
    Sink(tmp_path / "a/b/records.jsonl").append(b"{}\n")
    Registry(tmp_path / "c/d/state").close()
    assert [mode(tmp_path / name) & ~0o750 for name in ("a", "a/b", "c", "c/d", "c/d/state")] == [0] * 5
    page = tmp_path / "page.html"
    page.write_text("old")
    page.chmod(0o666)
    timeline._write_page(page, iter(()), 1, "title", Clock())
    assert mode(page) == 0o600


@pytest.mark.usefixtures("no_umask")
def test_the_umask_is_read_without_setting_it() -> None:
    assert folders.umask() == 0
    os.umask(0o027)
    assert folders.umask() == 0o027
