"""The table of samples in logstash/samples: text logs, and beside each the records that must come of it.

`python -m tests.legacy_samples` writes the expectations anew, for somebody to read through before they are kept.
An expectation has the record as it must be; `paired` is there where a line's record is another one when starts and
ends are put together. What is the same on all records (service, host, file, ecs, the id) is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from shipper.legacy import dates, multiline
from shipper.legacy.carriers import Carriers
from shipper.legacy.messages import Grammar
from shipper.legacy.outline import Outline
from shipper.legacy.pairing import OpenJobs
from shipper.legacy.record import LogSource, ParsedLine, build
from shipper.redact.text import TextRules

FOLDER = Path(__file__).parent.parent / "logstash/samples"
HOST = "sample-host"
_RULES = TextRules()
HUGE = "10:05:00 default: Job OK " + "x" * 1_000_000  # a line of 1 MB, which no repository needs to hold

# When a file was last written to, and the zone of its times.
WRITTEN = {
    "task-logger.log": ("2021-01-13T12:00:00Z", "UTC"),
    "worker-0.8.log": ("2021-01-14T00:00:11Z", "UTC"),
    "worker-1.16.log": ("2023-06-01T08:03:14Z", "UTC"),
    "worker-2.12.log": ("2026-11-20T10:01:17Z", "UTC"),
    "worker-dated.log": ("2026-03-30T00:00:00Z", "Europe/Berlin"),
    "django-rq.log": ("2022-05-01T14:00:07Z", "UTC"),
    "rq-scheduler.log": ("2026-01-02T09:00:04Z", "UTC"),
    "carriers.log": ("2026-01-03T10:04:04Z", "UTC"),
    "application.log": ("2026-01-05T10:00:03Z", "UTC"),
    "ugly.log": ("2021-01-13T10:05:01Z", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A record of a sample: its text, and what must come of it `alone` and `paired`."""

    file: str
    text: str
    alone: dict[str, Any]
    paired: dict[str, Any]


def content(name: str) -> bytes:
    """A sample's bytes; to the ugly ones a line is added that is too long to be kept."""
    data = (FOLDER / name).read_bytes()
    return data + b"\n" + HUGE.encode() + b"\n" if name == "ugly.log" else data


def write(path: Path, name: str) -> Path:
    """A sample as a file that was last written to when the table says."""
    path.write_bytes(content(name))
    when = datetime.fromisoformat(WRITTEN[name][0]).timestamp()
    os.utime(path, (when, when))
    return path


def expected(name: str) -> list[Sample]:
    """What must come of a file, in its order."""
    found = []
    for line in (FOLDER / name).with_suffix(".expected.jsonl").read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        found.append(Sample(name, one["text"], one["alone"], one.get("paired", one["alone"])))
    return found


def made(name: str) -> Iterator[Sample]:
    """What our own grammar makes of a file."""
    written, zone = WRITTEN[name]
    data, local, jobs, grammar = content(name), ZoneInfo(zone), OpenJobs(), Grammar()
    outline = Outline(dates.last_written(Path(name), datetime.fromisoformat(written)), local)
    outline.learn([data], 0)
    for record in multiline.records_in(data, Carriers()):
        first, text = record[0], _RULES.redacted(multiline.text_of(record))
        moment, is_dated = outline.moment(first.line.sent, first.head, first.offset)

        def line(captures: dict[str, str]) -> ParsedLine:
            captures = {**first.head, **captures}  # noqa: B023 - called at once
            return ParsedLine(text, captures, moment, is_dated, first.line.host, first.line.pid)  # noqa: B023

        source = LogSource(HOST, name, {})
        alone = build(line(grammar.parse(text)), source, "")
        one = line(grammar.parse(text, outline, first.offset))
        paired = build(one, source, "")
        jobs.join(paired, one, (name, first.line.source), first.offset, outline)
        shown = multiline.raw_of(record).decode("utf-8", "backslashreplace")
        yield Sample(name, shown if len(shown) < 10_000 else shown[:30], bare(alone), bare(paired))


def bare(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what is the same on all."""
    record = deepcopy(record)
    record.pop("service", None)
    record.pop("ecs", None)
    record["event"].pop("id", None)
    if record["host"]["name"] == HOST:
        del record["host"]
    del record["log"]["file"]
    if not record["log"]:
        del record["log"]
    if len(record["message"]) > 10_000:
        record["message"] = f"{record['message'][:30]}… {len(record['message'])} characters"
    return record


def main() -> None:
    for name in WRITTEN:
        with (FOLDER / name).with_suffix(".expected.jsonl").open("w", encoding="utf-8") as file:
            for sample in made(name):
                one = {"text": sample.text, "alone": sample.alone}
                if sample.paired != sample.alone:
                    one["paired"] = sample.paired
                file.write(json.dumps(one, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
