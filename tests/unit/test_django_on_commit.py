"""A callback of `on_commit` is called within what was in force where it was given, and for the rest as ever."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.db import connection, transaction
from opentelemetry.sdk.trace import TracerProvider

import shipper
from shipper import context
from tests.unit.conftest import Shop

pytestmark = pytest.mark.usefixtures("shop")

OnCommit = Callable[..., Any]


@pytest.fixture(params=["transaction", "connection"])
def on_commit(request: pytest.FixtureRequest) -> OnCommit:
    """Both ways that Django has."""
    way: OnCommit = {"transaction": transaction, "connection": connection}[request.param].on_commit
    return way


def seen_by(give: Callable[[Callable[[], None]], object], block: Any) -> Mapping[str, str]:
    """The context in a callback that is given in the block, and called after it."""
    seen: list[Mapping[str, str]] = []
    with transaction.atomic():
        with block:
            give(lambda: seen.append(context.current()))
        assert seen == []
    return seen[0]


def test_the_context_of_the_call_is_the_callback_s(on_commit: OnCommit) -> None:
    assert seen_by(on_commit, shipper.log_context(customer="42")) == {"customer": "42"}


def test_the_actor_of_the_call_is_the_callback_s(on_commit: OnCommit) -> None:
    assert seen_by(on_commit, shipper.actor(id="ann")) == {"user": "ann"}


def test_the_trace_of_the_call_is_the_callback_s(on_commit: OnCommit) -> None:
    tracer = TracerProvider().get_tracer("tests")
    seen = seen_by(on_commit, tracer.start_as_current_span("placing"))
    assert set(seen) == {"trace_id", "span_id"}


def test_what_is_in_force_at_the_commit_is_not_the_callback_s(on_commit: OnCommit) -> None:
    seen: list[Mapping[str, str]] = []
    with shipper.log_context(shop="7"), transaction.atomic(), shipper.log_context(shop=None, customer="42"):
        on_commit(lambda: seen.append(context.current()))
    assert seen == [{"customer": "42"}]


def test_the_request_and_the_job_of_the_call_are_the_callback_s(on_commit: OnCommit) -> None:
    request, seen = context.Request(id="r-1"), []
    job = context.RunningJob("j-1", None, "letters", 1, None, "j-1")
    tokens = context.request.set(request), context.running.set(job)
    with transaction.atomic():
        on_commit(lambda: seen.append((context.request.get(), context.running.get())))
        context.running.reset(tokens[1])
        context.request.reset(tokens[0])
    assert seen == [(request, job)]


def test_outside_of_a_transaction_the_callback_is_called_at_once(on_commit: OnCommit) -> None:
    seen: list[Mapping[str, str]] = []
    with shipper.log_context(customer="42"):
        on_commit(lambda: seen.append(context.current()))
        assert seen == [{"customer": "42"}]


def test_a_callback_without_any_context_is_the_application_s_own(on_commit: OnCommit) -> None:
    def callback() -> None: ...

    with transaction.atomic():
        on_commit(callback)
        assert connection.run_on_commit[-1][1] is callback


def test_a_callback_may_change_other_context_variables(on_commit: OnCommit) -> None:
    from django.utils import translation

    with translation.override("en"):
        with transaction.atomic(), shipper.log_context(customer="42"), translation.override("de"):
            on_commit(lambda: translation.activate(f"{translation.get_language()}-gb"))
        assert translation.get_language() == "en-gb"  # found, and left, as it is at the commit


def test_a_callback_s_exception_is_raised(on_commit: OnCommit) -> None:
    def fail() -> None:
        raise LookupError("no")

    def give() -> None:
        with transaction.atomic(), shipper.log_context(customer="42"):
            on_commit(fail)

    with pytest.raises(LookupError, match="no"):
        give()
    assert context.current() == {}


def test_a_robust_callback_stays_robust(on_commit: OnCommit, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise LookupError("no")

    called: list[Any] = []
    with caplog.at_level(logging.ERROR), transaction.atomic(), shipper.log_context(customer="42"):
        on_commit(fail, robust=True)
        on_commit(functools.partial(called.append, 1), robust=True)
    assert called == [1]
    assert "fail in on_commit()" in caplog.text  # the callback's own name


def test_what_cannot_be_called_is_refused_by_django(on_commit: OnCommit) -> None:
    with shipper.log_context(customer="42"), pytest.raises(TypeError, match="must be a callable"):
        on_commit("nothing")


def test_a_rolled_back_callback_is_not_called(on_commit: OnCommit) -> None:
    called: list[int] = []

    def fail() -> None:
        with transaction.atomic(), shipper.log_context(customer="42"):
            on_commit(lambda: called.append(1))
            raise LookupError

    with transaction.atomic(), pytest.raises(LookupError):
        fail()
    assert called == []


def test_setting_up_twice_wraps_once(shop: Shop) -> None:
    from django.apps import apps
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet
    from django.db.models.deletion import Collector

    def wrapped() -> list[Any]:
        return [BaseDatabaseWrapper.on_commit, QuerySet.update, QuerySet.bulk_create, Collector.delete]

    before = wrapped()
    apps.get_app_config("rq_shipper").ready()
    assert wrapped() == before


def test_a_template_still_cannot_call_what_changes_data(shop: Shop) -> None:
    from django.db.models import QuerySet

    assert QuerySet.update.alters_data
