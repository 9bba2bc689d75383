"""Groups of commands: each command's summary whole, and the names of commands without importing them."""

from __future__ import annotations

import inspect
from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem


def summary(command: click.Command) -> str:
    """The first paragraph of a command's help, as one line."""
    return " ".join(inspect.cleandoc(command.help or "").split("\n\n", 1)[0].split())


class Group(click.Group):
    """A group that lists its commands with their summaries. click's own cuts them to what fits on a line."""

    def summaries(self) -> Mapping[str, str]:
        return {name: summary(command) for name, command in sorted(self.commands.items())}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries().items()))


class LazyGroup(Group):
    """A group that imports a command when it is used: neither --help nor completion imports any of them.

    `known` has the summary of each command by its name, in the order of --help. The command NAME is `command` in the
    module NAME of this package.
    """

    known: Mapping[str, str] = {}

    def summaries(self) -> Mapping[str, str]:
        return self.known

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.known)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in self.known:
            return None
        command: click.Command = import_module(f".{name}{'_' * iskeyword(name)}", __package__).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, text in self.known.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)
