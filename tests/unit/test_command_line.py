"""The command line's own words: summaries, examples, completion, and what starting it costs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from shipper.cli import COMMANDS, cli, groups
from tests.programs import BIN, LIMIT_S

CLIENT = ("elasticsearch", "elastic_transport")


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command with its names: ("audit", "verify")."""
    yield path, group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands())


def _imported_by(*calls: list[str], among: tuple[str, ...], folder: Path) -> list[str]:
    """Which of these modules a new process has imported after these calls."""
    code = (
        "import sys\nfrom shipper.cli import cli\n"
        f"for call in {calls!r}:\n"
        "    try:\n        cli(call, standalone_mode=False)\n"
        "    except Exception as error:\n        print(error, file=sys.stderr)\n"
        f"print([name for name in {among!r} if name in sys.modules])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHIPPER_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
        env={**environment, "SHIPPER_STATE": str(folder / "state")},
    )
    return list(eval(done.stdout.splitlines()[-1]))  # noqa: S307 - our own list


def test_no_help_imports_the_elasticsearch_client(tmp_path: Path) -> None:
    calls = [[*path, "--help"] for path in ALL if path != ("worker",)]  # which asks RQ for its help
    assert _imported_by(*calls, among=CLIENT, folder=tmp_path) == []


def test_the_list_of_commands_imports_none_of_them(tmp_path: Path) -> None:
    assert _imported_by(["--help"], ["-h"], among=(*CLIENT, "rich", "redis", "rq"), folder=tmp_path) == []


def test_status_and_dead_letters_import_no_elasticsearch_client(tmp_path: Path) -> None:
    assert _imported_by(["status"], ["deadletter", "list"], among=CLIENT, folder=tmp_path) == []


def test_the_summaries_are_those_of_the_commands() -> None:
    assert {name: groups.summary(cli.get_command(click.Context(cli), name)) for name in COMMANDS} == COMMANDS  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [path for path, one in ALL.items() if isinstance(one, click.Group)])
def test_each_command_is_one_whole_line_of_80_columns(path: tuple[str, ...]) -> None:
    group = ALL[path]
    assert isinstance(group, groups.Group)
    said = group.get_help(click.Context(group, terminal_width=80)).splitlines()
    for name, summary in group.summaries().items():
        (line,) = [line for line in said if line.startswith(f"  {name} ")]
        assert line.endswith(f" {summary}")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_help_has_examples_that_are_accepted(path: tuple[str, ...]) -> None:
    command = ALL[path]
    said = command.get_help(click.Context(command, terminal_width=80))
    lines = said.partition("Examples:\n")[2].splitlines()
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" | ")[2] or line, comments=True)
        words = words[: words.index("<")] if "<" in words else words[: words.index(">")] if ">" in words else words
        arguments = words[words.index("shipper") + 1 :]
        assert tuple(arguments[: len(path)]) == path, "an example of another command"
        _accepted(cli, arguments)


def _accepted(command: click.Command, arguments: list[str]) -> None:
    """Parse the arguments down to the last command, as a call would."""
    try:
        context = command.make_context(command.name, list(arguments))
    except click.exceptions.Exit:
        return  # --help
    if isinstance(command, click.Group):
        name = "_protected_args" if hasattr(context, "_protected_args") else "protected_args"  # click 8.1
        _, inner, rest = command.resolve_command(context, [*getattr(context, name), *context.args])
        assert inner is not None
        _accepted(inner, rest)


def test_completion_knows_commands_and_flags_without_importing_them() -> None:
    def completed(*arguments: str, incomplete: str) -> list[str]:
        found = ShellComplete(cli, {}, "shipper", "_SHIPPER_COMPLETE").get_completions(list(arguments), incomplete)
        return [one.value for one in found]

    assert completed(incomplete="t") == ["timeline", "top"]
    assert completed("audit", incomplete="v") == ["verify"]
    assert "--customer" in completed("timeline", incomplete="--c")


@pytest.mark.parametrize("times", [1, 100_000], ids=["short", "long"])
def test_a_command_whose_reader_is_gone_ends_silently(times: int) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [BIN / "shipper", "redact"],
            input=b"hello " * times,
            stdout=theirs,
            stderr=subprocess.PIPE,
            check=False,
            timeout=LIMIT_S,
        )
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")
