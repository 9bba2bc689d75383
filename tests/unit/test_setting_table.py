"""The table of settings: complete, and what is made from it is right."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from shipper import setting_table, settings
from tests import settings_tables

ROWS = [one for group in setting_table.groups() for one in group.settings]


def test_every_setting_is_declared_once() -> None:
    names = [name for one in ROWS for name in one.names]
    assert sorted(names) == sorted(settings.NAMES)


def test_each_name_has_an_example() -> None:
    assert [one.names for one in ROWS if len(one.examples) != len(one.names)] == []


def test_the_page_has_the_table() -> None:
    assert settings_tables.made() == settings_tables.written(), "run `python -m tests.settings_tables`"


def load(content: str, folder: Path) -> settings.Settings:
    file = folder / "shipper.toml"
    file.write_text(content, encoding="utf-8")
    return settings.load(environment={"SHIPPER_CONFIG": str(file), "XDG_STATE_HOME": "/var/state"})


def test_the_file_changes_nothing_as_it_is_written(tmp_path: Path) -> None:
    assert load(setting_table.settings_file({}), tmp_path) == load("", tmp_path)


def test_every_comment_in_it_is_a_setting_that_can_be_switched_on(tmp_path: Path) -> None:
    content = re.sub(r"(?m)^# (\w+ = )", r"\1", setting_table.settings_file({}))
    assert set(tomllib.loads(content)) == settings.NAMES
    load(content, tmp_path)


@pytest.mark.parametrize("value", ["shop", 'a "quoted" \\ one', "Größe\t1"])
def test_what_is_given_is_in_force(value: str, tmp_path: Path) -> None:
    made = load(setting_table.settings_file({"service": value, "log": "/var/log/shop/records.jsonl"}), tmp_path)
    assert (made.service, str(made.log)) == (value, "/var/log/shop/records.jsonl")


def test_secrets_are_said_to_belong_elsewhere() -> None:
    content = setting_table.settings_file({})
    about_the_key = content.partition("# api_key =")[0].rpartition("\n\n")[2]
    assert "secret" in about_the_key
    assert max(map(len, content.splitlines())) <= 120
