"""Finds secrets in free text: error messages, stack traces, log lines, progress, reasons.

Most texts have none and have to cost next to nothing. So a text is first searched for the few words that a secret can
begin with; only if there is one, the expressions of those rules are tried, and only where their words are.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator

from .rules import REDACTED, Rule, table

SHORTEST = 5  # pwd=x
_CARD_LENGTH = 13
_LONG = 200  # characters: from here on, it is looked at by line
# Texts and lines that were found to be harmless are not searched again: the same stack trace is raised, and the same
# arguments are given, many times.
_KEPT, _KEPT_LENGTH = 4000, 300

# A name and its value have one of these between them.
_BETWEEN = ("=", ":", "'", '"', "--", "<", "%3")
# What a card's number begins with. Not within a UUID; the look-behind is that of the rule, but after the digit, which
# is what `search` looks for.
_DIGITS = re.compile(r"[2-6](?<![A-Za-z0-9_.+/=-][2-6])[0-9]{3}[ -]?[0-9]{4,6}[ -]?[0-9]{4}")
_DIGIT_RULES = ("card",)  # the last rules of the table
# Rules for secrets without a name, which are long.
_SHAPES = ("bearer", "basic", "aws", "jwt", "vendor")
_SHAPES_LENGTH = 14
_DIGIT = re.compile("[0-9]")
_APART = bytes.maketrans(b"0123456789", b"\n" * 10)


class TextRules:
    """All rules, compiled. `own`: the names of the setting `redact`."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        rules = table(own)
        self._rules = rules
        self._digit_rules = tuple(rule for rule in rules if rule.name in _DIGIT_RULES)
        self._compiled: dict[str, re.Pattern[str]] = {}
        unnamed = (*_SHAPES, *_DIGIT_RULES)
        self._names = _gates(hint for rule in rules if rule.name not in unnamed for hint in rule.hints)
        self._shapes = _gates(hint for rule in rules if rule.name in _SHAPES for hint in rule.hints)
        self._needed = True  # False for parts of a text in which nothing can be found
        self._harmless: set[str] = set()

    def redacted(self, text: str) -> str:
        """The text with REDACTED in place of each secret."""
        if not self._needed:
            return text
        harmless = self._harmless
        if text in harmless or len(text) < SHORTEST:
            return text
        if len(text) < _LONG:
            if rules := self._possible(text):
                return self._replaced(text, rules)
            self._remember((text,))
            return text
        # Two harmless lines may be a secret together only if each of them was written before.
        new = [line for line in text.split("\n") if line not in harmless]
        if not new or not self._possible("\n".join(new)):
            self._remember(new)
            return text
        replaced = self._replaced(text, self._rules)
        if replaced == text:
            self._remember(new)
        return replaced

    def within(self, text: str) -> TextRules:
        """The same rules for parts of this text: words that are not in it are not looked for in each part again."""
        small, narrowed = text.lower(), copy.copy(self)
        words = _between_digits(small)
        narrowed._names = _those_in(self._names, small, words)
        narrowed._shapes = _those_in(self._shapes, small, words)
        narrowed._needed = bool(narrowed._names or narrowed._shapes or _DIGITS.search(text))
        return narrowed

    def findings(self, text: str) -> Iterator[str]:
        """The names of the rules that find something, in their order."""
        small = _lower(text)
        for rule in self._rules:
            replaced = self._apply(rule, text, small)
            if replaced is not text:
                yield rule.name
                text, small = replaced, _lower(replaced)

    def _possible(self, text: str) -> tuple[Rule, ...]:
        """The rules that may find something: none, those of long numbers (such as some UUIDs have), or all."""
        small = text.lower()
        for mark in _BETWEEN:
            if mark in text:
                if _has_hint(self._names, small):
                    return self._rules
                break
        if len(text) >= _SHAPES_LENGTH and _has_hint(self._shapes, small):
            return self._rules
        return self._digit_rules if len(text) >= _CARD_LENGTH and _DIGITS.search(text) else ()

    def _replaced(self, text: str, rules: Iterable[Rule]) -> str:
        small = _lower(text)
        for rule in rules:
            replaced = self._apply(rule, text, small)
            if replaced is not text:
                text, small = replaced, _lower(replaced)
        return text

    def _apply(self, rule: Rule, text: str, small: str) -> str:
        """The text with the rule's matches replaced; the same object if there are none. `small` is it in lower case."""
        places = _occurrences(rule.hints, small)
        if rule.hints and not places:
            return text
        pieces: list[str] = []
        end = 0
        for found in _matches(rule, self._pattern(rule), text, places):
            pieces += (text[end : found.start()], found[1], REDACTED)
            end = found.end()
        return "".join((*pieces, text[end:])) if pieces else text

    def _pattern(self, rule: Rule) -> re.Pattern[str]:
        pattern = self._compiled.get(rule.name)
        if pattern is None:
            pattern = self._compiled[rule.name] = re.compile(rule.pattern)
        return pattern

    def compile(self) -> None:
        """Compile all expressions, which otherwise is done when they are first needed: in each forked child again."""
        for rule in self._rules:
            self._pattern(rule)

    def _remember(self, lines: Iterable[str]) -> None:
        if len(self._harmless) >= _KEPT:
            self._harmless.clear()
        self._harmless.update([line for line in lines if len(line) <= _KEPT_LENGTH])


def _gates(hints: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The hints by a character that they have in common: only if a text has that, they can be in it."""
    found: dict[str, set[str]] = {}
    for hint in set(hints):
        found.setdefault(next((mark for mark in "_-. ?&:[(" if mark in hint), ""), set()).add(hint)
    # "password" needs no look if "pass" is not there.
    return [
        (mark, tuple(sorted(hint for hint in some if not any(one != hint and one in hint for one in some))))
        for mark, some in sorted(found.items())
    ]


def _between_digits(small: str) -> str:
    """What stands between the digits of a text, each once: it has the same words, and of a log is a small part."""
    return b"\n".join(set(small.encode("utf-8", "surrogatepass").translate(_APART).split(b"\n"))).decode(
        "utf-8", "surrogatepass"
    )


def _those_in(
    gates: Iterable[tuple[str, tuple[str, ...]]], small: str, words: str
) -> list[tuple[str, tuple[str, ...]]]:
    found = (
        (mark, tuple(hint for hint in hints if hint in words or (_DIGIT.search(hint) and hint in small)))
        for mark, hints in gates
    )
    return [(mark, hints) for mark, hints in found if hints]


def _has_hint(gates: Iterable[tuple[str, tuple[str, ...]]], small: str) -> bool:
    for mark, hints in gates:
        if mark in small:
            for hint in hints:
                if hint in small:
                    return True
    return False


def _matches(rule: Rule, pattern: re.Pattern[str], text: str, places: Iterable[int]) -> Iterator[re.Match[str]]:
    if not rule.hints:
        yield from (one for one in pattern.finditer(text) if not rule.luhn or passes_luhn(one[0]))
        return
    end = 0
    for at in sorted(places):
        if at >= end and (found := pattern.match(text, at)):
            end = found.end()
            yield found


def _occurrences(hints: Iterable[str], small: str) -> set[int]:
    places = set()
    for hint in hints:
        at = small.find(hint)
        while at >= 0:
            places.add(at)
            at = small.find(hint, at + 1)
    return places


def _lower(text: str) -> str:
    """In lower case, with each character at its place."""
    small = text.lower()
    return small if len(small) == len(text) else text.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def passes_luhn(text: str) -> bool:
    """Luhn's check of a card number (ISO/IEC 7812-1, annex B). Blanks and hyphens are ignored."""
    digits = [int(character) for character in reversed(text) if "0" <= character <= "9"]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0
