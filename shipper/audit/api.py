"""The audit trail's front door: say who did what, and it stands beside what the jobs did.

    with shipper.actor(type="user", id="ann"):                       # or one of the middlewares of shipper.web
        shipper.audit.record("address-changed", "customer:42", changes={"city": ("Ulm", "Bonn")})

        with shipper.audit.action("invoice-paid", "invoice:7") as paying:   # success, failure or denial, and how long
            paying.changes = {"state": ("open", "paid")}

Neither ever raises for its own sake, or costs more than a few dozen microseconds. With `durable=True` the record
is on the disk when the call returns, or AuditError is raised.
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
    """Record what somebody did, or tried to.

    `action` is the application's word for it (`address-changed`), `resource` the thing: `"customer:42"`,
    `("customer", 42, "its name")` or a mapping of type, id and name. `outcome` is success, failure, denied or
    unknown. `changes` is `{field: (before, after)}` or `{"before": {…}, "after": {…}}`: without secrets, and cut
    if there is too much of it. `reason` says why, `target` is the id of the user it was done to. `category` and
    `type` are ECS's event.category and event.type, where the usual ones do not fit.

    Who did it, in which request or job, comes from the context; where nobody is known the record says system and
    is tagged `no-actor`. Never raises, but AuditError with `durable=True`.
    """
    _write(
        Event(
            action=action, resource=resource, outcome=outcome, changes=changes, reason=reason, target=target,
            category=category, type=type, message=message,
        ),
        durable=durable,
    )  # fmt: skip


class action:  # noqa: N801 - used as a word: `with audit.action("invoice-paid", "invoice:7"):`
    """Record what the block does, with its outcome and duration. Also a decorator, of coroutines too.

    An exception makes it a failure, and passes on. PermissionError, and exceptions that say 401 or 403 or are
    called PermissionDenied, make it a denial, as `deny(reason)` does. Inside the block `changes`, `reason`,
    `resource` and `target` may be set. Arguments are those of `record`.
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
        self._begun_ns = 0

    def deny(self, reason: str | None = None) -> None:
        """It was not allowed. The block goes on: what it answers is the application's business."""
        self._denied, self.reason = True, reason or self.reason

    def __enter__(self) -> action:
        self._begun_ns = time.perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = "success" if error is None else "failure"
        if self._denied or (error is not None and _is_denial(error)):
            outcome = "denied"
        event = Event(
            action=self._action, resource=self.resource, outcome=outcome, changes=self.changes, reason=self.reason,
            target=self.target, category=self._category, type=self._type, error=error,
            duration_ns=time.perf_counter_ns() - self._begun_ns,
        )  # fmt: skip
        _write(event, durable=self._durable)

    def __call__(self, function: Function) -> Function:
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def recorded(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

        else:

            @wraps(function)
            def recorded(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return function(*args, **kwargs)

        return recorded  # type: ignore[return-value]

    def _again(self) -> action:
        """A block of its own for each call of a decorated function."""
        return action(
            self._action, self.resource, changes=self.changes, reason=self.reason, target=self.target,
            category=self._category, type=self._type, durable=self._durable,
        )  # fmt: skip


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
    """The trail of this process. Wrong settings are logged and left out."""
    global _trail  # noqa: PLW0603 - one for the process, made when it is first needed
    if _trail is None:
        with no_fork:
            _trail = _trail or Trail(settings.load(complain=log.error))
    return _trail
