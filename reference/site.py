"""What mkdocs is told beyond mkdocs.yml: pages that stand outside of docs/, and links that lead out of it."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "https://github.com/rq-shipper/rq-shipper/blob/main/"
# Page of the site → the file of the checkout that it shows.
OUTSIDE = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "security.md": "SECURITY.md"}
_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)([^)]*\))")


def on_files(files: Any, config: Any) -> Any:
    """README, changelog and security policy become pages."""
    for page, file in OUTSIDE.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text, ".")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of pages in docs/."""
    if page.file.src_uri in OUTSIDE:
        return markdown
    return relinked(markdown, posixpath.dirname(f"docs/{page.file.src_uri}"))


def relinked(text: str, folder: str) -> str:
    """A page's text, whose links are relative to `folder` of the checkout, with links for the site."""
    above = "" if folder == "." else "../" * folder.count("/")

    def led(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        shown = next((page for page, file in OUTSIDE.items() if file == target), None)
        if shown is None and not target.startswith("docs/"):
            return f"{link[1]}{SOURCE}{target}{link[3]}"
        return f"{link[1]}{above}{shown or target.removeprefix('docs/')}{link[3]}"

    return _LINK.sub(led, text)
