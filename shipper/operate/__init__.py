"""Acts on jobs: run again, cancel, stop or discard one, or a whole filtered set. Each act is audited.

shipper.operate.requeue(job_id, reason="the card server is back")
shipper.operate.requeue_all(function="shop.jobs.charge_card", error="timed out", reason="…")

The actor is that of `shipper.actor(…)`, else SHIPPER_ACTOR or the login name. The process is instrumented by the first
call, as after `shipper.instrument()`. No payload is unpickled.
"""

from .bulk import Outcome, discard_all, requeue_all
from .sections import held_sections, release_section
from .single import cancel, discard, requeue, stop

__all__ = [
    "Outcome",
    "cancel",
    "discard",
    "discard_all",
    "held_sections",
    "release_section",
    "requeue",
    "requeue_all",
    "stop",
]
