"""Every RQ job tells its whole story, on one timeline with what people did.

The front door. Names come in on first use, so that `import shipper` stays light and, above all, changes
nothing: only `instrument()`, or the use of `LoggedJob`, makes RQ write records.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .context import log_context
    from .emit.logged_job import LoggedJob
    from .emit.rq import instrument
    from .errors import SettingsError, ShipperError

__all__ = ["LoggedJob", "SettingsError", "ShipperError", "instrument", "log_context"]

_HOMES = {
    "LoggedJob": ".emit.logged_job",
    "instrument": ".emit.rq",
    "log_context": ".context",
    "ShipperError": ".errors",
    "SettingsError": ".errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
