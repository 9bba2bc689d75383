"""Keeps a process from being forked while another thread holds one of our locks or imports one of our modules.

A forked child has only the thread that forked. A lock that another thread held stays locked in the child for ever; that
includes the import lock of each module. So imports and one-time initialisations happen under `no_fork`, and
`os.fork` waits for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

no_fork = threading.RLock()
"""While a thread is in `with no_fork:`, no other thread can fork. Only for one-time work that does not block."""

CAN_FORK = hasattr(os, "register_at_fork")  # Windows cannot

if CAN_FORK:
    # The forking thread holds the lock during the fork. It is also the child's only thread, so it can release it there.
    os.register_at_fork(before=no_fork.acquire, after_in_parent=no_fork.release, after_in_child=no_fork.release)


def in_each_child(call: Callable[[], object]) -> None:
    """Call this in every process that is forked from this one, right after the fork."""
    if CAN_FORK:
        os.register_at_fork(after_in_child=call)
