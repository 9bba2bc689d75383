"""`shipper timeline`: what happened, in order."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain

import click
import orjson
from rich.console import Console
from rich.text import Text

from .. import client, settings
from ..read import timeline
from ..records import Record
from . import options

_COLOURS = {"success": "green", "failure": "red"}


@click.command()
@options.question(default_since="24h")
@options.elasticsearch
@options.namespace
@options.json
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens next, until Ctrl-C.")
def command(
    as_json: bool, follow: bool, since: str, until: str | None, elasticsearch: str | None, namespace: str | None,
    **restrictions: str | None,
) -> None:  # fmt: skip
    """Tell what happened, the oldest first."""
    made = settings.load({"elasticsearch": elasticsearch, "namespace": namespace})
    question = options.asked(since, until, **restrictions)
    with client.connect(made) as search:
        records = (timeline.follow if follow else timeline.query)(search, made, question)
        try:
            _print(records, as_json=as_json)
        except KeyboardInterrupt:
            return


def _print(records: Iterator[Record], *, as_json: bool) -> None:
    if as_json:
        for record in records:
            sys.stdout.buffer.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            sys.stdout.buffer.flush()
        return
    console = Console(soft_wrap=True, highlight=False)
    first = next(records, None)
    if first is None:
        console.print("No records. A wider --since, or another filter, may find some.", style="dim")
        return
    for record in chain([first], records):
        console.print(line(record))


def line(record: Record) -> Text:
    """A record as one line: when, what, on which queue, the sentence."""
    event = record.get("event", {})
    action = event.get("action", event.get("dataset", ""))
    queue = record.get("messaging", {}).get("destination", {}).get("name", "")
    text = Text(record["@timestamp"][:-4].replace("T", " "), style="dim")
    text.append(f"  {action:14}", style=_COLOURS.get(event.get("outcome", ""), "default"))
    text.append(f"  {queue:10}  ", style="cyan")
    text.append(record.get("message", "").split("\n", 1)[0], style="default")
    return text
