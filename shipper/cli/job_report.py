"""What `shipper job` knows of a job: asked of Redis and Elasticsearch, of which either may be away, and shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click
from redis import RedisError
from rich.text import Text

from .. import client, fields, jobs
from ..errors import DestinationError, ShipperError
from ..live import jobs as live
from ..live.connection import connect
from ..live.jobs import JobState
from ..printable import printable as whole
from ..printable import printable_lines
from ..read import attempts, related, timeline
from ..read.attempts import Attempt
from ..read.clock import Clock
from ..read.related import Found
from ..records import Record
from ..redact import Redactor
from ..settings import Settings
from . import lines
from .lines import Layout, wrapped
from .shown import printable, span

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

CANDIDATES = 6  # jobs that are named if a beginning is that of several
_LABEL = 11  # columns of a name on the left


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A job. `parents`: those that enqueued it or that it waited for. `children`: those that it led to in these ways.

    `arguments`: positional ones by number, others by name, redacted as on the records. `asked_by`: user, customer,
    service, host, process, request and trace of its first push.
    """

    state: JobState | None
    stack_trace: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    asked_by: dict[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    parents: list[Found] = field(default_factory=list)
    children: list[Found] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


# --- asking -----------------------------------------------------------------------------------------------


def resolve(given: str, config: Settings) -> str:
    """The id of the one job whose id is this, or begins so. The text itself if no job is known.

    Raises ShipperError, with their names, if there are several.
    """
    found: dict[str, Found | None] = {}
    with suppress(RedisError), connect(config) as redis:  # that it is away is said when the job is asked for
        if live.get(redis, given) is not None:
            return given
    with suppress(DestinationError), client.connect_reader(config) as search:
        if related.by_ids(search, config, [given]):
            return given
        found |= {one.job_id: one for one in related.beginning_with(search, config, given, CANDIDATES)}
    if not lines.is_uuid(given):
        with suppress(RedisError), connect(config) as redis:  # last, as it looks at every key
            found = dict.fromkeys(live.ids_beginning(redis, given, CANDIDATES)) | found
    if len(found) < 2:
        return next(iter(found), given)
    names = [f"  {printable(job_id)}{f'  {printable(one.function)}' if one and one.function else ''}"
             for job_id, one in sorted(found.items())]  # fmt: skip
    several = "\n".join(names[: CANDIDATES - 1] + ["  …"] * (len(names) >= CANDIDATES))
    raise ShipperError(f"The ids of several jobs begin with {given}. Give more of it:\n{several}")


def read(job_id: str, config: Settings) -> Report:
    """All that is known. What Redis or Elasticsearch would add is said on stderr if one of them cannot be asked.

    Raises ShipperError if nobody knows the job.
    """
    state, trace, redis_error = _from_redis(job_id, config)
    try:
        with client.connect_reader(config) as search:
            return _complete(search, config, job_id, state, trace)
    except DestinationError as error:
        if state is None:
            raise
        click.echo(f"Only Redis was asked: {whole(error)}", err=True)
        return Report(state=state, stack_trace=trace)
    finally:
        if redis_error:
            click.echo(
                f"Redis cannot be asked ({whole(redis_error)}). Is it running, and is SHIPPER_REDIS right?", err=True
            )


def _from_redis(job_id: str, config: Settings) -> tuple[JobState | None, str | None, RedisError | None]:
    try:
        with connect(config) as redis:
            state, trace = live.get(redis, job_id), live.stack_trace(redis, job_id)
    except RedisError as error:
        return None, None, error
    if state is None:
        return None, None, None
    redactor = Redactor(config.redact)
    return jobs.redacted(state, config), redactor.text(trace) if trace else None, None


def _complete(
    search: Elasticsearch, config: Settings, job_id: str, state: JobState | None, trace: str | None
) -> Report:
    with closing(timeline.query(search, config, timeline.Query(job=job_id))) as found:
        records = list(found)
    state = state or jobs.from_elasticsearch(job_id, config)
    if state is None and not records:
        raise ShipperError(
            f"Nobody knows a job {job_id}: neither Redis nor Elasticsearch (namespace {config.namespace})."
        )
    own = [record for record in records if fields.text(record, "event", "dataset") == "rq.job"]
    return Report(
        state=state,
        stack_trace=_latest(own, "error", "stack_trace") or trace,
        arguments=_arguments(own),
        asked_by=_asked_by(own),
        attempts=attempts.attempts(own),
        parents=_known(related.by_ids(search, config, ids), ids) if (ids := _parent_ids(own)) else [],
        children=related.children(search, config, job_id),
        records=records,
    )


def _latest(records: Iterable[Record], *path: str) -> str | None:
    return next((found for record in reversed(list(records)) if (found := fields.text(record, *path))), None)


def _arguments(records: list[Record]) -> dict[str, Any]:
    for record in reversed(records):
        args, kwargs = fields.part(record, "rq", "args"), fields.part(record, "rq", "kwargs")
        if args or kwargs:
            return {**args, **kwargs}
    return {}


_ASKER: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "id"),
    "customer": ("organization", "id"),
    "service": ("service", "name"),
    "host": ("host", "name"),
    "process": ("process", "pid"),
    "request": ("http", "request", "id"),
    "trace": ("trace", "id"),
    "cause": ("rq", "cause"),
}


def _asked_by(records: list[Record]) -> dict[str, str]:
    """Of the first push; of the first record at all if the push was not recorded, without the worker's own place."""
    pushes = [one for one in records if fields.text(one, "event", "action") in ("job-enqueued", "job-scheduled")]
    if not records:
        return {}
    names = _ASKER if pushes else {name: _ASKER[name] for name in ("user", "customer", "trace")}
    first = (pushes or records)[0]
    return {name: found for name, path in names.items() if (found := fields.text(first, *path))}


def _parent_ids(records: list[Record]) -> list[str]:
    ids: dict[str, None] = {}
    for record in records:
        if parent := fields.text(record, "rq", "parent_job_id"):
            ids[parent] = None
        waited_for = fields.value(record, "rq", "depends_on")
        ids |= dict.fromkeys(map(str, waited_for if isinstance(waited_for, list) else []))
    return list(ids)


def _known(found: list[Found], ids: list[str]) -> list[Found]:
    """Those that were found, and by their ids alone those whose records are gone."""
    by_id = {one.job_id: one for one in found}
    return [by_id.get(one) or Found(job_id=one, function=None, action=None, at=None) for one in ids]


# --- showing ----------------------------------------------------------------------------------------------


def texts(report: Report, clock: Clock, width: int | None) -> Iterator[Text]:
    """The report as lines: first what failed and why, last the records."""
    for name, value, style in _facts(report, clock):
        yield from _fact(name, value, style, width)
    if report.attempts:
        yield _heading("Attempts")
        yield from (_attempt(one, clock) for one in report.attempts)
    for name, found in (("Comes from", report.parents), ("Led to", report.children)):
        if found:
            yield _heading(name)
            yield from (_related(one, clock) for one in found)
    if report.stack_trace:
        yield _heading("Stack trace")
        yield from (Text(f"  {line}") for line in printable_lines(report.stack_trace.rstrip()).split("\n"))
    if report.records:
        yield _heading("Records")
        layout = Layout(clock, width)
        layout.look_at(report.records)
        for record in report.records:
            yield from layout.texts(record)


def _heading(name: str) -> Text:
    return Text(f"\n{name}", style="bold")


def _facts(report: Report, clock: Clock) -> Iterator[tuple[str, str, str]]:
    """(name, value, style) of what is known."""
    state = report.state
    arguments = [f"{'' if name.isdecimal() else f'{name}='}{value!r}" for name, value in report.arguments.items()]
    asked_by = report.asked_by or _named(state, "user", "customer")
    facts = {
        **_named(state, "job_id"),
        "state": _state_now(state, clock) if state else None,
        **_named(state, "error", "function", "queue", "worker", "family"),
        "arguments": ", ".join(arguments),
        "asked by": ", ".join(f"{name} {value}" for name, value in asked_by.items()),
        **_named(state, "attempt"),
        "created": clock.full(state.created_at) if state and state.created_at else None,
        "progress": _progress(state),
    }
    for name, value in facts.items():
        if value:
            yield name.replace("_", " "), value, "red" if name == "error" else ""


def _named(state: JobState | None, *names: str) -> dict[str, str]:
    """Those of the state's fields that it has."""
    return {name: str(value) for name in names if (value := getattr(state, name, None)) is not None}


def _state_now(state: JobState, clock: Clock) -> str:
    since = f", since {clock.full(state.updated_at)}" if state.updated_at else ""
    return f"{state.state}{since}{', as Redis has it now' if state.live else ''}"


def _progress(state: JobState | None) -> str | None:
    if state is None or state.percent is None:
        return None
    return f"{state.percent:g} %{f', {state.message}' if state.message else ''}"


def _fact(name: str, value: str, style: str, width: int | None) -> Iterator[Text]:
    """A name and its value, which is wrapped beside the name."""
    shown, indent = printable(value, 2000), _LABEL + 1
    parts = [Text(" " * indent + shown)] if width is None else list(wrapped(shown, indent, width))
    yield Text.assemble((f"{name:{_LABEL}}", "dim"), " ", (parts[0].plain[indent:], style))
    for line in parts[1:]:
        line.stylize(style)
        yield line


def _attempt(one: Attempt, clock: Clock) -> Text:
    number = "-" if one.attempt is None else one.attempt
    ran = "runs" if one.end is None else f"ran {span(one.ran_s)}"
    line = Text(f"  {number:>3}  waited {span(one.waited_s):>6}  {ran:>10}  ")
    end = "" if one.end is None else f"{one.end}{f' ({one.reason})' if one.reason else ''}"
    line.append(printable(end), style={"finished": "green", None: ""}.get(one.end, "red"))
    where = [
        clock.full(one.started) if one.started else "",
        f"on {one.worker or one.host}" if one.worker or one.host else "",
    ]
    line.append(f"  {' '.join(printable(part) for part in where if part)}", style="dim")
    if one.inferred:
        line.append("  nobody saw it end", style="dim")
    return line


def _related(one: Found, clock: Clock) -> Text:
    known = (one.function, one.action, clock.full(one.at) if one.at else None)
    return Text(
        f"  {printable(one.job_id)}  {'  '.join(printable(part) for part in known if part) or 'no records of it'}"
    )
