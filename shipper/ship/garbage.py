"""Lets the garbage collector look less often, in a process that makes many objects and hardly any cycles of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 20_000  # new ones until it looks for cycles among them, instead of 700 (2,000 from Python 3.13 on)


@contextmanager
def few_collections() -> Iterator[None]:
    """What exists already is never looked at, and what is made meanwhile every OBJECTS objects."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
