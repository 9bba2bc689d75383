"""What django-rq's pages do past RQ's own API: they push a job again by a function of django-rq's.

All else that the pages do (delete, requeue failed ones, empty, stop) goes through what is wrapped of RQ.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.apps import apps

from ..emit.patches import operate
from .patching import wrap


def wrap_requeue() -> None:
    """Tell of a job that is pushed from wherever it lies: the action "requeue" of a list, "enqueue" of a job."""
    if not apps.is_installed("django_rq"):
        return
    utils = import_module("django_rq.utils")
    original = getattr(utils, "requeue_job", None)
    if original is None:
        return  # an older release
    wrap(utils, "requeue_job", _requeue)
    views: Any = sys.modules.get("django_rq.views")  # the admin may have loaded it before us
    for alias, value in list(vars(views).items()) if views else []:
        if value is original:
            setattr(views, alias, utils.requeue_job)


def _requeue(original: Callable[..., Any], queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    return operate.requeued(job, lambda: original(queue, job, *args, **kwargs))
