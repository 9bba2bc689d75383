"""docs/reference/commands.md: each command with its help, arguments, options, examples and exit status."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from shipper.cli import cli

from .markdown import code, page, table

TITLE = "Commands and exit statuses"


def commands() -> Iterator[click.Context]:
    """Every command that can be called, in the order of `--help`, with its full name."""
    yield from _below(click.Context(cli, info_name="shipper"))


def _below(context: click.Context) -> Iterator[click.Context]:
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    if command.invoke_without_command:
        yield context
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None and not found.hidden:
            yield from _below(click.Context(found, info_name=name, parent=context))


def made() -> str:
    """The page."""
    found = list(commands())
    statuses = [(code(one.command_path), said) for one in found if (said := exit_status(one.command))]
    return page(
        TITLE,
        "What `shipper COMMAND --help` shows, on one page. How commands behave in terminals and pipes, and completion: "
        "[commands.md](../commands.md). Settings are named in brackets: [settings.md](../settings.md).",
        "## Exit statuses",
        "0: it is done. 1: it could not be done, and one line on stderr says why and what to do. 2: a setting, a flag "
        "or an argument is wrong. Commands that have others, or mean more by them:",
        table(("command", "exit status"), statuses),
        *(_section(one) for one in found),
    )


def _section(context: click.Context) -> str:
    command = context.command
    parts = [f"## {context.command_path}", _prose(command.help or "")]
    usage = " ".join(command.collect_usage_pieces(context))
    parts.append(_verbatim(f"{context.command_path} {usage}"))
    options = [_option(one) for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if options:
        parts.append(table(("option", "default", "meaning"), options))
    if examples := _examples(command):
        parts.append("Examples:\n\n" + _verbatim("\n".join(examples)))
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """A help text as Markdown. What is marked with \\b keeps its lines."""
    blocks = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(_verbatim(block[2:]) if block.startswith("\b\n") else _joined(block) for block in blocks)


def _verbatim(text: str) -> str:
    return f"```text\n{inspect.cleandoc(text)}\n```"


def _joined(text: str) -> str:
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    """Text whose * and < mean themselves, outside of inline code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _option(option: click.Option) -> tuple[str, str, str]:
    names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else f" {code(option.make_metavar(click.Context(click.Command('x'))))}"
    default = str(option.default) if option.show_default and option.default is not None else ""
    return f"{names}{value}", code(default), _joined(option.help or "")


def _examples(command: click.Command) -> list[str]:
    """The lines of the examples at the end of a help text."""
    lines = inspect.cleandoc((command.epilog or "").replace("\b", "")).splitlines()
    return [line.strip() for line in lines if line.strip() and line.strip() != "Examples:"]


def exit_status(command: click.Command) -> str:
    """What the help says of the exit status. Empty if it says nothing."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    found = next((text for text in paragraphs if "Exit status" in text), "")
    return _joined(found.partition("Exit status")[2].lstrip(" ,:"))
