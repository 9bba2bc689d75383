"""`shipper redact`: text or JSON without its secrets, as the emitters would write it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
import orjson

from .. import settings
from ..redact import Redactor
from . import options


@click.command(epilog=options.examples("shipper redact --try 'password=hunter2'", "shipper redact < error.txt"))
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option("--try", "trying", is_flag=True, help="Also name the rules that found something, on stderr.")
def command(texts: tuple[str, ...], trying: bool) -> None:
    """Show texts without their secrets.

    By the rules that records are written with (setting `redact`). Each TEXT, or all of stdin, is a free text such as an
    error message. A JSON object is redacted by the names in it, too, as the keyword arguments of a job are.
    """
    redactor = Redactor(settings.load().redact)
    for text in texts or _stdin():
        sys.stdout.buffer.write(_redacted(redactor, text) + b"\n" * (bool(texts) or not text.endswith("\n")))
        if trying:
            found = redactor.findings(text)
            click.echo(
                f"found by the rules: {', '.join(found)}" if found else "no rule for texts finds anything", err=True
            )


def _redacted(redactor: Redactor, text: str) -> bytes:
    if text.lstrip().startswith("{"):
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError:
            values = None
        if isinstance(values, dict):
            return orjson.dumps({name: redactor.value(name, value) for name, value in values.items()})
    return redactor.text(text).encode("utf-8", "backslashreplace")


def _stdin() -> Iterable[str]:
    yield sys.stdin.buffer.read().decode("utf-8", "backslashreplace")
