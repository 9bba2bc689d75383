"""`shipper init`: a settings file that explains itself, and that overwrites none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shipper import settings
from shipper.cli.init import command
from shipper.errors import SettingsError, ShipperError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def init(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_what_it_writes_is_in_force_in_its_folder() -> None:
    init("--service", "shop", "--elasticsearch", "https://one.example:9200,https://two.example:9200")
    made = settings.load(environment={})
    assert made.service == "shop"
    assert made.elasticsearch == ("https://one.example:9200", "https://two.example:9200")


def test_another_name_has_to_be_told_to_the_programs() -> None:
    said = init("shop.toml").output
    assert f"export SHIPPER_CONFIG={Path('shop.toml').absolute()}" in said


def test_the_file_is_not_for_everybody() -> None:
    init()
    assert stat.S_IMODE(Path("shipper.toml").stat().st_mode) & 0o027 == 0


def test_a_file_that_is_there_stays_as_it_is() -> None:
    Path("shipper.toml").write_text('service = "shop"\n')
    result = init("--service", "crm")
    assert isinstance(result.exception, ShipperError)
    assert "is not overwritten" in str(result.exception)
    assert Path("shipper.toml").read_text() == 'service = "shop"\n'


def test_nothing_is_written_for_a_value_that_cannot_be() -> None:
    assert isinstance(init("--namespace", "A B").exception, SettingsError)
    assert not Path("shipper.toml").exists()


def test_a_folder_that_is_not_there_is_said() -> None:
    assert "cannot be written" in str(init("nowhere/shipper.toml").exception)
