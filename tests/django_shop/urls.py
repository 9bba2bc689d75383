from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import django_rq
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.db import transaction
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

import shipper
from tests.django_shop import work


def nothing(request: Any) -> HttpResponse:
    return HttpResponse("ok")


async def nothing_async(request: Any) -> HttpResponse:
    return HttpResponse("ok")


def record(request: Any) -> HttpResponse:
    shipper.audit.record("looked")
    return HttpResponse("ok")


async def record_async(request: Any) -> HttpResponse:
    shipper.audit.record("looked")
    return HttpResponse("ok")


async def record_known(request: Any) -> HttpResponse:
    await request.auser()
    shipper.audit.record("looked")
    return HttpResponse("ok")


def sign_in(request: Any) -> HttpResponse:
    shipper.audit.record("tried")
    login(request, User.objects.get(username=request.GET["name"]))
    shipper.audit.record("signed-in")
    return HttpResponse("ok")


def sign_out(request: Any) -> HttpResponse:
    logout(request)
    shipper.audit.record("signed-out")
    return HttpResponse("ok")


def parts() -> Iterator[str]:
    yield "first"
    shipper.audit.record("streamed")
    yield "second"


async def parts_async() -> AsyncIterator[str]:
    yield "first"
    shipper.audit.record("streamed")
    yield "second"


def stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


async def stream_async(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts_async())


def file(request: Any) -> FileResponse:
    return FileResponse(open(__file__, "rb"))


def order(request: Any, number: int) -> HttpResponse:
    """Asks for a job in a transaction, whose commit comes after the block that says which customer it is for."""
    with transaction.atomic():
        enqueue(number)
    return HttpResponse("ok")


@shipper.log_context(customer="42")
def enqueue(number: int) -> None:
    django_rq.get_queue("letters").enqueue(work.pack, number)


urlpatterns = [
    path("nothing", nothing),
    path("nothing-async", nothing_async),
    path("record", record),
    path("record-async", record_async),
    path("record-known", record_known),
    path("sign-in", sign_in),
    path("sign-out", sign_out),
    path("stream", stream),
    path("stream-async", stream_async),
    path("file", file),
    path("order/<int:number>", order),
]
