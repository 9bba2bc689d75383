"""Retention: deletes whole indices whose days are over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from ..client import Cluster
from ..errors import LifecycleError
from ..records import DAY, MONTH, PERIODS, alias, indices
from ..settings import Settings


def period_end(dataset: str, suffix: str) -> datetime | None:
    """The end of the day or month in an index's suffix. None if the suffix is not one of the dataset's.

    Datasets with daily indices may have monthly ones, too, by the setting `index_period`.
    """
    for layout in {PERIODS[dataset], MONTH}:
        try:
            start = datetime.strptime(suffix, layout).replace(tzinfo=UTC)
        except ValueError:
            continue
        if start.strftime(layout) != suffix:
            continue  # strptime also accepts 2026.1.2, which the shipper never creates
        return start + timedelta(days=1) if layout == DAY else (start + timedelta(days=32)).replace(day=1)
    return None


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


def prune(
    cluster: Cluster,
    settings: Settings,
    now: datetime,
    moved: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    dry_run: bool = False,
) -> list[str]:
    """Delete expired indices, and return their names; with `dry_run` only return them. None with `lifecycle=ilm`.

    `moved` is called with how many are deleted, and how many there are. If it is interrupted, the next call goes on.
    Needs `view_index_metadata` and `delete_index` on the indices. Raises DestinationError, and LifecycleError if ILM
    would delete them, too.
    """
    if settings.lifecycle == "ilm":
        return []
    existing = has_policy(cluster, settings)
    managed = sorted(name for name, is_managed in existing.items() if is_managed)
    if managed:
        raise LifecycleError(
            f"The index {managed[0]} has an ILM policy ({len(managed)} indices in all), and only one may delete it. "
            "Set SHIPPER_LIFECYCLE=ilm; or take the policies away: POST /rq-*/_ilm/remove, then `shipper setup`."
        )
    past = expired(existing, settings, now)
    for done, name in enumerate(past if not dry_run else ()):
        moved(done, len(past))
        cluster.delete(f"/{name}?ignore_unavailable=true")
    return past


def has_policy(cluster: Cluster, settings: Settings) -> dict[str, bool]:
    """The namespace's indices, and whether each has an ILM policy. Needs `view_index_metadata`.

    Raises DestinationError.
    """
    patterns = ",".join(indices(dataset, settings.namespace) for dataset in PERIODS)
    options = "expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true"
    existing = cluster.get(f"/{patterns}/_settings/index.uuid,index.lifecycle.name?{options}") or {}
    return {name: "lifecycle" in found["settings"].get("index", {}) for name, found in existing.items()}
