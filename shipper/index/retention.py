"""Retention: deletes whole indices whose days are over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from ..client import Cluster
from ..records import PERIODS, alias, indices
from ..settings import Settings


def period_end(dataset: str, suffix: str) -> datetime | None:
    """The end of the day or month in an index's suffix. None if the suffix is not one of the dataset's."""
    layout = PERIODS[dataset]
    try:
        start = datetime.strptime(suffix, layout).replace(tzinfo=UTC)
    except ValueError:
        return None
    if start.strftime(layout) != suffix:
        return None  # strptime also accepts 2026.1.2, which the shipper never creates
    if "%d" in layout:
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1)


def expired(names: Iterable[str], settings: Settings, now: datetime) -> list[str]:
    """The names of this namespace's indices that are past their dataset's retention."""
    past = []
    for dataset in PERIODS:
        kept = timedelta(days=settings.retention[dataset.removeprefix("rq.")])
        ours = re.compile(rf"{re.escape(alias(dataset))}-{re.escape(settings.namespace)}-([0-9.]+)")
        for name in names:
            if match := ours.fullmatch(name):
                end = period_end(dataset, match[1])
                if end is not None and end + kept <= now:
                    past.append(name)
    return sorted(past)


def prune(cluster: Cluster, settings: Settings, now: datetime, *, dry_run: bool = False) -> list[str]:
    """Delete expired indices, and return their names; with `dry_run` only return them. Raises DestinationError.

    Needs `view_index_metadata` and `delete_index` on the indices.
    """
    patterns = ",".join(indices(dataset, settings.namespace) for dataset in PERIODS)
    options = "expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true"
    existing = cluster.get(f"/{patterns}/_settings/index.uuid?{options}") or {}
    past = expired(list(existing), settings, now)
    if not dry_run:
        for name in past:
            cluster.delete(f"/{name}?ignore_unavailable=true")
    return past
