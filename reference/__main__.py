"""`make reference`: write the pages. With --check, only tell which are not what the code says (exit status 1)."""

from __future__ import annotations

import sys
from pathlib import Path

from . import commands, figures, metrics, records

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": figures.readme,
    "docs/sizing.md": figures.sizing,
    "docs/reference/commands.md": commands.made,
    "docs/reference/fields.md": records.made,
    "docs/reference/metrics.md": metrics.made,
}


def stale() -> dict[Path, str]:
    """Each page that is not as it should be, and how it should be."""
    should = {ROOT / name: make() for name, make in PAGES.items()}
    return {
        file: text for file, text in should.items() if not file.exists() or file.read_text(encoding="utf-8") != text
    }


def main(arguments: list[str]) -> int:
    found = stale()
    for file, text in found.items():
        if "--check" not in arguments:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        print(
            f"{file.relative_to(ROOT)} {'is not what the code says: make reference' if arguments else 'is made anew'}"
        )
    return 1 if found and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
