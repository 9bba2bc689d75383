"""The table of patches against the RQ that is there."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from shipper.emit import instrument


def test_the_rq_that_is_here_has_all_that_the_table_wants() -> None:
    assert [problem for problem in instrument.problems() if problem.level >= logging.ERROR] == []


def test_each_patch_names_what_is_not_recorded_without_it() -> None:
    assert len({(patch.owners, patch.name) for patch in instrument.PATCHES}) == len(instrument.PATCHES)
    assert all(patch.records for patch in instrument.PATCHES)


def test_a_method_that_rq_no_longer_has_is_an_error_that_says_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    first = instrument.PATCHES[0]
    gone = dataclasses.replace(first, name="create_of_old", records="everything")
    elsewhere = dataclasses.replace(first, owners=("rq.nowhere:Job",))
    monkeypatch.setattr(instrument, "PATCHES", (gone, elsewhere, first))
    found = list(instrument.problems())
    assert [problem.level for problem in found] == [logging.ERROR] * 2
    assert "rq.job.Job.create_of_old" in found[0].text
    assert "Not recorded: everything" in found[0].text


def test_what_only_a_later_rq_has_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    later = dataclasses.replace(instrument.PATCHES[0], name="not_yet", since=(98, 0))
    monkeypatch.setattr(instrument, "PATCHES", (later,))
    assert list(instrument.problems()) == []


def test_an_rq_that_is_newer_than_those_tested_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instrument, "TESTED", (2, 0))
    found = list(instrument.problems())
    assert [problem.level for problem in found][:1] == [logging.WARNING]
    assert "newer than the releases" in found[0].text
