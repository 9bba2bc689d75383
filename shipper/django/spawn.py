"""Sets up Django in the child of an RQ SpawnWorker, which is a new Python process."""

from __future__ import annotations

import django

from ..guard import never_raise


def set_up() -> None:
    """Call `django.setup()`, which also instruments the process. Never raises, so that the job runs anyway."""
    with never_raise("django: setup"):
        django.setup()
