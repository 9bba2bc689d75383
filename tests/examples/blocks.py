"""The examples in README and docs, and what is said of each in front of it.

A fenced block of `sh` or `python` is run by `make test-examples` (test_examples.py) as it stands. If it cannot be, a
comment in front of it, which no reader sees, says who runs it instead, or why nobody does:

    <!-- run by tests/integration/test_sections.py::test_the_example -->
    <!-- not run: it needs a container engine; `make test-compose` runs the same -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LANGUAGES = {"sh", "python", "json", "yaml", "toml", "ini", "text", "lua", "dockerfile"}
_FENCE = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>run by|not run:) (?P<said>(?:(?!-->).)+?) -->\n\n?)?"
    r"^(?P<indent>[ ]*)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block. `page` is relative to the checkout, `line` that of its fence."""

    page: str
    line: int
    language: str
    text: str
    run_by: str | None = None
    reason: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_left_to_us(self) -> bool:
        """Whether nothing in front of it says otherwise."""
        return self.run_by is None and self.reason is None


def pages() -> list[Path]:
    """All pages with examples. Those of docs/reference are made from the code, whose examples are tested there."""
    return [page for page in every_page() if page.parent != ROOT / "docs/reference"]


def every_page() -> list[Path]:
    """All pages."""
    beside = (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "logstash/README.md"))
    return [*beside, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        mark, said = found["mark"], found["said"]
        yield Block(
            str(page.relative_to(ROOT)),
            text.count("\n", 0, found.start("language")) + 1,
            found["language"].strip(),
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            said if mark == "run by" else None,
            said if mark == "not run:" else None,
        )


def of(language: str) -> list[Block]:
    """All blocks of a language."""
    return [block for page in pages() for block in blocks(page) if block.language == language]


def outside(page: Path) -> str:
    """A page's text without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
