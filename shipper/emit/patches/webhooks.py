"""Wraps RQ's webhooks (RQ 2.10): records those that could not be sent, which RQ only logs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ...guard import never_raise
from .. import snapshot
from ..descriptors import Wrapper
from ..events import observers

_sending: ContextVar[tuple[Any, Any] | None] = ContextVar("shipper_webhook", default=None)  # the webhook, its job


def send(original: Wrapper, webhook: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    before = _sending.set((webhook, job))
    try:
        return original(webhook, job, *args, **kwargs)
    finally:
        _sending.reset(before)


def urlopen(original: Wrapper, *args: Any, **kwargs: Any) -> Any:
    """The HTTP call of a webhook. `Webhook.send` swallows its exceptions, so they are recorded here."""
    try:
        return original(*args, **kwargs)
    except Exception as error:
        with never_raise("webhook_failed"):
            if (sending := _sending.get()) is not None:
                webhook, job = sending
                observers.webhook_failed(snapshot.from_job(job), webhook.url, error)
        raise
