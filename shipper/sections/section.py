"""`shipper.critical_section`: what two jobs must not do at the same time.

@shipper.critical_section("financial:{user_id}", ttl=300)          # a job function: one at a time for each user
def transfer(user_id, amount): …

with shipper.critical_section(f"financial:{user_id}") as section:  # anywhere
    account.save(fence=section.fence)
"""

from __future__ import annotations

import inspect
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar

from ..errors import SectionBusy, SectionError
from ..forking import in_each_child
from ..guard import never_raise
from . import busy, caller, renewal, store
from .busy import Limits, OnBusy
from .caller import Caller
from .store import Acquired, Holder
from .template import Template, function_name

log = logging.getLogger("shipper")

Function = TypeVar("Function", bound=Callable[..., Any])

MARGIN_S = 60.0
"""The default lease is the job's timeout and this: RQ kills a work-horse that is 60 s over its timeout."""

DEFAULT_TTL_S = 600.0
"""The lease where there is no timeout. It is extended all the same."""

BEAT_S = 5.0
"""A lease is extended so often, or three times within it if it is shorter than 15 s."""

POLL_S = 0.25
"""How often `wait` asks again: half of this to one and a half times this."""

_current: ContextVar[Section | None] = ContextVar("shipper_section", default=None)
_held: dict[tuple[str, str], Section] = {}  # (token, name) → what this process holds or is about to


class Section:
    """A section that its holder is in.

    `fence`: greater than that of every earlier holder. Give it to the store that is written to, which refuses a write
    with a smaller one than it has seen.
    `waited_s`: how long this job waited for the section, over all its tries.
    `lost`: the lease ran out or an operator released it, so that another may be in it, too.
    """

    def __init__(self, owner: Caller, name: str, acquired: Acquired, ttl_s: float, beat_s: float) -> None:
        self.name, self.fence, self.waited_s = name, acquired.fence, acquired.waited_s
        self.lost = False
        self.before: Section | None = None  # the section around this one
        self.beat_s = beat_s
        self._owner, self._ttl_s, self._pid = owner, ttl_s, os.getpid()
        self._confirmed = time.monotonic()

    def renew(self) -> bool:
        """Extend the lease, and return whether the section is still this holder's. Asks Redis."""
        if self.lost:
            return False
        try:
            is_ours = store.renew(self._owner.connection, self._owner.token, self.name, round(self._ttl_s * 1000))
        except Exception:
            if time.monotonic() - self._confirmed < self._ttl_s:
                raise
            is_ours = False  # Redis was away for as long as the lease
        if is_ours:
            self._confirmed = time.monotonic()
        else:
            self.lost = True
            log.warning(
                "The section %s was lost after %.0f s: its lease ran out, or it was released by hand. Another job may "
                "be in it. Writes with the fence %d can be refused.",
                self.name,
                time.monotonic() - self._confirmed,
                self.fence,
                extra={"event.action": "section-lost"},
            )
        return is_ours

    def release(self) -> None:
        """Let others in. Redis errors are logged: then the lease runs out. Does nothing in a forked child."""
        if self._pid != os.getpid():
            return
        renewal.remove(self)
        with never_raise("section release"):
            store.release(self._owner.connection, self._owner.token, self.name)
        _held.pop((self._owner.token, self.name), None)


def current_section() -> Section | None:
    """The innermost section that this code is in, None outside of all."""
    return _current.get()


def holds_any() -> bool:
    """Whether this process holds a section, or is about to."""
    return bool(_held)


def release_leftovers(token: str) -> None:
    """Release what an execution of this process still holds: a job's timeout may have interrupted the release."""
    for section in [one for (owner, _), one in list(_held.items()) if owner == token]:
        section.release()


class critical_section:  # noqa: N801 - reads as a statement, and as a decorator
    """Only one job, or process, at a time is in the section of a name. A decorator of job functions, and a with-block.

    `name`: of a decorated function, a template with its arguments by name (`financial:{user_id}`). Jobs that share a
    name exclude one another, whatever their functions.
    `ttl`: seconds after which others get in if the holder is dead. While it runs, its lease is extended. Default: the
    job's timeout and a minute. Not less than the job's timeout.
    `wait`: seconds to wait for it here, occupying the worker. Default: 0.
    `on_busy`: what then becomes of the job: `requeue` (it goes back to its queue after `delay` seconds, half of that to
    one and a half times that, without using up a retry), `fail` (SectionBusy is raised), `skip` (the function is not
    called and the job finishes with None), or a function that is called with the SectionBusy and returns the result.
    `max_tries`, `max_age`: after so many tries, or seconds since the first, a requeued job is dead.
    `family`: the name for `shipper.jobs.find(family=…)`. Default: the template's text before the first `:` or `{`.

    The holder is a job: its retry gets in, once its earlier execution is known to be dead. A section inside itself, a
    `ttl` below the job's timeout, and a template with an argument that the function lacks raise SectionError.
    """

    def __init__(
        self,
        name: str,
        *,
        ttl: float | None = None,
        wait: float = 0.0,
        on_busy: OnBusy = "requeue",
        delay: float = 5.0,
        max_tries: int = 1000,
        max_age: float = 3600.0,
        family: str | None = None,
    ) -> None:
        self.template = Template(name)
        self.family = family or name.partition("{")[0].partition(":")[0]
        self._ttl_s, self._wait_s = ttl, wait
        self._on_busy = busy.checked(on_busy)
        self._limits = Limits(delay_s=delay, max_tries=max_tries, max_age_s=max_age)
        if ttl is not None and ttl <= 0:
            raise SectionError(f"ttl={ttl:g} must be more than 0 seconds.")
        if wait < 0 or delay <= 0 or max_tries < 1 or max_age <= 0:
            raise SectionError("wait must be 0 or more; delay, max_tries and max_age more than 0.")

    # --- the decorator

    def __call__(self, function: Function) -> Function:
        self.template.check(function)
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def call(*args: Any, **kwargs: Any) -> Any:
                with self._entering(function, args, kwargs) as refused:
                    return await function(*args, **kwargs) if refused is None else self._refused(refused)

        else:

            @wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                with self._entering(function, args, kwargs) as refused:
                    return function(*args, **kwargs) if refused is None else self._refused(refused)

        setattr(call, DECLARED, self)
        return call  # type: ignore[return-value]

    @contextmanager
    def _entering(
        self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Iterator[SectionBusy | None]:
        """Within the block the section is held, or SectionBusy says why it is not."""
        try:
            name = self.template.fill(function, function_name(function), args, kwargs)
        except TypeError:
            function(*args, **kwargs)  # raises a better one
            raise
        section = self._enter(name)
        if isinstance(section, SectionBusy):
            yield section
            return
        before = _current.set(section)
        try:
            yield None
        finally:
            _current.reset(before)
            section.release()

    def _refused(self, refused: SectionBusy) -> Any:
        if self._on_busy == "skip":
            return None
        if callable(self._on_busy):
            return self._on_busy(refused)
        raise refused

    # --- the with-block

    def __enter__(self) -> Section:
        if self.template.names:
            raise SectionError(
                f"The name {self.template.text!r} has placeholders, and a with-block has no arguments to fill them: "
                "use an f-string."
            )
        if self._on_busy == "skip":
            raise SectionError("A with-block cannot be skipped: use on_busy='requeue', 'fail' or a function.")
        section = self._enter(self.template.text)
        if isinstance(section, SectionBusy):
            if callable(self._on_busy):
                self._on_busy(section)
            raise section
        section.before = _current.get()
        _current.set(section)
        return section

    def __exit__(self, *_: object) -> None:
        section = _current.get()
        if section is not None:
            _current.set(section.before)
            section.release()

    # --- both

    def check_job(
        self, function: Callable[..., Any], name: str, args: Any, kwargs: Any, timeout_s: float | None
    ) -> None:
        """Raise SectionError if a job with this function, arguments and timeout could not run. For its enqueuer."""
        try:
            self.template.fill(function, name, args, kwargs)
        except TypeError:
            return  # the function does not take these arguments: the job says so
        self._lease_s(timeout_s)

    def _lease_s(self, timeout_s: float | None) -> float:
        """The lease, in seconds, in a job with that timeout (None: it has none)."""
        if timeout_s is not None and self._wait_s >= timeout_s:
            raise SectionError(f"wait={self._wait_s:g} is not shorter than the job's timeout of {timeout_s:g} s.")
        if self._ttl_s is None:
            return DEFAULT_TTL_S if timeout_s is None else timeout_s + MARGIN_S
        if timeout_s is not None and self._ttl_s < timeout_s:
            raise SectionError(
                f"ttl={self._ttl_s:g} is shorter than the job's timeout of {timeout_s:g} s: others would get in while "
                "the job runs, should the lease not be extended. Make ttl longer, or job_timeout shorter."
            )
        return self._ttl_s

    def _enter(self, name: str) -> Section | SectionBusy:
        owner = caller.current()
        ttl_s = self._lease_s(owner.timeout_s)
        beat_s = min(BEAT_S, ttl_s / 3)
        if (owner.token, name) in _held:
            raise SectionError(f"The section {name} is held by this very job. A section cannot be inside itself.")
        pending = Section(owner, name, Acquired(0, 0.0, 0), ttl_s, beat_s)
        _held[owner.token, name] = pending  # before: the job's timeout may interrupt the next line
        try:
            answer = self._acquire(owner, name, ttl_s, beat_s)
        except BaseException:
            pending.release()
            raise
        if isinstance(answer, Holder):
            del _held[owner.token, name]
            return self._busy(owner, name, answer)
        section = _held[owner.token, name] = Section(owner, name, answer, ttl_s, beat_s)
        renewal.add(section)
        return section

    def _acquire(self, owner: Caller, name: str, ttl_s: float, beat_s: float) -> Acquired | Holder:
        """Ask for it until `wait` is over."""
        deadline = time.monotonic() + self._wait_s
        may_return = self._on_busy == "requeue" and owner.is_in_worker
        gone, is_first = "", True
        while True:
            remaining = deadline - time.monotonic()
            answer = store.acquire(
                owner,
                name,
                template=self.template.text,
                ttl_ms=round(ttl_s * 1000),
                beat_ms=round(beat_s * 1000),
                waits=may_return or remaining > 0 or not is_first,
                counts=is_first,
                gone=gone,
            )
            if isinstance(answer, Acquired):
                return answer
            is_first = False
            if gone != answer.token and answer.job_id == owner.job_id and caller.is_gone(answer.place, answer.process):
                gone = answer.token
                continue
            if remaining <= 0:
                if self._wait_s > 0 and not may_return:
                    store.forget_waiter(owner.connection, name, owner.job_id or owner.token)
                return answer
            time.sleep(min(remaining, POLL_S * random.uniform(0.5, 1.5)))  # noqa: S311 - no cryptography

    def _busy(self, owner: Caller, name: str, holder: Holder) -> SectionBusy:
        """What becomes of the job. Writes the record, unless the worker does as it puts the job back."""
        decision = busy.decide(
            self._on_busy, self._limits, holder, is_job=bool(owner.job_id), is_in_worker=owner.is_in_worker
        )
        refused = SectionBusy(
            name,
            holder=holder.job_id or None,
            holder_function=holder.function or None,
            since=datetime.fromtimestamp(holder.since_ms / 1000, UTC),
            tries=max(1, holder.tries),
            waited_s=holder.waited_s,
            delay_s=decision.delay_s,
            is_exhausted=decision.is_exhausted,
            hint=decision.hint,
        )
        if decision.is_exhausted:
            store.forget_waiter(owner.connection, name, owner.job_id)
        if decision.delay_s is None and owner.job_id:
            busy.report(refused, decision.action)
        return refused


DECLARED = "__shipper_section__"
"""The attribute of a decorated function that holds its critical_section."""

in_each_child(_held.clear)  # a child of the application's holds nothing, as only one process may release it
