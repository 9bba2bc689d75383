"""The public API of the audit trail: `record` writes one audit record, `action` records a with-block.

    with shipper.actor(type="user", id="ann"):                       # or one of the middlewares of shipper.web
        shipper.audit.record("address-changed", "customer:42", changes={"city": ("Ulm", "Bonn")})

        with shipper.audit.action("invoice-paid", "invoice:7") as paying:   # success, failure or denial, and how long
            paying.changes = {"state": ("open", "paid")}

Neither raises, and each takes a few dozen microseconds. With `durable=True` the record is on disk when the call
returns, or AuditError is raised.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from .. import settings
from ..errors import AuditError
from ..forking import no_fork
from ..guard import never_raise
from .writer import Event, Trail

__all__ = ["AuditError", "action", "record"]

log = logging.getLogger("shipper")

Function = TypeVar("Function", bound=Callable[..., Any])

_trail: Trail | None = None


def record(
    action: str,
    resource: object = None,
    *,
    outcome: str = "success",
    changes: Mapping[str, Any] | None = None,
    reason: str | None = None,
    target: object = None,
    category: str | None = None,
    type: str | None = None,
    message: str | None = None,
    durable: bool = False,
) -> None:
    """Record something that was done or attempted.

    `action` is the application's name for it (`address-changed`). `resource` is what was acted on: `"customer:42"`,
    `("customer", 42, "its name")` or a mapping of type, id and name. `outcome` is success, failure, denied or
    unknown. `changes` is `{field: (before, after)}` or `{"before": {…}, "after": {…}}`; secrets are redacted, and too
    many values are cut. `reason` says why, `target` is the id of the user it was done to. `category` and `type`
    override ECS's event.category and event.type.

    Actor, request and job come from the context. Without an actor the record has the actor type system and the tag
    `no-actor`. Raises nothing but AuditError with `durable=True`.
    """
    _write(
        Event(
            action=action,
            resource=resource,
            outcome=outcome,
            changes=changes,
            reason=reason,
            target=target,
            category=category,
            type=type,
            message=message,
        ),
        durable=durable,
    )


class action:  # noqa: N801 - reads as a statement: `with audit.action("invoice-paid", "invoice:7"):`
    """Record a with-block, with its outcome and duration. Also a decorator of functions and coroutines.

    An exception makes the outcome a failure, and is raised on. PermissionError, exceptions called PermissionDenied or
    with the status 401 or 403, and `deny(reason)` make it denied. Within the block, `changes`, `reason`, `resource`
    and `target` may be set. The arguments are those of `record`.
    """

    def __init__(
        self,
        action: str,
        resource: object = None,
        *,
        changes: Mapping[str, Any] | None = None,
        reason: str | None = None,
        target: object = None,
        category: str | None = None,
        type: str | None = None,
        durable: bool = False,
    ) -> None:
        self.resource, self.changes, self.reason, self.target = resource, changes, reason, target
        self._action, self._category, self._type, self._durable = action, category, type, durable
        self._denied = False
        self._started_ns = 0

    def deny(self, reason: str | None = None) -> None:
        """Set the outcome to denied. Does not end the block."""
        self._denied, self.reason = True, reason or self.reason

    def __enter__(self) -> action:
        self._started_ns = time.perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = "success" if error is None else "failure"
        if self._denied or (error is not None and _is_denial(error)):
            outcome = "denied"
        event = Event(
            action=self._action,
            resource=self.resource,
            outcome=outcome,
            changes=self.changes,
            reason=self.reason,
            target=self.target,
            category=self._category,
            type=self._type,
            error=error,
            duration_ns=time.perf_counter_ns() - self._started_ns,
        )
        _write(event, durable=self._durable)

    def __call__(self, function: Function) -> Function:
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def recorded(*args: Any, **kwargs: Any) -> Any:
                with self._copy():
                    return await function(*args, **kwargs)

        else:

            @wraps(function)
            def recorded(*args: Any, **kwargs: Any) -> Any:
                with self._copy():
                    return function(*args, **kwargs)

        return recorded  # type: ignore[return-value]

    def _copy(self) -> action:
        """A new block, for one call of a decorated function."""
        return action(
            self._action,
            self.resource,
            changes=self.changes,
            reason=self.reason,
            target=self.target,
            category=self._category,
            type=self._type,
            durable=self._durable,
        )


def _is_denial(error: BaseException) -> bool:
    status = getattr(error, "status_code", getattr(error, "code", None))  # FastAPI's, werkzeug's
    return isinstance(error, PermissionError) or type(error).__name__ == "PermissionDenied" or status in (401, 403)


def _write(event: Event, *, durable: bool) -> None:
    if not durable:
        with never_raise("audit"):
            trail().write(event)
        return
    try:
        trail().write(event, durable=True)
    except AuditError:
        raise
    except Exception as error:
        raise AuditError(f"The audit record could not be made: {error}.") from error


def trail() -> Trail:
    """The trail of this process. Wrong settings are logged and ignored."""
    global _trail  # noqa: PLW0603 - one per process, created on first use
    if _trail is None:
        with no_fork:
            _trail = _trail or Trail(settings.load(complain=log.error))
    return _trail
