"""Links of the docs site: they lead to its pages where there is one, and else into the repository."""

from __future__ import annotations

import pytest

from reference.site import SOURCE, relinked


@pytest.mark.parametrize(
    ("link", "folder", "led"),
    [
        ("docs/audit.md#who", ".", "audit.md#who"),
        ("CONTRIBUTING.md", ".", f"{SOURCE}CONTRIBUTING.md"),
        ("SECURITY.md", ".", "security.md"),
        ("docs/decisions/README.md", ".", "decisions/README.md"),
        ("audit.md", "docs", "audit.md"),
        ("../README.md#use-it", "docs", "index.md#use-it"),
        ("../.env.example", "docs", f"{SOURCE}.env.example"),
        ("../audit.md", "docs/decisions", "../audit.md"),
        ("../../shipper/state.py", "docs/decisions", f"{SOURCE}shipper/state.py"),
        ("#who", "docs", "#who"),
        ("https://example.org/a.md", "docs", "https://example.org/a.md"),
    ],
)
def test_a_link(link: str, folder: str, led: str) -> None:
    assert relinked(f"[x]({link})", folder) == f"[x]({led})"
