"""The size of a job's result, measured where RQ pickles it, so that it is not pickled twice."""

from __future__ import annotations

from typing import Any

from ...guard import keep_back
from ..descriptors import Wrapper

_sizes: dict[str, int] = {}  # job id → bytes, from RQ's storing of the result to our record
_MAX_SIZES = 1000  # more than run at once in one process; bounds the memory


def size_of(job: Any) -> int | None:
    """The bytes of the result that RQ has just stored, once. None: it has stored none."""
    return _sizes.pop(job.id, None)


def serialize_result(original: Wrapper, result: Any, *args: Any, **kwargs: Any) -> Any:
    """Measure the result."""
    content = original(result, *args, **kwargs)
    try:
        text = content.get("return_value")
        if text:
            if len(_sizes) >= _MAX_SIZES:
                _sizes.clear()
            _sizes[result.job_id] = len(text) // 4 * 3 - text.count("=")  # RQ stores it as base64
    except Exception as error:
        keep_back(error, "result")
    return content
