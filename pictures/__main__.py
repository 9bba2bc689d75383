"""`make pictures`: all pictures in docs/pictures, made anew."""

from __future__ import annotations

import sys
from pathlib import Path

from .flow import svg

FOLDER = Path(__file__).resolve().parent.parent / "docs/pictures"


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "flow.svg").write_text(svg(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
