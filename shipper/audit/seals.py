"""Seals: records that close a part of a chain, with the clocks of that moment, signed if there is a key for it.

A seal is a record of the chain like any other, so that it covers all records before it. One is written after a record
if the last one is older than SEAL_EVERY_S, and when a process ends that wrote records. The shipper writes one every
SEAL_EVERY_S even if there is nothing new, and promises the next one (`next_s`): where no record follows such a seal,
and the shipper was not stopped (`closing`), the end of the chain is missing.

    "audit": {"seal": {"count": 41, "head": "<hash of record 41>", "uptime_ms": 93284000, "boot": "<id of the boot>"}}
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ..errors import SettingsError
from ..records import SEALED_ACTION, Record, begin, timestamp
from ..service import ServiceInfo
from .chain import Head, Sign

log = logging.getLogger("shipper")

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# It goes on while the machine sleeps, and is the same for all processes. Linux alone has it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


class Kind(NamedTuple):
    """`next_s`: the next seal comes within this time. `closing`: nothing is expected after it."""

    next_s: int | None = None
    closing: bool = False


class Seals:
    """Makes the seals of a process. `service`: its current ServiceInfo. `key`: the file of the private key."""

    def __init__(self, service: Callable[[], ServiceInfo], key: Path | None) -> None:
        self._service = service
        self._key = key
        self._signer: tuple[str, Sign] | None = None

    def signer(self) -> tuple[str, Sign] | None:
        """What to sign with. None without a key, or if the key cannot be used, which is logged once."""
        if self._signer is None and self._key is not None:
            try:
                self._signer = signer_of(self._key)
            except SettingsError as error:
                self._key = None
                log.error(  # noqa: TRY400 - the message says it all
                    "Seals of the audit trail are not signed: %s", error, extra={"event.action": "seals-not-signed"}
                )
        return self._signer

    def record(self, head: Head, boot: str, kind: Kind) -> Record:
        """The seal of a chain that ends at `head`."""
        now, service = datetime.now(UTC), self._service()
        seal = {"count": head.sequence, "head": head.hash, "uptime_ms": uptime_ms(), "boot": boot}
        if kind.next_s is not None:
            seal["next_s"] = kind.next_s
        if kind.closing:
            seal["closing"] = True
        event = {
            "kind": "state",
            "category": ["configuration"],
            "type": ["info"],
            "action": SEALED_ACTION,
            "outcome": "success",
        }
        return begin(timestamp(now), f"{int(now.timestamp() * 1000):012x}{os.urandom(10).hex()}", "rq.audit", event) | {
            "ecs": service.ecs,
            "service": service.service,
            "host": service.host,
            "process": {"pid": service.pid},
            "audit": {"actor": {"type": "system"}, "seal": seal},
            "message": f"{head.id}: {head.sequence} records are sealed",
        }


def signer_of(key: Path) -> tuple[str, Sign]:
    """See signing.py, which is imported only where there is a key."""
    from . import signing

    return signing.signer_of(key)


def uptime_ms() -> int:
    """Milliseconds since the machine was started, which no change of its clock changes."""
    return time.clock_gettime_ns(_CLOCK) // 1_000_000 if _CLOCK is not None else time.monotonic_ns() // 1_000_000


def boot_id() -> str:
    """The id of this start of the machine; "" where there is none."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
