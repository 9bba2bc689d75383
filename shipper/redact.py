"""Redacts secret values and limits the size of values before they are written to a record.

Whether a value is secret is decided by its name: the keyword argument, the dictionary key at any depth, or the
parameter of a positional argument, if that can be looked up without importing anything.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

REDACTED = "[redacted]"
CUT = "…"

# Substrings of secret names. Case, underscores and hyphens are ignored.
SENSITIVE = (
    "password", "passwd", "passphrase", "secret", "token", "authorization", "api_key", "private_key", "credential",
    "card", "cvv", "cvc", "cookie",
)  # fmt: skip

DEPTH_LIMIT = 10  # depth_limit of the flattened fields in the index templates
TEXT_LIMIT = 1024  # characters of one value: longer keywords are not indexed
BUDGET = 200  # values of one record
CACHE_LIMIT = 1000  # names whose result is cached

RedactFunction = Callable[[str, Any], Any]


class Redactor:
    """Converts values to JSON types of limited size, with secrets replaced by `[redacted]`.

    `names` are substrings of secret names, in addition to the built-in ones. A name with a colon,
    `package.module:function`, is a function: it is called with each name and value, and returns what to write.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        names = tuple(names)
        plain = [name.lower().replace("_", "") for name in (*SENSITIVE, *names) if ":" not in name]
        self._secret = re.compile("|".join(map(re.escape, plain)))
        self._cache: dict[str, bool] = {}  # the same few names occur again and again
        self._function_names = [name for name in names if ":" in name]
        self._functions: list[RedactFunction] | None = None

    def is_secret(self, name: str) -> bool:
        """Whether values of this name are redacted."""
        secret = self._cache.get(name)
        if secret is None:
            secret = self._secret.search(name.lower().replace("_", "").replace("-", "")) is not None
            if len(self._cache) < CACHE_LIMIT:
                self._cache[name] = secret
        return secret

    def positional(self, values: Iterable[Any], function: str | None) -> tuple[dict[str, Any], bool]:
        """Positional arguments as `{"0": …, "1": …}`, and whether something was cut.

        {} if the function's parameters are not known, as any argument might be a password.
        """
        names = parameter_names(function)
        if names is None:
            return {}, False
        named = ((str(at), names[at] if at < len(names) else "", value) for at, value in enumerate(values))
        return self._all(named)

    def named(self, values: Mapping[Any, Any]) -> tuple[dict[str, Any], bool]:
        """Keyword arguments, meta or labels, and whether something was cut."""
        return self._all((_key(name), _key(name), value) for name, value in values.items())

    def _all(self, items: Iterable[tuple[str, str, Any]]) -> tuple[dict[str, Any], bool]:
        walk = _Walk(self)
        shown: dict[str, Any] = {}
        for key, name, value in items:
            if walk.spent():
                break
            shown[key] = walk.value(name, value, 1)
        return shown, walk.cut

    def replaced(self, name: str, value: Any) -> Any:
        """The value, or what to write instead of it."""
        if name and self.is_secret(name):
            return REDACTED
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

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._left = BUDGET
        self.cut = False

    def spent(self) -> bool:
        if self._left <= 0:
            self.cut = True
        return self._left <= 0

    def value(self, name: str, value: Any, depth: int) -> Any:
        self._left -= 1
        value = self._redactor.replaced(name, value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**63 else self._text(str(value)[:TEXT_LIMIT])
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
            shown = {}
            for key, item in value.items():
                if self.spent():
                    break
                shown[_key(key)] = self.value(_key(key), item, depth + 1)
            return shown
        listed = []
        for item in value:
            if self.spent():
                break
            listed.append(self.value(name, item, depth + 1))
        return listed

    def _text(self, value: str) -> str:
        if len(value) > TEXT_LIMIT:
            self.cut = True
            value = value[: TEXT_LIMIT - 1] + CUT
        return value.encode("utf-8", "backslashreplace").decode()


def parameter_names(function: str | None) -> tuple[str, ...] | None:
    """The parameters of a function whose module is imported already; None if it is not. Imports nothing."""
    module, _, name = (function or "").rpartition(".")
    attribute = getattr(sys.modules.get(module), name, None)
    attribute = getattr(attribute, "__wrapped__", attribute)
    code = getattr(attribute, "__code__", None)
    return code.co_varnames[: code.co_argcount] if code else None


def _key(name: Any) -> str:
    """A key as text without NUL, which Elasticsearch rejects in the key of a flattened field."""
    if isinstance(name, str):
        text = name
    else:
        text = str(name) if name is None or isinstance(name, int | float) else f"<{type(name).__name__}>"
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:TEXT_LIMIT] or "(empty)"


def _imported(name: str) -> RedactFunction:
    """The user's function. If it cannot be imported, everything is redacted."""
    module, _, attribute = name.partition(":")
    try:
        function: RedactFunction = getattr(import_module(module), attribute)
    except Exception:  # a user's module may raise anything
        return lambda _name, _value: REDACTED
    return function
