"""The one place where we meet the Elasticsearch client: how it is built, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from urllib.parse import urlsplit, urlunsplit

import elastic_transport
import elasticsearch
from elasticsearch import Elasticsearch, OrjsonSerializer

from .errors import DestinationError, Refused, Unreachable
from .settings import Settings

VERSION = version("elasticsearch")
REQUEST_TIMEOUT_S = 30.0


def connect(settings: Settings) -> Elasticsearch:
    """A client for setup and questions. Connects at the first request, not here."""
    return Elasticsearch(
        list(settings.elasticsearch),
        api_key=settings.api_key,
        request_timeout=REQUEST_TIMEOUT_S,
        max_retries=0,
        serializer=OrjsonSerializer(),  # whoever reads the whole trail spends half of the time on JSON otherwise
    )


def shown(settings: Settings) -> str:
    """The addresses for a message: without the passwords that URLs may hold."""
    bare = []
    for url in settings.elasticsearch:
        parts = urlsplit(url)
        bare.append(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    return ", ".join(bare)


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn the client's exceptions into ours, each with what to do about it."""
    where = shown(settings)
    try:
        yield
    except elasticsearch.ApiError as answer:
        raise refusal(answer.status_code, str(answer.message), where) from answer
    except elasticsearch.UnsupportedProductError as answer:
        raise Refused(f"What answers at {where} is not Elasticsearch. Check SHIPPER_ELASTICSEARCH.") from answer
    except elastic_transport.TransportError as trouble:
        raise unreachable(where, trouble) from trouble


def unreachable(where: str, trouble: elastic_transport.TransportError) -> Unreachable:
    """Nobody answered."""
    reason = str(trouble.message).split("(<", 1)[0].strip() or type(trouble).__name__
    return Unreachable(
        f"Elasticsearch at {where} cannot be reached ({reason}). Is it running, and is SHIPPER_ELASTICSEARCH right?"
    )


def refusal(status: int, reason: str, where: str) -> DestinationError:
    """What an HTTP status that is not a success means to us."""
    if status == 401:
        return Refused(
            f"Elasticsearch at {where} does not accept the credentials (401). "
            "Set SHIPPER_API_KEY to a valid API key in its encoded form.",
            status,
        )
    if status == 403:
        return Refused(f"Elasticsearch at {where} forbids this to the key in SHIPPER_API_KEY (403: {reason}).", status)
    if status == 400 and reason.startswith("media_type_header"):
        return Refused(
            f"The Elasticsearch at {where} is older than the Python client {VERSION}. "
            f"Install the client of its version: pip install 'elasticsearch>=8.19,<9'.",
            status,
        )
    if status == 429 or status >= 500:
        return Unreachable(f"Elasticsearch at {where} is overloaded or failing ({status}: {reason}).", status)
    return Refused(f"Elasticsearch at {where} refused the request ({status}: {reason}).", status)
