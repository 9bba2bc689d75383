"""Django system checks of our configuration. They run at `manage.py check` and at the start of every command.

All of them are warnings: an error would keep `manage.py rqworker` from starting. Use
`manage.py check --fail-level WARNING` to make them fail.
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
    # RQ[…] → (id of the check, required base class, what is not recorded otherwise)
    "JOB_CLASS": ("shipper.W002", Job, "what becomes of its jobs"),
    "WORKER_CLASS": ("shipper.W003", BaseWorker, "what its workers do"),
    "QUEUE_CLASS": ("shipper.W004", Queue, "what is enqueued there"),
}


def check(**_: Any) -> list[Any]:
    """All checks. Returns Django's Warning objects."""
    warnings: list[Any] = []
    for part in (_check_settings, _check_classes, _check_middleware, _check_log, _check_audited):
        with never_raise(f"django: {part.__name__}"):
            warnings += part()
    return warnings


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
    for where, config in configured:
        for name, (identifier, base, missing) in _CLASSES.items():
            value = config.get(name) if isinstance(config, dict) else None
            if value and (wrong := _why_wrong(base, value)):
                yield _warning(
                    identifier,
                    f"{where}[{name!r}] {wrong}, so that {missing} is not recorded.",
                    f"Derive it from {base.__module__}.{base.__qualname__}.",
                )


def _why_wrong(base: type, value: Any) -> str | None:
    """Why a configured class is not usable as `base`; None if it is."""
    try:
        configured = import_string(value) if isinstance(value, str) else value
    except Exception as wrong:  # a user's module may raise anything
        return f"cannot be imported ({value}: {wrong})"
    if isinstance(configured, type) and issubclass(configured, base):
        return None
    return f"({getattr(configured, '__qualname__', configured)}) does not derive from RQ's {base.__name__}"


def _check_middleware() -> Iterator[Any]:
    paths = getattr(settings, "MIDDLEWARE", None) or []
    if not paths:
        return  # this process serves no requests
    classes = {path: _imported(path) for path in paths}
    if not any(isinstance(one, type) and issubclass(one, Middleware) for one in classes.values()):
        yield _warning(
            "shipper.W005",
            "shipper.django.Middleware is not in MIDDLEWARE: nobody knows in which request, and for "
            "whom, something was done.",
            "Put it first. If one of shipper.web's middlewares is around the application instead, silence this check.",
        )
    elif not any(_sets_user(path, middleware) for path, middleware in classes.items()):
        yield _warning(
            "shipper.W006",
            "No middleware sets request.user, which is the actor of audit records.",
            f"Add {_AUTHENTICATION!r} to MIDDLEWARE, or call shipper.identify() where the user is known.",
        )


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except Exception:  # Django reports that itself
        return None


def _sets_user(path: str, middleware: Any) -> bool:
    if path == _AUTHENTICATION:
        return True
    return isinstance(middleware, type) and any(
        f"{base.__module__}.{base.__qualname__}" == _AUTHENTICATION for base in middleware.__mro__
    )


def _check_log() -> Iterator[Any]:
    log = load(complain=lambda _: None).log
    existing = next(path for path in (log, *log.parents) if os.path.exists(path))  # noqa: PTH110 - Path's raises EACCES
    needed = os.W_OK if existing == log else os.W_OK | os.X_OK
    if not is_special_file(log) and not os.access(existing, needed, effective_ids=True):
        yield _warning(
            "shipper.W007",
            f"This account cannot write the log {log}: it may not write to {existing}.",
            "Nothing is recorded until it may. Or name another file, by SHIPPER_LOG or SHIPPER['log'].",
        )


def _check_audited() -> Iterator[Any]:
    for problem in registry.problems:
        yield _warning("shipper.W008", f"audited(): {problem}.", "Everything else that was named is audited.")
