"""The exceptions. Each message says what is wrong and what to do about it.

ShipperError
├── SettingsError          a setting is unknown or has an invalid value
├── SourceError            an input file does not exist or cannot be read
├── StateError             the state folder is missing, unwritable, or
│   └── StateInUse         used by another shipper
├── AuditError             an audit record with `durable=True` could not be written to disk
├── SectionError           a critical section or a unique name is used in a way that cannot work
├── SectionBusy            a critical section is held by another job
└── DestinationError       a request to Elasticsearch failed
    ├── Unreachable        no response, or overloaded; a retry may succeed
    ├── Refused            credentials, versions, privileges: fails until somebody changes something
    └── LifecycleError     both ILM and the shipper would delete old indices, or neither can
"""

from __future__ import annotations

from datetime import datetime


class ShipperError(Exception):
    """The base class of all exceptions that this package raises."""


class SettingsError(ShipperError):
    """A setting is unknown or has an invalid value. `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class SourceError(ShipperError):
    """An input file, folder or stream cannot be read."""


class StateError(ShipperError):
    """The state folder cannot be used."""


class StateInUse(StateError):
    """Another shipper uses the state folder."""


class AuditError(ShipperError):
    """An audit record could not be written to disk. Raised only with `durable=True`."""


class SectionError(ShipperError):
    """A critical section or a unique name is used in a way that cannot work."""


class SectionBusy(ShipperError):
    """A critical section is held by another job.

    `section` is its name, `holder` the id of the job that holds it (None if it is no job), `holder_function` that job's
    function, `since` when it got in. `tries` and `waited_s` are those of the job that was refused, over all its tries.
    `delay_s`: seconds after which the worker puts the job back to its queue; None if it does not.
    `is_exhausted`: the limit of tries or age was reached, so the job is dead.
    """

    def __init__(
        self,
        section: str,
        *,
        holder: str | None,
        holder_function: str | None,
        since: datetime,
        tries: int = 1,
        waited_s: float = 0.0,
        delay_s: float | None = None,
        is_exhausted: bool = False,
        hint: str = "",
    ) -> None:
        by = f"job {holder}" if holder else "a process that runs no job"
        about = f" ({holder_function})" if holder_function else ""
        super().__init__(f"The section {section} is held by {by}{about} since {since:%Y-%m-%d %H:%M:%S} UTC.{hint}")
        self.section, self.holder, self.holder_function, self.since = section, holder, holder_function, since
        self.tries, self.waited_s, self.delay_s, self.is_exhausted = tries, waited_s, delay_s, is_exhausted


class DestinationError(ShipperError):
    """A request to Elasticsearch failed. `status` is the HTTP status, None without a response."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(DestinationError):
    """No response, or the server is overloaded. The same request may succeed later."""


class Refused(DestinationError):
    """The request was rejected, and will be until somebody changes something."""


class LifecycleError(DestinationError):
    """Both ILM and the shipper would delete old indices, or the one that is to do it cannot."""
