"""An ExceptionInfo from a formatted traceback equals the one from the exception itself."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

import pytest
from rq.exceptions import AbandonedJobError
from rq.utils import import_attribute

from shipper.emit import raised


def plainly() -> None:
    raise ValueError("no such order")


def without_a_message() -> None:
    raise KeyError


def in_several_lines() -> None:
    raise ValueError("first\n  second\n\nthird")


def for_another() -> None:
    try:
        plainly()
    except ValueError as error:
        raise RuntimeError("gave up: here") from error


def of_its_own() -> None:
    class Declined(Exception):
        pass

    raise Declined("order 33")


def by_rq_s_import() -> None:
    import_attribute("tests.work.not_there")


@pytest.mark.parametrize("how", [plainly, without_a_message, in_several_lines, for_another, of_its_own, by_rq_s_import])
def test_a_traceback_s_text_tells_what_the_exception_tells(how: Callable[[], None]) -> None:
    try:
        how()
    except Exception:
        itself = raised.from_exc_info(sys.exc_info())
        text = traceback.format_exc()
    assert itself is not None
    found = raised.from_text(text)
    assert found is not None
    assert (found.type, found.message, found.where) == (itself.type, itself.message.rstrip(), itself.where)
    assert found.stack_trace == text


@pytest.mark.parametrize("text", ["", "Job was stuck.", "Traceback (most recent call last):", "ValueError: no"])
def test_what_is_no_traceback_tells_no_exception(text: str) -> None:
    assert raised.from_text(text) is None


def test_an_exception_that_nobody_raised_has_no_traceback() -> None:
    found = raised.from_exc_info((AbandonedJobError, AbandonedJobError(), None))
    assert found is not None
    assert (found.type, found.message, found.where) == ("rq.exceptions.AbandonedJobError", "", None)


def test_an_exception_class_without_an_exception_is_told_by_its_name() -> None:
    found = raised.from_exc_info((AbandonedJobError, None, None))
    assert found is not None
    assert found.type == "rq.exceptions.AbandonedJobError"
