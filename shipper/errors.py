"""What can go wrong, as a tree. Each message says what is wrong and what to do about it.

ShipperError
├── SettingsError          a setting is unknown, or has a value that cannot be
├── SourceError            what was to be read is not there, or not ours to read
├── StateError             the folder of positions is missing, unwritable, or another shipper's
├── AuditError             an audit record that had to be durable could not be made so
└── DestinationError       Elasticsearch does not take what we send
    ├── Unreachable        no answer; trying again may help
    └── Refused            an answer that will not change by itself: credentials, versions, privileges
"""


class ShipperError(Exception):
    """The root: catch this to catch everything that is raised here."""


class SettingsError(ShipperError):
    """A setting is unknown or has a value that cannot be used. `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class SourceError(ShipperError):
    """The files, the folder or the stream that was to be read cannot be read."""


class StateError(ShipperError):
    """The state folder cannot be used."""


class AuditError(ShipperError):
    """An audit record could not be made durable. Only raised where `durable=True` asked for it."""


class DestinationError(ShipperError):
    """Elasticsearch does not do what was asked. `status` is the HTTP status, None where there was none."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(DestinationError):
    """Nobody answered, or the one who did was overloaded. The same request may succeed later."""


class Refused(DestinationError):
    """The answer was no, and will be until somebody changes something."""
