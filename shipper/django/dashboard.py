"""Wraps the one operation of django-rq's pages that does not use RQ's API: pushing a job again.

Their other operations (delete, requeue of failed jobs, empty, stop) call RQ methods that are wrapped already.
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
    """Wrap django_rq's `requeue_job`: "requeue" of the selected jobs of a list, and "enqueue" of one job."""
    if not apps.is_installed("django_rq"):
        return
    utils = import_module("django_rq.utils")
    original = getattr(utils, "requeue_job", None)
    if original is None:
        return  # an older release
    wrap(utils, "requeue_job", _requeue)
    views: Any = sys.modules.get("django_rq.views")  # the admin may have imported it, and requeue_job with it
    for alias, value in list(vars(views).items()) if views else []:
        if value is original:
            setattr(views, alias, utils.requeue_job)


def _requeue(original: Callable[..., Any], queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    return operate.report_requeue(job, lambda: original(queue, job, *args, **kwargs))
