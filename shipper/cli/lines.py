"""Records as lines: one for each record in a pipe, laid out for the width of a terminal. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from .. import fields
from ..printable import printable
from ..read.clock import Clock, time_of_day
from ..read.entry import TimelineEntry, entry
from ..records import Record

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_COLOURS = {"success": "green", "failure": "red"}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
SHORT = 8  # of the 32 digits of an id: enough to tell ten thousand jobs apart, and `shipper job` says if it is not
ONE_LINE = 130  # columns of a terminal from which on a record's message stands beside its other fields
INDENT = 14  # of a message below them
NOTHING = "-"
Field = tuple[str, int, str]
"""(text, least width, style)"""
# What may differ between the records that are shown: the path of the field.
SERVICE, HOST = ("service", "name"), ("host", "name")


def is_uuid(job_id: str) -> bool:
    """Whether it is a whole UUID, as RQ makes them."""
    return _UUID.fullmatch(job_id) is not None


def short_id(job_id: str) -> str:
    """The beginning of a UUID, as `shipper job` takes it. Another id is shown whole: its beginning says too little."""
    return job_id[:SHORT] if is_uuid(job_id) else job_id


@dataclass(slots=True)
class Layout:
    """How records are shown one after the other.

    `width`: the columns of the terminal; None for a pipe, where each record is one line with all of its time.
    `usual`: the value of service and host that all of the first records have. Where they differ, or a later record has
    another one, it is shown.
    """

    clock: Clock
    width: int | None = None
    usual: dict[tuple[str, ...], str | None] = field(default_factory=dict)
    _day: date | None = None

    def look_at(self, records: Iterable[Record]) -> None:
        """Learn from the first records what all of them share."""
        for path in (SERVICE, HOST):
            values = {fields.text(record, *path) for record in records}
            if len(values) == 1:
                self.usual[path] = values.pop()

    def texts(self, record: Record) -> Iterator[Text]:
        """The record's lines, after a line for the day if that is another one."""
        one = entry(record)
        if self.width is not None and (day := self.clock.at(one.at).date()) != self._day:
            self._day = day
            yield beside_each_other([(self.clock.day(one.at), 0, "bold")])
        message = printable(one.message.split("\n", 1)[0])
        if self.width is not None and self.width < ONE_LINE:
            yield from folded(self._fields(one), self.width)
            yield from wrapped(message, INDENT, self.width) if message else ()
            return
        head = beside_each_other(self._fields(one), padded=True)
        if self.width is None:
            yield head.append(f"  {message}")
        else:
            yield from _beside(head, message, self.width)

    def _fields(self, one: TimelineEntry) -> Iterator[Field]:
        """What stands before the message."""
        yield (self.clock.full(one.at) if self.width is None else time_of_day(self.clock.at(one.at))), 12, "dim"
        yield printable(one.action or one.dataset or NOTHING), 14, _COLOURS.get(one.outcome or "", "default")
        yield (printable(short_id(one.job_id)) if one.job_id else NOTHING), SHORT, "default"
        yield printable(one.user or NOTHING), 8, "magenta"
        yield printable(fields.text(one.record, "messaging", "destination", "name") or NOTHING), 10, "cyan"
        for path in (SERVICE, HOST):
            value = fields.text(one.record, *path)
            if path not in self.usual or value != self.usual[path]:
                yield printable(value or NOTHING), 10, "yellow"


def beside_each_other(of: Iterable[Field], *, padded: bool = False) -> Text:
    """The fields on one line, whatever its length. Not `padded`, it ends with the last that has a text."""
    from rich.text import Text

    line = Text("  ").join(Text(f"{value:{least}}", style=style) for value, least, style in of)
    if not padded:
        line.rstrip()
    return line


def folded(of: Iterable[Field], width: int) -> Iterator[Text]:
    """The fields on as few lines as they fit on; what is longer than a line is broken."""
    from rich.text import Text

    line = Text()
    for value, least, style in of:
        shown = Text(f"{value:{least}}", style=style)
        if line.cell_len and line.cell_len + 2 + len(value) > width:
            line.rstrip()
            yield line
            line = Text(" " * INDENT)
        elif line.cell_len:
            line.append("  ")
        line.append(shown)
        while line.cell_len > width and line.plain.rstrip() != line.plain[:width].rstrip():
            yield line[:width]
            line = Text(" " * INDENT) + line[width:]
    line.rstrip()
    yield line


def _beside(head: Text, message: str, width: int) -> Iterator[Text]:
    indent = head.cell_len + 2
    if indent > width - 40:  # no room for it: long ids
        yield head
        yield from wrapped(message, INDENT, width)
        return
    lines = list(wrapped(message, indent, width))
    yield head + "  " + lines[0][indent:] if lines else head
    yield from lines[1:]


@lru_cache(1)
def _measure(width: int) -> Console:
    """What counts columns: East Asian letters take two."""
    from rich.console import Console

    return Console(width=width)


def wrapped(message: str, indent: int, width: int) -> Iterator[Text]:
    """The message as lines of at most `width` columns."""
    from rich.text import Text

    for line in Text(message).wrap(_measure(width), max(width - indent, 20)):
        line.rstrip()
        yield Text(" " * indent) + line
