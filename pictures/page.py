"""The HTML timeline, as a browser shows it."""

from __future__ import annotations

import shutil
from pathlib import Path

WIDTH, HEIGHT = 1200, 900
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def screenshot(page: Path, picture: Path) -> None:
    """Write a PNG of what is seen without scrolling. Raises RuntimeError without a browser."""
    from playwright.sync_api import sync_playwright

    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        raise RuntimeError(f"None of {', '.join(BROWSERS)} is installed. On Debian: apt-get install chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, offline=True)
        shown.goto(page.as_uri())
        shown.screenshot(path=str(picture))
        browser.close()
