"""Retention of state documents: a job that ended long ago needs none, and its user and error are not kept for ever.

All states of a namespace are in one index, so they are deleted one by one, by a task of Elasticsearch's that goes on
whoever waits for it. Jobs that have not ended are kept: they may still change.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from .. import fields
from ..client import Cluster
from ..errors import DestinationError, Refused
from ..records import timestamp
from ..settings import Settings
from ..state import ENDED_STATES, index_name

POLL_EVERY_S = 0.5


def expired(settings: Settings, now: datetime) -> dict[str, Any]:
    """The query for states past their days: of jobs that ended, by the time of their last change."""
    before = timestamp(now.astimezone(UTC) - timedelta(days=settings.retention["state"]))
    return {"bool": {"filter": [{"terms": {"state": list(ENDED_STATES)}}, {"range": {"updated_at": {"lt": before}}}]}}


def count(cluster: Cluster, settings: Settings, now: datetime) -> int:
    """How many states are past their days. Needs `read` on the index. Raises DestinationError."""
    body = {"query": expired(settings, now)}
    answer = cluster.post(f"/{index_name(settings.namespace)}/_count?ignore_unavailable=true", body)
    return _number(answer, "count")


def begin(cluster: Cluster, settings: Settings, now: datetime) -> str:
    """Have Elasticsearch delete them, and return the id of its task. Raises DestinationError.

    Needs `read` and `delete` on the index. A state that changes meanwhile is left alone.
    """
    options = "conflicts=proceed&wait_for_completion=false&ignore_unavailable=true"
    path = f"/{index_name(settings.namespace)}/_delete_by_query?{options}"
    try:
        answer = cluster.post(path, {"query": expired(settings, now)})
    except Refused as refused:
        if refused.status != 403:
            raise
        raise Refused(
            f"{refused} If it is the pruner's, it was made before states were pruned: delete its file, and run "
            "`shipper setup --roles` again.",
            403,
        ) from refused
    task = fields.text(answer, "task")
    if task is None:
        raise Refused(f"Elasticsearch began no deletion of states: it answered {str(answer)[:200]}.")
    return task


def wait(cluster: Cluster, task: str, progress: Callable[[int, int], object] = lambda *_: None) -> int:
    """Wait for the task, calling `progress(deleted, total)`, and return how many states it deleted.

    Needs the cluster privilege `monitor`. Raises DestinationError.
    """
    while True:
        answer = cluster.get(f"/_tasks/{task}")
        if answer is None:
            raise DestinationError("Elasticsearch knows nothing of the deletion any more. Run it again.")
        status = fields.part(answer, "task", "status")
        progress(_number(status, "deleted"), _number(status, "total"))
        if answer.get("completed") is not False:
            if failures := fields.value(answer, "response", "failures") or answer.get("error"):
                raise DestinationError(f"Elasticsearch could not delete all states: {failures}")
            return _number(status, "deleted")
        time.sleep(POLL_EVERY_S)


def _number(answer: object, name: str) -> int:
    return int(fields.number(answer, name) or 0)
