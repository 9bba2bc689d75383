"""The child of an RQ SpawnWorker is a new Python, which knows nothing of Django."""

from __future__ import annotations

import django

from ..guard import never_raise


def set_up() -> None:
    """Configure Django, and with it ourselves, before RQ runs the job. A job runs even if that fails."""
    with never_raise("django: setup"):
        django.setup()
