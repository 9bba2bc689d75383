"""What a process must not be forked in the middle of.

A child has only the thread that forked. A lock that another thread held at that moment stays locked in it for ever:
ours, and those of Python's imports, which every module has one of. So nothing of ours is imported or made for the
first time in a process while somebody forks it, and somebody who forks waits until that is done.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

no_fork = threading.RLock()
"""While a thread is in `with no_fork:`, no other thread can fork. For what happens once, and never waits for long."""

CAN_FORK = hasattr(os, "register_at_fork")  # Windows cannot

if CAN_FORK:
    # Whoever forks holds it meanwhile, and so does the child's only thread, which is the same one.
    os.register_at_fork(before=no_fork.acquire, after_in_parent=no_fork.release, after_in_child=no_fork.release)


def in_each_child(call: Callable[[], object]) -> None:
    """Call this in every process that is forked from this one, right after the fork."""
    if CAN_FORK:
        os.register_at_fork(after_in_child=call)
