"""The table of all settings, for people. docs/settings.md and what `shipper init` writes are made from it.

It is setting_table.toml. `settings.py` reads and checks the values.
"""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from .settings import SECRET

WIDTH = 100  # of the comments in a settings file


class Declared(NamedTuple):
    """A setting, or two that belong together. `default` and `text` are Markdown, `examples` TOML, one for each name."""

    names: tuple[str, ...]
    default: str
    text: str
    examples: tuple[str, ...]


class Group(NamedTuple):
    """Settings of one subject."""

    title: str
    settings: tuple[Declared, ...]


def groups() -> list[Group]:
    """All settings, in the order in which people should read them."""
    table = tomllib.loads(files(__package__).joinpath("setting_table.toml").read_text(encoding="utf-8"))
    return [
        Group(
            group["title"],
            tuple(
                Declared(tuple(one["names"]), one["default"], one["text"], tuple(one["examples"]))
                for one in group["settings"]
            ),
        )
        for group in table["groups"]
    ]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"SHIPPER_{name.upper()}"


def markdown() -> str:
    """A table for each group, as docs/settings.md has them."""
    return "\n".join(_table(group) for group in groups())


def _table(group: Group) -> str:
    lines = [f"## {group.title}", "", "| key | variable | default | |", "|---|---|---|---|"]
    for one in group.settings:
        keys = ", ".join(f"`{name}`" for name in one.names)
        variables = ", ".join(f"`{variable(name)}`" for name in one.names)
        lines.append(f"| {keys} | {variables} | {one.default} | {one.text} |".replace("|  |", "| |"))
    return "\n".join([*lines, ""])


def settings_file(given: Mapping[str, str]) -> str:
    """A shipper.toml in which every setting is a comment, but for those `given`: name → text."""
    parts = [
        "# Settings of rq-shipper. A line without # is in force; the environment variable beside a name overrides it.",
        "# `shipper doctor` says what is wrong. Everything about them: docs/settings.md.",
    ]
    for group in groups():
        parts.append(f"\n\n# ---- {group.title}")
        for one in group.settings:
            parts.append(f"\n{_comment(one)}")
            for name, example in zip(one.names, one.examples, strict=True):
                parts.append(f"{name} = {_toml(given[name])}" if name in given else f"# {name} = {example}")
    return "\n".join([*parts, ""])


def _comment(one: Declared) -> str:
    text = _plain(one.text)
    told = f"{text[:1].upper()}{text[1:]}. Default: {_plain(one.default) or 'none'}. "
    where = " and ".join(variable(name) for name in one.names)
    if SECRET.isdisjoint(one.names):
        told += f"[{where}]"
    else:
        told += f"It is a secret, or may contain one: rather than here, set it in the environment. [{where}]"
    return textwrap.fill(
        told, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _plain(markdown: str) -> str:
    """Without the marks of Markdown; of a link its text, and the file if that says more."""
    text = re.sub(r"\[([^\]]+)\]\(([^)#]+)[^)]*\)", lambda link: _link(link[1], link[2]), markdown)
    return text.replace("`", "")


def _link(text: str, target: str) -> str:
    return f"docs/{target}" if text == target else f"{text} (docs/{target})"


def _toml(text: str) -> str:
    """A TOML basic string (https://toml.io/en/v1.0.0#string)."""
    escaped = "".join(
        f"\\{letter}" if letter in '"\\' else letter if letter.isprintable() else f"\\u{ord(letter):04x}"
        for letter in text
    )
    return f'"{escaped}"'
