"""RQ_JOB_CLASS=shipper.LoggedJob: a job class that instruments the worker that imports it.

Importing this module calls `instrument()`, on purpose: the unmodified `rq` command imports the job class it is
configured with, and nothing else of this package.
"""

from rq.job import Job

from .instrument import instrument

instrument()


class LoggedJob(Job):
    """RQ's Job, unchanged. A process that imports it writes job records, as after `shipper.instrument()`."""
