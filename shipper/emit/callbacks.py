"""Failure callbacks: functions of the application that are called for each failed attempt or dead job.

RQ's exception handlers run in the work-horse only, so they miss a killed work-horse. These callbacks are called by the
process that writes the closing record: work-horse, parent or reconciler.

    @shipper.on_fail                                  # in code that the worker imports
    def notify(record): …

    SHIPPER_ON_DEAD=shop.alerts:page                  # by setting: also called in parents and by registry cleanups
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import orjson

from ..guard import never_raise
from ..records import Record
from ..settings import Settings

Callback = Callable[[Record], Any]

_registered: dict[str, list[Callback]] = {"on_fail": [], "on_dead": []}


def on_fail(callback: Callback) -> Callback:
    """Register a callback for each failed attempt, retried or not. It gets the record. Also a decorator."""
    _registered["on_fail"].append(callback)
    return callback


def on_dead(callback: Callback) -> Callback:
    """Register a callback for each job that failed for good. It gets the record. Also a decorator."""
    _registered["on_dead"].append(callback)
    return callback


class Callbacks:
    """Calls the registered callbacks and those named in the settings, which are imported at the first failure."""

    def __init__(self, settings: Settings) -> None:
        self._named = {"on_fail": settings.on_fail, "on_dead": settings.on_dead}
        self._imported: dict[str, list[Callback]] = {}

    def notify(self, line: bytes) -> None:
        """Call each callback for the record in `line`, a line of JSON. Exceptions are logged, never raised."""
        if not any((*_registered.values(), *self._named.values())):
            return
        record = orjson.loads(line)
        action = record["event"]["action"]
        if action in ("job-retried", "job-dead"):
            self._call("on_fail", record)
        if action == "job-dead":
            self._call("on_dead", record)

    def _call(self, kind: str, record: Record) -> None:
        if kind not in self._imported:
            self._imported[kind] = list(_import_all(self._named[kind]))
        for callback in (*self._imported[kind], *_registered[kind]):
            with never_raise(kind):
                callback(record)


def _import_all(names: Iterable[str]) -> Iterable[Callback]:
    for name in names:
        with never_raise(f"import of {name}"):
            module, _, function = name.replace(":", ".").rpartition(".")
            yield getattr(import_module(module), function)
