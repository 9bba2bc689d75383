"""Adds the running job and the log context to the events of sentry-sdk, if the application uses it.

sentry-sdk is never imported here, only used if the application has imported it. Other notifiers get the same fields
from `shipper.current_fields()`.
"""

from __future__ import annotations

import sys
from typing import Any

from .. import context
from ..errors import SectionBusy
from ..guard import never_raise

NAME = "rq-shipper"
"""The key of our fields in an event's `contexts`."""

_attached = False


def attach() -> None:
    """Register `add_fields` with sentry-sdk, once it is imported. Cheap to call repeatedly."""
    global _attached  # noqa: PLW0603 - sentry-sdk's processors are global, too
    if _attached or "sentry_sdk" not in sys.modules:
        return
    with never_raise("sentry"):
        from sentry_sdk.scope import add_global_event_processor

        processor: Any = add_fields  # avoids a dependency on sentry-sdk's types
        add_global_event_processor(processor)
        _attached = True


def add_fields(event: dict[str, Any], hint: Any) -> dict[str, Any] | None:
    """Add the running job and the log context to an event. Values that the application has set are kept.

    None, which drops the event, for a job that is put back as its critical section is held: that is no error.
    """
    with never_raise("sentry"):
        raised = (hint or {}).get("exc_info")
        if raised and isinstance(raised[1], SectionBusy) and raised[1].delay_s is not None:
            return None
        fields = context.fields_of(context.current())
        if (job := context.running.get()) is not None:
            fields |= context.job_fields(job)
        if fields:
            event.setdefault("contexts", {}).setdefault(NAME, fields)
            _add_tags(event, fields)
            if "user" in fields:
                event["user"] = {**fields["user"], **(event.get("user") or {})}
    return event


def _add_tags(event: dict[str, Any], fields: dict[str, Any]) -> None:
    """Add what people search by. sentry-sdk has tags as a mapping or as pairs."""
    ours = {
        "rq.job_id": fields.get("messaging", {}).get("message", {}).get("id"),
        "rq.queue": fields.get("messaging", {}).get("destination", {}).get("name"),
        "customer": fields.get("organization", {}).get("id"),
    }
    tags = event.get("tags") or {}
    event["tags"] = {**{name: value for name, value in ours.items() if value}, **dict(tags)}
