"""Django's middleware: the request and its user on the records that are written while it is handled; sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import django
import pytest
from asgiref.sync import sync_to_async

import shipper
from shipper import context
from tests.unit.conftest import Shop

TRACE = "0af7651916cd43dd8448eb211c80319c"
Ask = Callable[..., Any]

both = pytest.mark.parametrize("way", ["sync", "async"])


@pytest.fixture
def user(shop: Shop) -> Any:
    from django.contrib.auth.models import User

    user = User.objects.create(username="ann")
    shop.forget()
    return user


@pytest.fixture
def sync_ask(shop: Shop) -> Ask:
    """Puts a request to the application, as `user` if there is one, by WSGI's handler."""
    from django.test import Client

    def ask(path: str, user: Any = None, **headers: str) -> Any:
        client = Client()
        if user is not None:
            client.force_login(user)
        answer = client.get(path, headers=headers)
        if answer.streaming:
            b"".join(answer.streaming_content)
        answer.close()
        return answer

    return ask


@pytest.fixture
def async_ask(shop: Shop) -> Ask:
    """The same by ASGI's."""
    from django.test import AsyncClient

    async def put(path: str, user: Any, headers: dict[str, str]) -> Any:
        client = AsyncClient()
        if user is not None:
            await sync_to_async(client.force_login)(user)
        answer = await client.get(path, headers=headers)
        if answer.streaming:
            [part async for part in answer.streaming_content]
        return answer

    return lambda path, user=None, **headers: asyncio.run(put(path, user, headers))


@pytest.fixture
def ask(way: str, request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.getfixturevalue(f"{way}_ask")
    return found


def suffix(way: str) -> str:
    return "-async" if way == "async" else ""


@both
def test_who_has_signed_in_is_the_actor(ask: Ask, way: str, shop: Shop, user: Any) -> None:
    ask(f"/record{suffix(way)}", user)
    (record,) = shop.records()
    assert record["audit"]["actor"] == {"type": "user"}
    assert record["user"] == {"id": str(user.pk), "name": "ann"}


@pytest.mark.parametrize(
    ("way", "path"),
    [
        ("sync", "/record-async"),
        ("async", "/record"),
        pytest.param(
            "async", "/record-known", marks=pytest.mark.skipif(django.VERSION < (5,), reason="it has no auser")
        ),
    ],
)
def test_a_view_of_the_other_kind_knows_the_actor_too(ask: Ask, path: str, shop: Shop, user: Any) -> None:
    ask(path, user)
    assert shop.records()[0]["user"]["name"] == "ann"


@both
def test_nobody_is_the_actor_where_nobody_has_signed_in(ask: Ask, way: str, shop: Shop) -> None:
    ask(f"/record{suffix(way)}")
    (record,) = shop.records()
    assert (record["audit"]["actor"], record["tags"]) == ({"type": "system"}, ["no-actor"])


@both
def test_the_request_is_on_the_record(ask: Ask, way: str, shop: Shop) -> None:
    ask(
        f"/record{suffix(way)}",
        **{
            "user-agent": "curl/8",
            "x-request-id": "r-1",
            "x-forwarded-for": "203.0.113.66, 198.51.100.9",
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        },
    )
    (record,) = shop.records()
    assert record["http"]["request"]["id"] == "r-1"
    assert record["url"]["path"] == f"/record{suffix(way)}"
    assert record["source"]["ip"] == "198.51.100.9"
    assert record["user_agent"]["original"] == "curl/8"
    assert record["trace"]["id"] == TRACE


@both
def test_a_request_that_records_nothing_does_not_touch_the_session(ask: Ask, way: str, user: Any) -> None:
    answer = ask(f"/nothing{suffix(way)}", user)
    assert "Vary" not in answer.headers  # Django adds it where the session was looked at
    assert "Vary" in ask(f"/record{suffix(way)}", user).headers


@both
def test_an_answer_made_bit_by_bit_is_still_the_request_s(ask: Ask, way: str, shop: Shop, user: Any) -> None:
    ask(f"/stream{suffix(way)}", user, **{"x-request-id": "r-9"})
    (record,) = shop.records()
    assert (record["user"]["name"], record["http"]["request"]["id"]) == ("ann", "r-9")


def test_a_file_is_left_to_the_server(shop: Shop) -> None:
    from django.test import RequestFactory

    from shipper.django import Middleware
    from tests.django_shop import urls

    answer = Middleware(urls.file)(RequestFactory().get("/file"))
    assert answer.file_to_stream is not None
    answer.close()


@both
def test_a_request_is_gone_when_it_has_been_answered(ask: Ask, way: str, user: Any) -> None:
    ask(f"/record{suffix(way)}", user)
    assert (context.request.get(), context.current_actor()) == (None, None)


def test_whoever_signs_in_is_the_actor_from_then_on(sync_ask: Ask, shop: Shop, user: Any) -> None:
    from django.contrib.auth.models import User

    other = User.objects.create(username="bob")
    shop.forget()
    sync_ask("/sign-in?name=ann", other)
    tried, signed_in = shop.records()
    assert (tried["user"]["name"], signed_in["user"]["name"]) == ("bob", "ann")


def test_whoever_signs_out_is_the_actor_of_the_rest(sync_ask: Ask, shop: Shop, user: Any) -> None:
    sync_ask("/sign-out", user)
    assert shop.records()[0]["user"]["name"] == "ann"


def test_a_user_that_cannot_be_looked_up_costs_the_actor_and_nothing_else(
    sync_ask: Ask, shop: Shop, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shipper.django import middleware

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(middleware._UserOfRequest, "_user", broken)
    assert sync_ask("/record", user).status_code == 200
    assert shop.records()[0]["tags"] == ["no-actor"]
    monkeypatch.setattr(middleware, "request_of", broken)
    assert sync_ask("/record", user).status_code == 200
    assert "http" not in shop.records()[1]


def test_looking_the_user_up_may_be_recorded_itself(
    sync_ask: Ask, shop: Shop, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.auth.backends import ModelBackend
    from django.contrib.auth.models import User

    def get_user(self: Any, key: Any) -> Any:
        found = User.objects.get(pk=key)
        shipper.audit.record("looked-up")
        return found

    monkeypatch.setattr(ModelBackend, "get_user", get_user)
    sync_ask("/record", user)
    looked_up, looked = shop.records()
    assert looked_up["tags"] == ["no-actor"]
    assert looked["user"]["name"] == "ann"


def test_a_subclass_may_say_otherwise_who_acts(shop: Shop, user: Any) -> None:
    from django.http import HttpResponse
    from django.test import RequestFactory

    from shipper.django import Middleware

    class Impersonating(Middleware):
        def actor_of(self, user: Any) -> Any:
            actor = super().actor_of(user)
            return actor and actor._replace(effective_id="eve")

    def view(request: Any) -> HttpResponse:
        request.user = user
        shipper.audit.record("looked")
        return HttpResponse()

    Impersonating(view)(RequestFactory().get("/"))
    assert shop.records()[0]["user"]["effective"] == {"id": "eve"}


def test_a_middleware_around_the_application_is_told_the_user_of_the_same_request(shop: Shop, user: Any) -> None:
    from django.http import HttpResponse
    from django.test import RequestFactory

    from shipper.django import Middleware

    def view(request: Any) -> HttpResponse:
        request.user = user
        shipper.audit.record("looked")
        return HttpResponse()

    outer = context.Request(id="r-7", path="/outside", address="198.51.100.1")
    before = context.request.set(outer)
    try:
        Middleware(view)(RequestFactory().get("/inside"))
    finally:
        context.request.reset(before)
    (record,) = shop.records()
    assert (record["http"]["request"]["id"], record["trace"]["id"]) == ("r-7", outer.generated_trace_id)
    assert (record["url"]["path"], record["source"]["ip"]) == ("/outside", "198.51.100.1")
    assert record["user"]["name"] == "ann"
