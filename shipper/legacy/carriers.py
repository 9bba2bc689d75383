"""Takes off what a collector wrote before a line: syslog, journald, container engines, Compose, Kubernetes, Heroku.

The formats are the patterns RQ_CARRIER_ of patterns/rq; here they are only chosen by how a line begins, which is
faster. Lines that are JSON objects are decoded: of Docker's json-file driver, `journalctl -o json`, JSON loggers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson

from . import grok
from .grok import Captures, Expression

# The first field that is there is used. The names are those of python-json-logger, structlog, ECS, bunyan, journald.
MESSAGES = ("message", "msg", "event", "MESSAGE", "log", "text")
TIMES = ("@timestamp", "timestamp", "asctime", "time", "ts", "created", "__REALTIME_TIMESTAMP", "datetime")
LEVELS = ("log.level", "levelname", "level", "severity", "PRIORITY")
LOGGERS = ("log.logger", "name", "logger", "logger_name")
HOSTS = ("_HOSTNAME", "hostname")
PIDS = ("_PID", "process", "pid")
STACKS = ("exc_info", "exception", "exc_text", "stack_trace", "error.stack_trace")

SOURCES_LIMIT = 100  # prefixes that are remembered for a file
_SOURCE_START = re.compile(r"\[(?:pod|container)/|[a-z0-9][a-z0-9.-]*-[a-z0-9]{1,10} [a-z0-9][a-z0-9-]* ")
_DIGITS = frozenset("0123456789")


class Line:
    """A line without its carrier. `sent` has the carrier's captures of a time: `date`, `clock`, `zone`, …

    `source` names the container or process that wrote the line, where several write to one file; `stream` is stdout or
    stderr. `partial`: the next line of this source continues it.
    """

    source = ""
    stream = ""
    host: str | None = None
    pid: int | None = None
    sent: Captures | None = None
    level: str | None = None
    logger: str | None = None
    partial = False

    def __init__(self, text: str) -> None:  # most lines have no carrier
        self.text = text


class Carriers:
    """Takes the carriers off a file's lines. Remembers prefixes without a time: a traceback's lines have them, too."""

    def __init__(self) -> None:
        self._sources: dict[str, None] = {}

    def line(self, text: str) -> Line:
        """The line without its carriers; carriers can be nested, such as Compose's around a container engine's."""
        if text[:1] == "{" and (decoded := _decoded(text)):
            return decoded
        line = Line(text)
        for _ in range(3):
            found = self._found(line.text)
            if found is None:
                break
            _add(line, found)
            if line.text[:1] == "{" and (inner := _decoded(line.text)):
                inner.source, inner.stream, inner.host = line.source, line.stream, inner.host or line.host
                inner.pid, inner.sent = inner.pid or line.pid, inner.sent or line.sent
                return inner
        return line

    def _found(self, text: str) -> Captures | None:
        for pattern in _candidates(text):
            if found := pattern.match(text):
                if "source" in found and "sent_clock" not in found and len(self._sources) < SOURCES_LIMIT:
                    self._sources[found["source"]] = None
                return found
        for prefix in self._sources:
            if text.startswith(prefix):
                return {"source": prefix, "line": text[len(prefix) :]}
        return None


def _candidates(text: str) -> Iterator[Expression]:  # noqa: C901 - a table
    """The patterns that can match, by the text's first characters."""
    patterns = _patterns()
    first = text[:1]
    if first in _DIGITS:
        if text[4:5] == "-":
            if text[10:11] == "T":
                yield patterns["CONTAINER"]
                yield patterns["TIMESTAMPS"]
                yield patterns["ISO"]
            elif text[19:20] != ",":  # Python's milliseconds
                yield patterns["JOURNAL"]
        elif text[10:11] == ".":
            yield patterns["JOURNAL_UNIX"]
        elif text[2:3] == ":" and " | " in text[:120]:
            yield patterns["PROGRAM"]
        elif " <" in text[:8]:
            yield patterns["RFC5424"]
    elif first == "<":
        yield patterns["RFC5424"]
        yield patterns["ISO"]
        yield patterns["SYSLOG"]
    elif first == "[" and text[1:2] in " 0123456789":
        yield patterns["JOURNAL_MONOTONIC"]
    elif text[3:4] == " " and text[8:9] == "-":
        yield patterns["JOURNAL"]
    elif text[3:4] == " " and text[4:6].strip().isdigit():
        yield patterns["SYSLOG"]
    if "| " in text[:300] or _SOURCE_START.match(text):
        yield patterns["CONTAINER"]
        yield patterns["TIMESTAMPS"]
        yield patterns["ISO"]
        yield patterns["SOURCE"]


@cache
def _patterns() -> dict[str, Expression]:
    return grok.compiled("RQ_CARRIER_")


def _add(line: Line, found: Captures) -> None:
    line.text = found.get("line", "")
    line.source += found.get("source", "").strip()
    line.stream = found.get("stream", line.stream)
    line.host = found.get("host", line.host)
    line.pid = int(found["pid"]) if "pid" in found else line.pid
    line.partial = found.get("partial") == "P"
    if "sent_clock" in found or "sent_epoch" in found:
        line.sent = {name[5:]: value for name, value in found.items() if name.startswith("sent_")}


def _decoded(text: str) -> Line | None:
    """The line that a JSON object contains. None if it has no message."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    message = _first(content, MESSAGES)
    if not isinstance(message, str):
        return None
    partial = "log" in content and "stream" in content and not message.endswith("\n")
    message = message.removesuffix("\n")
    stack = _first(content, STACKS)
    if isinstance(stack, str) and stack not in message:
        message += "\n" + stack
    name = _first(content, LOGGERS)
    level, pid, stream = _first(content, LEVELS), _first(content, PIDS), content.get("stream", "")
    line = Line(message)
    line.stream = stream if isinstance(stream, str) else ""
    line.host, line.pid = _text(_first(content, HOSTS)), _integer(pid)
    line.sent = _sent(_first(content, TIMES))
    line.level, line.logger, line.partial = _text(level), _text(name), partial
    return line


def _first(content: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        value = content.get(name)
        if value is None and "." in name:
            outer, _, inner = name.partition(".")
            value = content[outer].get(inner) if isinstance(content.get(outer), dict) else None
        if value is not None:
            return value
    return None


def _sent(value: Any) -> Captures | None:
    """The captures of a time: text in any of the formats, or a number of seconds, milliseconds or microseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:.6f}" if value < 1e11 else str(int(value))
    if not isinstance(value, str):
        return None
    if value.isdigit() and len(value) == 16:  # journald's, in microseconds
        return {"epoch": f"{value[:10]}.{value[10:]}"}
    return _stamp().match(value)


@cache
def _stamp() -> Expression:
    return Expression("RQ_STAMP")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return int(value) if str(value).isdigit() and not isinstance(value, bool) else None
