"""Redacts secrets before a record is written, and converts values to JSON types of limited size.

A value is secret by its name: the keyword argument, the dictionary key at any depth, or the parameter of a positional
argument, if that can be looked up without importing anything. In all other values that are text, secrets are searched
for (`text.py`, by the table in `rules.py`).
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from importlib import import_module
from typing import Any

from .rules import REDACTED as REDACTED
from .rules import secret_name
from .text import TextRules

CUT = "…"

DEPTH_LIMIT = 10  # depth_limit of the flattened fields in the index templates
TEXT_LIMIT = 1024  # characters of one value: longer keywords are not indexed
# Longer texts are cut before they are searched, far from where the record will cut them (records.TEXT_LIMIT).
LENGTH_LIMIT = 131_072
BUDGET = 200  # values of one record
WHOLE_BUDGET = 10_000  # values of a line that is not cut otherwise
CACHE_LIMIT = 1000  # names whose result is cached
SHORTEST_CARD = 10**12  # a card number may be an integer
_PAIR_LENGTH = 2

# {"name": "DB_PASSWORD", "value": "…"}: the keys that name a value, and those under which it is.
_NAME_KEYS = frozenset({"name", "Name", "NAME", "key", "Key", "field", "header", "variable", "parameter"})
_VALUE_KEYS = frozenset({"value", "Value", "VALUE", "val", "content", "data", "default"})
NAME_LIMIT = 64  # characters of a value that may be the name of another

RedactFunction = Callable[[str, Any], Any]


class Redactor:
    """Replaces secrets by `[redacted]`, in values and in free text.

    `names` are substrings of secret names, in addition to the built-in ones. A name with a colon,
    `package.module:function`, is a function: it is called with each name and value, and returns what to write. For
    free text, the name is that of the record's field, such as `error.message`.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        names = tuple(names)
        own = [name for name in names if ":" not in name]
        self._secret = secret_name(own)
        self._cache: dict[str, bool] = {}  # the same few names occur again and again
        self.harmless: set[str] = set()  # those of them whose values `replaced` does not replace
        self._text = TextRules(own)
        self.searched = self._text.redacted  # by the rules alone
        self._function_names = [name for name in names if ":" in name]
        self._functions: list[RedactFunction] | None = None

    def compile(self) -> None:
        """Do now what the first secret in a text would need: it takes some milliseconds, in each forked child again."""
        self._text.compile()

    def is_secret(self, name: str) -> bool:
        """Whether values of this name are redacted."""
        secret = self._cache.get(name)
        if secret is None:
            search = self._secret.search
            secret = search(name) is not None or search(name.replace("_", "").replace("-", "")) is not None
            if len(self._cache) < CACHE_LIMIT:
                self._cache[name] = secret
                if not secret and not self._function_names:
                    self.harmless.add(name)
        return secret

    def text(self, text: str, name: str = "message") -> str:
        """A free text without its secrets. `name` is the field, for the application's own functions."""
        if len(text) > LENGTH_LIMIT:
            half = LENGTH_LIMIT // 2
            text = f"{text[:half]}\n… {len(text) - LENGTH_LIMIT} characters left out …\n{text[-half:]}"
        text = self._text.redacted(text)
        if not self._function_names:
            return text
        replaced = self.replaced(name, text)
        return replaced if isinstance(replaced, str) else str(replaced)

    def findings(self, text: str) -> list[str]:
        """The names of the rules that find something in a text."""
        return list(self._text.findings(text))

    def value(self, name: str, value: Any) -> Any:
        """A value that is written by somebody else: only what holds a secret is changed. Texts are not cut."""
        if isinstance(value, str) and not self.is_secret(name):
            return self.text(value, name)
        if not isinstance(value, str | bytes | int | Mapping | list | tuple | set | frozenset):
            return value
        walk = _Walk(self, WHOLE_BUDGET, LENGTH_LIMIT)
        shown = walk.value(name, value, 1)
        return shown if walk.cut or walk.redacted else value

    def positional(self, values: Iterable[Any], function: str | None) -> tuple[dict[str, Any], bool]:
        """Positional arguments as `{"0": …, "1": …}`, and whether something was cut.

        Those beyond the known parameters (`*args`) are redacted. {} if no parameter is known, as any argument might be
        a password.
        """
        names = parameter_names(function)
        if names is None:
            return {}, False
        walk = _Walk(self)
        shown: dict[str, Any] = {}
        for at, value in enumerate(values):
            if walk.spent():
                break
            known = at < len(names)
            shown[str(at)] = walk.value(names[at] if known else "", value if known else REDACTED, 1)
        return shown, walk.cut

    def named(self, values: Mapping[Any, Any]) -> tuple[dict[str, Any], bool]:
        """Keyword arguments, meta or labels, and whether something was cut."""
        walk = _Walk(self)
        return walk.members(values, 1), walk.cut

    def replaced(self, name: str, value: Any) -> Any:
        """The value, or what to write instead of it."""
        if name and self.is_secret(name):
            return REDACTED
        if self._function_names:
            for function in self._load_functions():
                try:
                    value = function(name, value)
                except Exception:  # a redacting function that fails has to redact
                    return REDACTED
        return value

    def _load_functions(self) -> list[RedactFunction]:
        if self._functions is None:
            self._functions = [_imported(name) for name in self._function_names]
        return self._functions


class _Walk:
    """Converts the values of one record. Counts them against BUDGET; `cut` says whether something was left out."""

    cut = redacted = False

    def __init__(self, redactor: Redactor, budget: int = BUDGET, text_limit: int = TEXT_LIMIT) -> None:
        self._redactor, self._left, self._text_limit = redactor, budget, text_limit

    def spent(self) -> bool:
        if self._left <= 0:
            self.cut = True
        return self._left <= 0

    def value(self, name: str, value: Any, depth: int) -> Any:
        self._left -= 1
        if name not in self._redactor.harmless:
            given, value = value, self._redactor.replaced(name, value)
            if value is not given:
                self.redacted = True
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if -SHORTEST_CARD < value < SHORTEST_CARD else self._long_integer(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._container(name, value, depth)
        return f"<{type(value).__module__}.{type(value).__qualname__}>"  # its repr may contain secrets, or raise

    def _container(self, name: str, value: Any, depth: int) -> Any:
        if depth >= DEPTH_LIMIT:
            self.cut = True
            return CUT
        if isinstance(value, Mapping):
            return self.members(value, depth + 1)
        pair, hidden = len(value) == _PAIR_LENGTH and isinstance(value, Sequence), False
        listed = []
        for item in value:
            if self.spent():
                break
            listed.append(self.value(name, self._hidden() if hidden else item, depth + 1))
            # ("token", …), ["--token", …]
            hidden = isinstance(item, str | bytes) and (pair or item[:1] in ("-", b"-")) and self._names_a_secret(item)
        return listed

    def members(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        """The values of a mapping, as many as the budget allows."""
        # {"name": "DB_PASSWORD", "value": …}
        hidden = not _NAME_KEYS.isdisjoint(values) and any(
            self._names_a_secret(values[key]) for key in _NAME_KEYS.intersection(values)
        )
        shown = {}
        for key, item in values.items():
            if self._left <= 0:
                self.cut = True
                break
            text = _key(key)
            name = text if type(key) is str else _name(key)
            shown[text] = self.value(name, self._hidden() if hidden and text in _VALUE_KEYS else item, depth)
        return shown

    def _hidden(self) -> str:
        self.redacted = True
        return REDACTED

    def _names_a_secret(self, value: Any) -> bool:
        """Whether a value is itself the name of a secret."""
        return isinstance(value, str | bytes) and len(value) <= NAME_LIMIT and self._redactor.is_secret(_key(value))

    def _long_integer(self, value: int) -> int | str:
        shown = self._text(str(value)[:TEXT_LIMIT]) if abs(value) < 10**4000 else "<a huge integer>"
        return value if shown == str(value) and -(2**63) <= value < 2**63 else shown

    def _text(self, value: str) -> str:
        if len(value) > 4 * self._text_limit:  # more than is shown: half a secret at the cut would look like nothing
            value = value[: 4 * self._text_limit]
        given, value = value, self._redactor.searched(value)
        if value is not given:
            self.redacted = True
        if len(value) > self._text_limit:
            self.cut = True
            value = value[: self._text_limit - 1] + CUT
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def parameter_names(function: str | None) -> tuple[str, ...] | None:
    """The parameters of a function whose module is imported already; None if it is not. Imports nothing.

    Those of the innermost function, if it is decorated with `functools.wraps`.
    """
    module, _, name = (function or "").rpartition(".")
    attribute = getattr(sys.modules.get(module), name, None)
    try:
        code = getattr(inspect.unwrap(attribute), "__code__", None)  # type: ignore[arg-type]
    except Exception:  # they wrap each other, or a foreign object does not tell
        return None
    return code.co_varnames[: code.co_argcount] if code else None


def _key(name: Any) -> str:
    """A key as text without NUL, which Elasticsearch rejects in the key of a flattened field."""
    if type(name) is str and name.isascii() and name.isprintable() and 0 < len(name) <= TEXT_LIMIT:
        return name  # as nearly all are
    if isinstance(name, bytes):
        name = name.decode("utf-8", "backslashreplace")
    elif isinstance(name, Enum):
        name = name.name
    if isinstance(name, str):
        text = name
    else:
        text = str(name) if name is None or isinstance(name, int | float) else f"<{type(name).__name__}>"
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:TEXT_LIMIT] or "(empty)"


def _name(key: Any) -> str:
    """What a key is called, to decide whether its value is secret: that of a tuple is not shown."""
    return " ".join(map(_key, key)) if isinstance(key, tuple) else _key(key)


def _imported(name: str) -> RedactFunction:
    """The user's function. If it cannot be imported, everything is redacted."""
    module, _, attribute = name.partition(":")
    try:
        function: RedactFunction = getattr(import_module(module), attribute)
    except Exception:  # a user's module may raise anything
        return lambda _name, _value: REDACTED
    return function
