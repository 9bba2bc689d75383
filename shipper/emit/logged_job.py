"""RQ_JOB_CLASS=shipper.LoggedJob: a job class that differs from RQ's in nothing but that it is watched.

Importing this module instruments the process. That is its purpose: the unmodified `rq` command imports the
class it is told to use, and nothing else of ours.
"""

from rq.job import Job

from .instrument import instrument

instrument()


class LoggedJob(Job):
    """RQ's Job. A process that uses this class writes job records, as after `shipper.instrument()`."""
