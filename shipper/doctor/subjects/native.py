"""The part in C, with which the shipper is ten times as fast."""

from __future__ import annotations

from collections.abc import Iterator

from ..finding import Finding, warning

SUBJECT = "native module"


def findings(checked_in: str) -> Iterator[Finding]:
    """`checked_in`: the language in which lines are checked, C or Python."""
    if checked_in != "C":
        yield warning(
            SUBJECT,
            f"Lines are checked in {checked_in}: the module in C was not compiled at the installation. It works, at a "
            "tenth of the speed.",
            "Install a C compiler and Python's headers (Debian: gcc and python3-dev), then `pip install "
            "--force-reinstall --no-deps --no-cache-dir` rq-shipper again.",
        )
