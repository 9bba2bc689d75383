"""Who holds which critical section; and releasing one for an operator, whoever holds it."""

from __future__ import annotations

from typing import Any

from .. import settings as settings_module
from ..emit import snapshot
from ..emit.patches.operate import report, with_reason
from ..errors import ShipperError
from ..live.connection import connect
from ..sections import listing, store
from ..sections.listing import HeldSection
from ..settings import Settings
from .single import prepared, read


def held_sections(*, settings: Settings | None = None, redis: Any = None) -> list[HeldSection]:
    """The sections that are held or waited for. Raises redis.RedisError."""
    return list(listing.held(redis if redis is not None else connect(settings or settings_module.load())))


def release_section(name: str, *, reason: str, settings: Settings | None = None, redis: Any = None) -> None:
    """Let others into a section that a job holds, as an audited act.

    The holder is not stopped: it goes on, with a fence that is too small from now on, and its `section.lost` is true
    from its next beat. Raises ShipperError if nobody holds it.
    """
    connection = prepared(settings, redis)
    holder = store.evict(connection, name)
    if not holder:
        raise ShipperError(f"Nobody holds a section {name}. `shipper locks` shows those that are held.")
    job = read(connection, holder["job"]) if holder.get("job") else None
    with with_reason(reason):
        report(
            "section-released",
            "change",
            snapshot.from_job(job) if job is not None else None,
            ("section", name, store.parse_who(holder["who"])[0] or None),
            f"held by job {holder['job']}" if holder.get("job") else "held by a process that runs no job",
        )
