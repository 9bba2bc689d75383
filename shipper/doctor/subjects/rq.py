"""RQ as it is installed here, against the table of methods that are wrapped."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from ...emit.instrument import Problem
from ..finding import Finding, error, warning

SUBJECT = "RQ"


def findings(problems: Iterable[Problem]) -> Iterator[Finding]:
    """One for each difference."""
    for problem in problems:
        if problem.level >= logging.ERROR:
            yield error(SUBJECT, problem.text, "Until then, what is named is missing from the records.")
        else:
            yield warning(SUBJECT, problem.text, "Look for a newer rq-shipper, or use a release of RQ that was tested.")
