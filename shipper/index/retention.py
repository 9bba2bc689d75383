"""Retention: delete whole indices whose period is past, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from ..client import Cluster
from ..records import PERIODS, alias, indices
from ..settings import Settings


def period_end(dataset: str, suffix: str) -> datetime | None:
    """The moment at which the period named by an index's suffix is over. None if the suffix is not a period."""
    layout = PERIODS[dataset]
    try:
        start = datetime.strptime(suffix, layout).replace(tzinfo=UTC)
    except ValueError:
        return None
    if start.strftime(layout) != suffix:
        return None  # strptime also takes 2026.1.2, which we never write
    if "%d" in layout:
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1)


def expired(names: Iterable[str], settings: Settings, now: datetime) -> list[str]:
    """Those of the names that are indices of this namespace and have outlived their dataset's days."""
    past = []
    for dataset in PERIODS:
        kept = timedelta(days=settings.retention[dataset.removeprefix("rq.")])
        ours = re.compile(rf"{re.escape(alias(dataset))}-{re.escape(settings.namespace)}-([0-9.]+)")
        for name in names:
            if found := ours.fullmatch(name):
                end = period_end(dataset, found[1])
                if end is not None and end + kept <= now:
                    past.append(name)
    return sorted(past)


def prune(cluster: Cluster, settings: Settings, now: datetime, *, dry_run: bool = False) -> list[str]:
    """Delete what is expired and return the names; with `dry_run` only return them. Raises DestinationError.

    Needs `view_index_metadata` and `delete_index` on the indices.
    """
    patterns = ",".join(indices(dataset, settings.namespace) for dataset in PERIODS)
    these = "expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true"
    there = cluster.get(f"/{patterns}/_settings/index.uuid?{these}") or {}
    past = expired(list(there), settings, now)
    if not dry_run:
        for name in past:
            cluster.delete(f"/{name}?ignore_unavailable=true")
    return past
