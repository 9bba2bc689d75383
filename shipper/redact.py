"""What never leaves the process: values whose names tell that they are secret, and more of a value than is useful.

Works on names, because that is all there is to go by: of keyword arguments, of dictionary keys at any depth,
and of positional arguments where the function's parameters can be looked up without importing anything.
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

# Parts of names, in any case, with or without their underscores.
SENSITIVE = (
    "password", "passwd", "passphrase", "secret", "token", "authorization", "api_key", "private_key", "credential",
    "card", "cvv", "cvc", "cookie",
)  # fmt: skip

DEPTH_LIMIT = 10  # flattened fields of the index templates go no deeper
TEXT_LIMIT = 1024  # characters of one value: longer keywords are not indexed either
BUDGET = 200  # values of one record
KNOWN_LIMIT = 1000  # names that a redactor remembers

Own = Callable[[str, Any], Any]


class Redactor:
    """Makes values fit for a record: plain, bounded, without secrets.

    `names` are parts of names beside the built-in ones. One that has a colon, `package.module:function`, is a
    function of the user's own: it is called with each name and value and returns what to write.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        names = tuple(names)
        plain = [name.lower().replace("_", "") for name in (*SENSITIVE, *names) if ":" not in name]
        self._secret = re.compile("|".join(map(re.escape, plain)))
        self._known: dict[str, bool] = {}  # the same few names come again and again
        self._own_names = [name for name in names if ":" in name]
        self._own: list[Own] | None = None

    def is_secret(self, name: str) -> bool:
        """Whether values of this name are kept back."""
        known = self._known.get(name)
        if known is None:
            known = self._secret.search(name.lower().replace("_", "").replace("-", "")) is not None
            if len(self._known) < KNOWN_LIMIT:
                self._known[name] = known
        return known

    def positional(self, values: Iterable[Any], function: str | None) -> tuple[dict[str, Any], bool]:
        """Positional arguments as `{"0": …, "1": …}`, and whether some of it was cut.

        Nothing of them where the function's parameters are not known: any of them might be a password.
        """
        names = parameter_names(function)
        if names is None:
            return {}, False
        named = ((str(at), names[at] if at < len(names) else "", value) for at, value in enumerate(values))
        return self._all(named)

    def named(self, values: Mapping[Any, Any]) -> tuple[dict[str, Any], bool]:
        """Keyword arguments, meta or labels, and whether some of it was cut."""
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
        """The value, or what is written in its place."""
        if name and self.is_secret(name):
            return REDACTED
        for own in self._functions():
            try:
                value = own(name, value)
            except Exception:  # it was meant to keep something back: when it fails, all of it is
                return REDACTED
        return value

    def _functions(self) -> list[Own]:
        if self._own is None:
            self._own = [_imported(name) for name in self._own_names]
        return self._own


class _Walk:
    """One value's way into a record: how much was taken, and whether some was left out."""

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
        return f"<{type(value).__module__}.{type(value).__qualname__}>"  # its repr may hold anything, or raise

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
    """The parameters of a function that is imported already; None of any other. Importing is not ours to do."""
    module, _, name = (function or "").rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    found = getattr(found, "__wrapped__", found)
    code = getattr(found, "__code__", None)
    return code.co_varnames[: code.co_argcount] if code else None


def _key(name: Any) -> str:
    """A key as text. Elasticsearch refuses a NUL in the key of a flattened field."""
    if isinstance(name, str):
        text = name
    else:
        text = str(name) if name is None or isinstance(name, int | float) else f"<{type(name).__name__}>"
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:TEXT_LIMIT] or "(empty)"


def _imported(name: str) -> Own:
    """The user's function. One that cannot be imported keeps everything back rather than nothing."""
    module, _, function = name.partition(":")
    try:
        own: Own = getattr(import_module(module), function)
    except Exception:  # whatever a module of the user's does as it is imported
        return lambda _name, _value: REDACTED
    return own
