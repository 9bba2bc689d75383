"""What a watch remembers across restarts, in the file `watch.json` of the state folder. Written atomically.

It is one watch's own: a second one in the same folder is refused. On another host, or in another folder, several watch
one Redis without any lock.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ..errors import StateError
from .alarms import Alarm, Transition
from .crons import CronState

log = logging.getLogger("shipper")

FILE, LOCK = "watch.json", "watch.lock"
VERSION = 1


@dataclass(slots=True, kw_only=True)
class Memory:
    """`untold`: what opened or closed, and may not have been recorded yet: it is told again, with the same ids.

    `notices`: notifier → notices that it has not taken yet.
    """

    version: int = VERSION
    alarms: list[Alarm] = field(default_factory=list)
    untold: list[Transition] = field(default_factory=list)
    crons: list[CronState] = field(default_factory=list)
    unheard: dict[str, datetime] = field(default_factory=dict)
    notices: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the state folder for this watch. Creates it. Raises StateError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"The state folder {folder} cannot be used: {error.strerror}. Set SHIPPER_STATE.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateError(
                f"Another `shipper watch` uses the state folder {folder}. Set SHIPPER_STATE to one of its own."
            ) from None
        yield
    finally:
        os.close(descriptor)


def load(folder: Path) -> Memory:
    """What is remembered. A file that cannot be read is moved aside: open alarms are then read in Elasticsearch."""
    file = folder / FILE
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Memory)
        if found.version == VERSION:
            return found
        reason = f"it is of version {found.version}"
    except FileNotFoundError:
        return Memory()
    except (OSError, msgspec.MsgspecError) as error:
        reason = str(error)
    log.warning("%s cannot be read (%s). It is moved aside, and the watch starts anew.", file, reason)
    file.replace(folder / f"{FILE}.unreadable")
    return Memory()


def save(memory: Memory, folder: Path) -> None:
    """Replace the file. Raises OSError."""
    aside = folder / f"{FILE}.new"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as out:
        out.write(msgspec.json.encode(memory))
        out.flush()
        os.fsync(out.fileno())
    aside.rename(folder / FILE)
