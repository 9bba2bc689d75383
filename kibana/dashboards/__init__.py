"""The pages, in the order of the links that lead from each to all others."""

from __future__ import annotations

from .audit import AUDIT
from .customer import CUSTOMER_PAGE
from .failures import FAILURES
from .functions import FUNCTIONS
from .job import JOB_PAGE
from .overview import OVERVIEW
from .queues import QUEUES
from .shipper import SHIPPER
from .start import START

DASHBOARDS = (OVERVIEW, FUNCTIONS, QUEUES, FAILURES, JOB_PAGE, CUSTOMER_PAGE, AUDIT, SHIPPER, START)
