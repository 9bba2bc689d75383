"""Links between README, docs and the checkout lead to what is there, headings included."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.examples import blocks as documented
from tests.examples.blocks import ROOT

_LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:|mailto:)(?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]+))?\)")


@cache
def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#{1,6} +(.+?) *#*$", documented.outside(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = sum(1 for one in found if one == anchor or re.fullmatch(rf"{re.escape(anchor)}-\d+", one))
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


@pytest.mark.parametrize("page", documented.every_page(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.finditer(documented.outside(page)):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        assert target.exists(), link[0]
        assert target.is_relative_to(ROOT), link[0]
        if link["heading"] and target.suffix == ".md":
            assert link["heading"] in headings(target), link[0]


def test_headings_are_found_as_github_names_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# `shipper run`: what it does\n\n```sh\n# none\n```\n\n## A\n\n## A\n")
    assert headings(page) == {"shipper-run-what-it-does", "a", "a-1"}
