"""Functions of the application's own that are told of every failure: raised, killed, timed out or abandoned.

RQ's exception handlers run in the work-horse only, so a killed work-horse reaches none of them. These are
called by whoever tells of the ending, in its process.

    @shipper.on_fail                                  # in code that the worker imports
    def notify(record): …

    SHIPPER_ON_DEAD=shop.alerts:page                  # or by setting: for parents and registries, too
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
    """Call this with the record of every attempt that fails, whether it will be retried or not. Also a decorator."""
    _registered["on_fail"].append(callback)
    return callback


def on_dead(callback: Callback) -> Callback:
    """Call this with the record of every job that failed for good. Also a decorator."""
    _registered["on_dead"].append(callback)
    return callback


class Callbacks:
    """Those of the settings, imported when the first failure comes, and those that were registered."""

    def __init__(self, settings: Settings) -> None:
        self._named = {"on_fail": settings.on_fail, "on_dead": settings.on_dead}
        self._imported: dict[str, list[Callback]] = {}

    def tell(self, line: bytes) -> None:
        """Call every one that the record of this line is for; the failure of one is not the others'."""
        if not any((*_registered.values(), *self._named.values())):
            return
        record = orjson.loads(line)
        action = record["event"]["action"]
        if action in ("job-retried", "job-dead"):
            self._call("on_fail", record)
        if action == "job-dead":
            self._call("on_dead", record)

    def _call(self, occasion: str, record: Record) -> None:
        if occasion not in self._imported:
            self._imported[occasion] = list(_import_all(self._named[occasion]))
        for callback in (*self._imported[occasion], *_registered[occasion]):
            with never_raise(occasion):
                callback(record)


def _import_all(names: Iterable[str]) -> Iterable[Callback]:
    for name in names:
        with never_raise(f"import of {name}"):
            module, _, function = name.replace(":", ".").rpartition(".")
            yield getattr(import_module(module), function)
