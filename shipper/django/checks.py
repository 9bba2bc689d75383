"""What Django's system checks say of our configuration: `manage.py check`, and every command before it starts.

All of it is a warning. An error would keep `manage.py rqworker` from starting, and jobs matter more;
`manage.py check --fail-level WARNING` is for whoever wants it otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string
from rq.job import Job
from rq.queue import Queue
from rq.worker import BaseWorker

from ..guard import never_raise
from ..settings import load
from ..sink import is_special_file
from . import registry
from .middleware import Middleware

TAG = "shipper"

_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
_CLASSES = {
    # RQ[…] -> (id, what it has to derive from, what is missing otherwise)
    "JOB_CLASS": ("shipper.W002", Job, "what becomes of its jobs"),
    "WORKER_CLASS": ("shipper.W003", BaseWorker, "what its workers do"),
    "QUEUE_CLASS": ("shipper.W004", Queue, "what is enqueued there"),
}


def check(**_: Any) -> list[Any]:
    """Everything that can be told before a request or a job comes."""
    found: list[Any] = []
    for part in (_check_settings, _check_classes, _check_middleware, _check_log, _check_audited):
        with never_raise(f"django: {part.__name__}"):
            found += part()
    return found


def _warning(identifier: str, message: str, hint: str) -> Any:
    return CheckWarning(message, hint=hint, id=identifier)


def _check_settings() -> Iterator[Any]:
    problems: list[str] = []
    load(complain=problems.append)
    for problem in problems:
        yield _warning("shipper.W001", problem, "It is left out, and the rest is used.")


def _check_classes() -> Iterator[Any]:
    configured = [("RQ", getattr(settings, "RQ", None))]
    configured += [(f"RQ_QUEUES[{name!r}]", one) for name, one in (getattr(settings, "RQ_QUEUES", None) or {}).items()]
    for where, found in configured:
        for name, (identifier, base, missing) in _CLASSES.items():
            given = found.get(name) if isinstance(found, dict) else None
            if given and (wrong := _is_no(base, given)):
                yield _warning(
                    identifier, f"{where}[{name!r}] {wrong}, so that {missing} is not recorded.",
                    f"Derive it from {base.__module__}.{base.__qualname__}.",
                )  # fmt: skip


def _is_no(base: type, given: Any) -> str | None:
    try:
        found = import_string(given) if isinstance(given, str) else given
    except Exception as wrong:  # whatever a module of the user's does as it is imported
        return f"cannot be imported ({given}: {wrong})"
    if isinstance(found, type) and issubclass(found, base):
        return None
    return f"({getattr(found, '__qualname__', found)}) does not derive from RQ's {base.__name__}"


def _check_middleware() -> Iterator[Any]:
    paths = getattr(settings, "MIDDLEWARE", None) or []
    if not paths:
        return  # nothing is answered here
    classes = {path: _imported(path) for path in paths}
    if not any(isinstance(found, type) and issubclass(found, Middleware) for found in classes.values()):
        yield _warning(
            "shipper.W005", "shipper.django.Middleware is not in MIDDLEWARE: nobody knows in which request, and for "
            "whom, something was done.",
            "Put it first. If one of shipper.web's middlewares is around the application instead, silence this check.",
        )  # fmt: skip
    elif not any(_sets_user(path, found) for path, found in classes.items()):
        yield _warning(
            "shipper.W006", "No middleware sets request.user, which is the actor of audit records.",
            f"Add {_AUTHENTICATION!r} to MIDDLEWARE, or call shipper.identify() where the user is known.",
        )  # fmt: skip


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except Exception:  # Django will say so itself
        return None


def _sets_user(path: str, found: Any) -> bool:
    if path == _AUTHENTICATION:
        return True
    return isinstance(found, type) and any(
        f"{base.__module__}.{base.__qualname__}" == _AUTHENTICATION for base in found.__mro__
    )


def _check_log() -> Iterator[Any]:
    log = load(complain=lambda _: None).log
    there = next(path for path in (log, *log.parents) if os.path.exists(path))  # noqa: PTH110 - Path's raises EACCES
    needed = os.W_OK if there == log else os.W_OK | os.X_OK
    if not is_special_file(log) and not os.access(there, needed, effective_ids=True):
        yield _warning(
            "shipper.W007", f"This account cannot write the log {log}: it may not write to {there}.",
            "Nothing is recorded until it may. Or name another file, by SHIPPER_LOG or SHIPPER['log'].",
        )  # fmt: skip


def _check_audited() -> Iterator[Any]:
    for problem in registry.problems:
        yield _warning("shipper.W008", f"audited(): {problem}.", "Everything else that was named is audited.")
