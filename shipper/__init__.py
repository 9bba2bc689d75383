"""Records the life of RQ jobs and user actions as JSON lines, and ships them to Elasticsearch as one timeline.

This module is the public API. Names are imported on first use, so `import shipper` is fast and has no side effects:
only `instrument()`, or the use of `LoggedJob`, makes RQ write records.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .forking import no_fork

if TYPE_CHECKING:
    from . import audit, jobs, operate, queues, timeline
    from .emit.callbacks import on_dead, on_fail
    from .emit.instrument import instrument
    from .emit.logged_job import LoggedJob
    from .emit.progress import progress
    from .errors import AuditError, SectionBusy, SectionError, SettingsError, ShipperError
    from .formatter import JsonFormatter, current_fields, structlog_context
    from .sections.section import critical_section, current_section
    from .sections.unique import unique

__all__ = [
    "AuditError",
    "JsonFormatter",
    "LoggedJob",
    "SectionBusy",
    "SectionError",
    "SettingsError",
    "ShipperError",
    "actor",
    "audit",
    "critical_section",
    "current_fields",
    "current_section",
    "identify",
    "instrument",
    "jobs",
    "log_context",
    "on_dead",
    "on_fail",
    "operate",
    "progress",
    "queues",
    "structlog_context",
    "timeline",
    "unique",
]

_MODULES = ("audit", "jobs", "operate", "queues", "timeline")

_HOMES = {
    "LoggedJob": ".emit.logged_job",
    "instrument": ".emit.instrument",
    "actor": ".context",
    "identify": ".context",
    "log_context": ".context",
    "on_dead": ".emit.callbacks",
    "on_fail": ".emit.callbacks",
    "progress": ".emit.progress",
    "JsonFormatter": ".formatter",
    "current_fields": ".formatter",
    "structlog_context": ".formatter",
    "critical_section": ".sections.section",
    "current_section": ".sections.section",
    "unique": ".sections.unique",
    "AuditError": ".errors",
    "SectionBusy": ".errors",
    "SectionError": ".errors",
    "ShipperError": ".errors",
    "SettingsError": ".errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with no_fork:
        if name in _MODULES:
            return import_module(f".{name}", __name__)
        value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
        return value
