"""Adds a job's arguments and meta to its record, redacted and size-limited."""

from __future__ import annotations

from ..records import Record
from ..redact import Redactor
from .snapshot import JobSnapshot

CUT_TAG = "contents-cut"


def add(record: Record, job: JobSnapshot, redactor: Redactor) -> Record:
    """Add `rq.args`, `rq.kwargs` and `rq.meta`, where this process knows them, and redact the labels.

    Changes and returns `record`. It is tagged `contents-cut` if values were too long, too deep or too many.
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
