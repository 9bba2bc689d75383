"""Whether records say for whom: the share of jobs without a user or customer, by function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..finding import Finding, note

SUBJECT = "context"
WORTH_SAYING = 0.05
SHOWN = 5


@dataclass(frozen=True, slots=True)
class FunctionContext:
    """How many jobs of a function were enqueued, and how many of them without a user or without a customer."""

    function: str
    jobs: int
    no_user: int
    no_customer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextFacts:
    """The functions with most jobs over the last days, without jobs of cron, which nobody asks for."""

    functions: Sequence[FunctionContext] = ()
    days: int = 7


def findings(facts: ContextFacts) -> Iterator[Finding]:
    """Who is missing, and where: one finding for users, one for customers."""
    for what, word, name in (("no_user", "user", "user"), ("no_customer", "customer", "customer")):
        jobs = sum(one.jobs for one in facts.functions)
        without = sum(getattr(one, what) for one in facts.functions)
        if not jobs or without < WORTH_SAYING * jobs:
            continue
        worst = sorted(facts.functions, key=lambda one: -getattr(one, what))[:SHOWN]
        by_function = ", ".join(
            f"{one.function} {getattr(one, what) / one.jobs:.0%} of {one.jobs}" for one in worst if getattr(one, what)
        )
        yield note(
            SUBJECT,
            f"{without / jobs:.0%} of the jobs of the last {facts.days} days have no {word}: {by_function}.",
            f"Where they are enqueued, `with shipper.log_context({name}=…):` or one of the middlewares sets it.",
        )
