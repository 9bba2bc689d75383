"""Logstash's configuration language, as far as it takes to read our own: text → plugins with their settings.

Made after Logstash's own grammar (logstash-core, grammar.treetop). What it refuses, Logstash refuses too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer

FOLDER = Path(__file__).parent.parent / "logstash"
GRAMMAR = r"""
start: section+
section: SECTION "{" (plugin | branch)* "}"
branch: "if" condition block ("else" "if" condition block)* ("else" block)?
block: "{" (plugin | branch)* "}"
plugin: (NAME | BAREWORD | SECTION) "{" attribute* "}"
attribute: (NAME | BAREWORD | STRING) "=>" value
?value: plugin | BAREWORD | STRING | NUMBER | array | hash
array: "[" (value ("," value)*)? "]"
hash: "{" entry* "}"
entry: (BAREWORD | STRING | NUMBER) "=>" value

condition: expression (("and" | "or" | "xor" | "nand") expression)*
expression: "(" condition ")"
    | "!" expression
    | operand (COMPARES operand)?
    | operand "not"? "in" operand
    | operand MATCHES (STRING | REGEXP)
operand: STRING | NUMBER | FIELD | list
list: "[" operand ("," operand)+ "]"

SECTION.2: /(input|filter|output)\b/
FIELD.2: /(\[[^\[\],"'\s]+\])+/
COMPARES: "==" | "!=" | "<=" | ">=" | "<" | ">"
MATCHES: "=~" | "!~"
REGEXP: /\/(\\.|[^\/])*\//
STRING: /"(\\.|[^"\\])*"/s | /'(\\.|[^'\\])*'/s
NUMBER: /-?[0-9]+(\.[0-9]*)?/
BAREWORD: /[A-Za-z_][A-Za-z0-9_]+/
NAME: /[A-Za-z0-9_-]+/
COMMENT: /#[^\n]*/
%ignore COMMENT
%ignore /\s+/
"""


@dataclass(frozen=True)
class Plugin:
    """`name { setting => value }`; a value is text, a list, a dictionary, or a Plugin (a codec)."""

    name: str
    settings: dict[str, Any]


class _Plain(Transformer[Token, Any]):
    def STRING(self, token: Token) -> str:  # noqa: N802 - it is named as in the grammar
        return str(token[1:-1])  # config.support_escapes is off: backslashes stand for themselves

    def plugin(self, parts: list[Any]) -> Plugin:
        return Plugin(str(parts[0]), dict(parts[1:]))

    def attribute(self, parts: list[Any]) -> tuple[str, Any]:
        return str(parts[0]), parts[1]

    entry = attribute

    def array(self, parts: list[Any]) -> list[Any]:
        return list(parts)

    def hash(self, parts: list[Any]) -> dict[str, Any]:
        return dict(parts)


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="earley")


@cache
def plugins(text: str) -> list[Plugin]:
    """Every plugin of a configuration, those within conditions too. lark.LarkError if it is none."""
    tree = _Plain().transform(_parser().parse(text))
    return list(tree.scan_values(lambda value: isinstance(value, Plugin)))


def files() -> list[Path]:
    """The pipeline's files in the order in which Logstash puts them together."""
    return sorted((FOLDER / "pipeline").glob("*.conf"))


def every(name: str) -> list[Plugin]:
    """The pipeline's plugins of a name."""
    return [plugin for file in files() for plugin in plugins(file.read_text()) if plugin.name == name]


def texts(value: Any) -> Iterator[str]:
    """Every text in a plugin's settings."""
    if isinstance(value, Plugin):
        yield from texts(value.settings)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)
