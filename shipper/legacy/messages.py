"""Parses what RQ says in a line: the patterns RQ_LINE_ of patterns/rq. meanings/phrases.json says what it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from . import grok
from .grok import Captures, Expression
from .outline import Outline
from .tables import tables

# A text has to contain this for the pattern to match. Searching for it takes a tenth of the pattern's time.
_NEEDED = {
    "TASK_TIMED": "ask-", "TASK": "ask:", "OK": "Job OK", "START": ") (", "START_DESCRIBED": " (", "START_BARE": "-",
    "START_WORKER": "orker ", "START_OWN": " (", "RAISED": "exception raised while", "RAISED_UNNAMED": "\nTraceback",
    "RAISED_TRACEBACK": "Traceback", "KILLED": "terminated unexpectedly", "KILLED_FAILED": "terminated unexpectedly",
    "STOPPED": "stopped by user", "ABANDONED_MOVING": "AbandonedJobError", "ABANDONED": "AbandonedJobError",
    "RETRY": " for retry", "EXHAUSTED": "exceeded maximum", "PUSHED": "Pushing ", "COMPLETED": "Successfully completed",
    "ABOUT_JOB": "ob ", "ABOUT_JOB_WORKER": "ob ", "HORSE": "killed for job", "MOVED": "oving job to",
    "RESULT": "Result ",
    "WORKER": "orker ", "WORKER_STARTED": "orker", "NOTICE": "", "OTHER": "",
}  # fmt: skip
# Endings of RQ's that name no job. Other loggers may write such lines, too.
UNNAMED = frozenset(("traceback", "job ok", "stopped by user", "terminated unexpectedly"))

_CANDIDATE = "%{RQ_WORKER}%{RQ_QUEUE:rq_queue}: ?(?<rq_rest>[^\\n]+)"
_PUSHED = r"(?<rq_phrase>Pushing) (?<rq_function>[^\s(]+)\((?<rq_job_id>[^\n]+)\) to (?<rq_queue>[^\s]+)"
_FUNCTION = re.compile(r"[^\W\d][\w.]*(?:<[\w.<>]*)?|<[\w.<>]*")
_RQ_LOGGER = re.compile(r"(?:django_)?rq\b|rq_?scheduler|root\Z|__main__\Z|rq\.")


class Grammar:
    """The grammar with the setting `job_ids`: an expression for ids of jobs that are no UUIDs."""

    def __init__(self, job_ids: str | None = None) -> None:
        definitions = grok.with_own_ids(job_ids)
        self._patterns = [(_NEEDED[name], one) for name, one in grok.compiled("RQ_LINE_", definitions).items()]

    def parse(self, body: str, outline: Outline | None = None, offset: int = 0) -> Captures:
        """What a line says, without its head. `outline`: the file's, where the line is at `offset`."""
        found: Captures = {}
        for needed, pattern in self._patterns:
            if needed in body and (matched := pattern.match(body)) is not None:
                found = matched
                break
        if "phrase" in found or "notice" in found or "job_id" in found or outline is None or not outline.names_jobs():
            return found
        return _named_job(body, outline.names_later(offset)) or found


def meaning(captures: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The parts `event` and `rq` of the record of a line about a job's start or end; None for any other line."""
    phrases = tables()["phrases"]
    if "phrase" not in captures:
        return phrases["started"] if "job_id" in captures and "queue" in captures else None
    phrase = captures["phrase"].lower()
    logger = captures.get("logger")
    if phrase in UNNAMED and "job_id" not in captures and logger and not _RQ_LOGGER.match(logger):
        return None
    return phrases.get(phrase)


def is_about_job(text: str) -> bool:
    """Whether a line without a time is one of RQ's about a job's start or end, and not a part of an exception."""
    if not any(
        part in text for part in ("Job OK", "-", "exception raised while", "terminated unex", "stopped by user")
    ):
        return False
    captures = _default().parse(text)
    return "phrase" in captures or ("job_id" in captures and "queue" in captures)


def function_of(captures: Mapping[str, str]) -> str | None:
    """The dotted name of the job's function, if it is in the line."""
    if "function" in captures:
        return captures["function"]
    if "task" in captures:
        task = captures["task"].strip().rstrip(",")
        name = task.partition("(")[0]
        return (name if _is_function(name) else task) or None
    name, found, _ = captures.get("description", "").partition("(")
    return name if found and _is_function(name) else None


@lru_cache(maxsize=1000)
def _is_function(name: str) -> bool:
    return _FUNCTION.fullmatch(name) is not None


def _named_job(body: str, is_named: Callable[[str], bool]) -> Captures | None:
    """The captures of a start or push whose id a later line names. None if there is none."""
    found = _candidate().match(body)
    if found is None:
        found = _pushed().match(body) if body.startswith("Pushing ") else None
        return found if found and is_named(found["job_id"]) else None
    rest = found.pop("rest").rstrip()
    if is_named(rest):
        return {**found, "job_id": rest}
    if not rest.endswith(")"):
        return None
    at = rest.find(" (")
    while at >= 0:
        if is_named(rest[at + 2 : -1]):
            return {**found, "description": rest[:at], "job_id": rest[at + 2 : -1]}
        at = rest.find(" (", at + 1)
    return None


@cache
def _default() -> Grammar:
    return Grammar()


@cache
def _candidate() -> Expression:
    return Expression("candidate", {**grok.patterns(), "candidate": _CANDIDATE})


@cache
def _pushed() -> Expression:
    return Expression("pushed", {**grok.patterns(), "pushed": _PUSHED})
