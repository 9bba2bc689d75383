"""Names with the arguments of a call in them: `financial:{user_id}`. For critical sections and unique jobs. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from string import Formatter
from typing import Any

from ..errors import SectionError

FUNCTION = "function"
"""`{function}` is the called function's dotted name."""

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Template:
    """The template of a name. Raises SectionError if the text is no template."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            fields = [field for _, field, _, _ in Formatter().parse(text) if field is not None]
        except ValueError as error:
            raise SectionError(f"{text!r} is no template of a name: {error}.") from None
        self.names = frozenset(field.partition(".")[0].partition("[")[0] for field in fields)
        if wrong := [name for name in self.names if not name.isidentifier()]:
            raise SectionError(
                f"The template {text!r} has {{{wrong[0]}}}: name an argument of the function, such as {{user_id}}."
            )
        if not text:
            raise SectionError("The name is empty.")

    def check(self, function: Callable[..., Any]) -> None:
        """Raise SectionError if the function can never have one of the arguments."""
        parameters = _signature(function).parameters
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
            return
        known = {name for name, one in parameters.items() if one.kind not in _VARIABLE}
        if missing := sorted(self.names - known - {FUNCTION}):
            raise SectionError(_missing(self.text, missing[0], function_name(function), known))

    def fill(self, function: Callable[..., Any] | None, name: str, args: Any, kwargs: Mapping[str, Any]) -> str:
        """The name for one call. `function` is None if this process does not have it: then only `kwargs` are known.

        Raises SectionError for a missing argument, TypeError if the function does not take these arguments.
        """
        values = dict(kwargs) if function is None else _arguments(function, args, kwargs)
        if missing := sorted(self.names - values.keys() - {FUNCTION}):
            raise SectionError(_missing(self.text, missing[0], name, values))
        try:
            return self.text.format_map({FUNCTION: name, **values})
        except (LookupError, AttributeError, ValueError) as wrong:
            raise SectionError(f"The template {self.text!r} cannot be filled for {name}: {wrong}.") from wrong


def function_name(function: Callable[..., Any]) -> str:
    """The dotted name, as RQ stores it."""
    return f"{function.__module__}.{function.__qualname__}"


@lru_cache(1024)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _arguments(function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    signature = _signature(function)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    values = dict(bound.arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            values |= values.pop(name)
    return values


def _missing(text: str, name: str, function: str, known: Any) -> str:
    has = f"It has {', '.join(sorted(map(str, known)))}." if known else "It has none."
    return f"The template {text!r} needs the argument {name!r}, which {function} does not have here. {has}"
