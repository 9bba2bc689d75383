"""The exceptions. Each message says what is wrong and what to do about it.

ShipperError
├── SettingsError          a setting is unknown or has an invalid value
├── SourceError            an input file does not exist or cannot be read
├── StateError             the state folder is missing, unwritable, or used by another shipper
├── AuditError             an audit record with `durable=True` could not be written to disk
└── DestinationError       a request to Elasticsearch failed
    ├── Unreachable        no response, or overloaded; a retry may succeed
    └── Refused            credentials, versions, privileges: fails until somebody changes something
"""


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


class AuditError(ShipperError):
    """An audit record could not be written to disk. Raised only with `durable=True`."""


class DestinationError(ShipperError):
    """A request to Elasticsearch failed. `status` is the HTTP status, None without a response."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(DestinationError):
    """No response, or the server is overloaded. The same request may succeed later."""


class Refused(DestinationError):
    """The request was rejected, and will be until somebody changes something."""
