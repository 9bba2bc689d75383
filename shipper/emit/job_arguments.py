"""What a job was called with and carries along, put on its record without what has to stay here."""

from __future__ import annotations

from ..records import Record
from ..redact import Redactor
from .snapshot import JobSnapshot

CUT_TAG = "contents-cut"


def add(record: Record, job: JobSnapshot, redactor: Redactor) -> Record:
    """Put `rq.args`, `rq.kwargs` and `rq.meta` on the record, as far as they are known here; keep labels clean too.

    A record from which something was cut, because it was too long, too deep or too much, is tagged.
    """
    rq, cut = record["rq"], False
    if job.args:
        shown, cut = redactor.positional(job.args, job.function)
        if shown:
            rq["args"] = shown
    if job.kwargs:
        rq["kwargs"], some = redactor.named(job.kwargs)
        cut |= some
    if job.meta:
        rq["meta"], some = redactor.named(job.meta)
        cut |= some
    if "labels" in record:
        record["labels"], _ = redactor.named(record["labels"])
    if cut:
        record["tags"] = [CUT_TAG]
    return record
