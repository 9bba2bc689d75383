"""log_context: what is in force, and that it ends."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.sdk.trace import TracerProvider

from shipper import log_context
from shipper.context import current


def test_blocks_nest_and_the_old_values_come_back() -> None:
    with log_context(customer=42, region="eu"):
        with log_context(region="us", user="bob"):
            assert current() == {"customer": "42", "region": "us", "user": "bob"}
        assert current() == {"customer": "42", "region": "eu"}
    assert current() == {}


def test_none_takes_a_field_away() -> None:
    with log_context(user="bob", region="eu"), log_context(user=None):
        assert current() == {"region": "eu"}


def test_an_exception_ends_a_block_too() -> None:
    with pytest.raises(ValueError, match="no"), log_context(user="bob"):
        raise ValueError("no")
    assert current() == {}


def test_it_is_a_decorator() -> None:
    @log_context(customer="42")
    def work() -> object:
        return dict(current())

    assert work() == work() == {"customer": "42"}


def test_the_trace_is_the_one_that_opentelemetry_is_in() -> None:
    with TracerProvider(shutdown_on_exit=False).get_tracer("tests").start_as_current_span("request") as span:
        ids = span.get_span_context()
        assert current() == {"trace_id": f"{ids.trace_id:032x}", "span_id": f"{ids.span_id:016x}"}
        with log_context(trace_id="mine"):
            assert current() == {"trace_id": "mine"}
    assert current() == {}


def test_threads_do_not_see_each_other_s() -> None:
    seen: list[object] = []
    with log_context(user="bob"):
        thread = threading.Thread(target=lambda: seen.append(dict(current())))
        thread.start()
        thread.join()
    assert seen == [{}]
