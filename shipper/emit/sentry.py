"""Beside sentry-sdk: an event that it sends names the job, and carries the user and the labels of the log context.

sentry-sdk is never imported for its sake: the application has it, or not. Any other notifier gets the same from
`shipper.current_fields()`.
"""

from __future__ import annotations

import sys
from typing import Any

from .. import context
from ..guard import never_raise

NAME = "rq-shipper"
"""Under this name the fields stand among an event's contexts."""

_attached = False


def attach() -> None:
    """Have every event of sentry-sdk pass through `add_fields`, once it is there. Cheap to ask again."""
    global _attached  # noqa: PLW0603 - sentry-sdk's processors are global, too
    if _attached or "sentry_sdk" not in sys.modules:
        return
    with never_raise("sentry"):
        from sentry_sdk.scope import add_global_event_processor

        processor: Any = add_fields  # its types are its own matter
        add_global_event_processor(processor)
        _attached = True


def add_fields(event: dict[str, Any], _hint: object) -> dict[str, Any]:
    """An event with the running job and the log context. What the application has set itself stays."""
    with never_raise("sentry"):
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
    """What one searches by. An event's tags are a mapping, or pairs."""
    found = {
        "rq.job_id": fields.get("messaging", {}).get("message", {}).get("id"),
        "rq.queue": fields.get("messaging", {}).get("destination", {}).get("name"),
        "customer": fields.get("organization", {}).get("id"),
    }
    tags = event.get("tags") or {}
    event["tags"] = {**{name: value for name, value in found.items() if value}, **dict(tags)}
