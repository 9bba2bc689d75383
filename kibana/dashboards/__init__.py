"""The pages, in the order of the links that lead from each to all others."""

from __future__ import annotations

from .audit import AUDIT
from .cron import CRON
from .customer import CUSTOMER_PAGE
from .failures import FAILURES
from .function import FUNCTION_PAGE
from .functions import FUNCTIONS
from .job import JOB_PAGE
from .overview import OVERVIEW
from .queue import QUEUE_PAGE
from .queues import QUEUES
from .queues_now import QUEUES_NOW
from .redis import REDIS
from .releases import RELEASES
from .shipper import SHIPPER
from .start import START
from .workers import WORKERS

# In two rows: what happened in the time range; what is true now, and what is about one of many.
DASHBOARDS = (
    OVERVIEW, FAILURES, RELEASES, FUNCTIONS, QUEUES, AUDIT, CUSTOMER_PAGE, FUNCTION_PAGE, QUEUE_PAGE, JOB_PAGE,
    QUEUES_NOW, WORKERS, REDIS, CRON, SHIPPER, START,
)  # fmt: skip
