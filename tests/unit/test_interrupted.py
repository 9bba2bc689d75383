"""Ctrl-C during what takes long: what is said of what is done, and that the same command goes on."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from shipper.cli import audit, audit_verify, prune
from shipper.errors import ShipperError


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("SHIPPER_LOG", str(tmp_path / "records.jsonl"))
    monkeypatch.setenv("SHIPPER_STATE", str(tmp_path / "state"))


def _ctrl_c(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt


def test_verify_says_that_not_all_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipper.audit.verify.verify", _ctrl_c)
    done = CliRunner().invoke(audit_verify.command, [])
    assert done.exit_code == audit_verify.NOT_CHECKABLE
    assert "not all was checked" in done.output  # with stderr, which click 8.1 does not tell apart


def test_forget_says_that_the_same_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipper.audit.forget.forget", _ctrl_c)
    with pytest.raises(ShipperError, match="the same command goes on"):
        audit.command(["forget", "--user", "ann", "--yes"], standalone_mode=False)


def test_prune_says_that_elasticsearch_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipper.index.retention.prune", lambda *_, **__: [])
    monkeypatch.setattr("shipper.index.state_retention.begin", lambda *_: "task")
    monkeypatch.setattr("shipper.index.state_retention.wait", _ctrl_c)
    with pytest.raises(ShipperError, match="Elasticsearch goes on"):
        prune.command([], standalone_mode=False)
