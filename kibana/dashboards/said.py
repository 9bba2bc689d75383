"""Words to the reader that several pages have in common."""

from __future__ import annotations

NOW = "now, whatever the time range"
SAMPLED = "now: sampled within 6 minutes"
IN_RANGE = "in the time range"

NO_ATTEMPT = (
    "The share of failed attempts among those that ended by themselves. A job whose time to live ran out in its queue "
    "(expired) never ran: it is dead, but no failed attempt. The alarm function_failures counts in the same way."
)
FROM_WATCH = (
    "These figures come from `shipper watch`. Nothing here, or only N/A? Then none was sampled: "
    "[three things to check]({page:start})."
)
NOTHING_HERE = (
    "**N/A** means that nothing was recorded, not that all is well. Nothing here at all? "
    "[Three things to check]({page:start})."
)
