"""What keeps a release from being made: a changelog or a number that does not agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.version import Version

from release.numbers import ROOT, Problem, changes, check_changelog, check_places

RELEASED = "# Changelog\n\n## 0.3.0 (2027-01-02)\n\n- more\n\n## 0.2.0 (2026-11-30)\n\n- first\n"


def test_the_changelog_of_this_checkout_is_that_of_the_places_that_name_a_version() -> None:
    newest = changes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[0]
    check_places(newest.version)


def test_sections_end_where_the_next_begins() -> None:
    assert [(str(one.version), one.date, one.text) for one in changes(RELEASED)] == [
        ("0.3.0", "2027-01-02", "- more"),
        ("0.2.0", "2026-11-30", "- first"),
    ]


@pytest.mark.parametrize("version", ["0.3.0", "0.3.0.dev7+gabc", "0.2.1.dev1"])
def test_a_version_whose_section_is_there(version: str) -> None:
    assert check_changelog(Version(version), RELEASED).text == "- more"


@pytest.mark.parametrize(
    ("version", "changelog", "said"),
    [
        ("0.4.0", RELEASED, "no section for 0.4.0"),
        ("0.3.1.dev2", RELEASED, "no section for 0.3.1"),
        ("0.2.0", RELEASED, "the newest section .* is of 0.3.0"),
        ("0.3.0", RELEASED.replace(" (2027-01-02)", ""), "has no date"),
        ("0.3.0", RELEASED.replace("- more", ""), "is empty"),
        ("0.3.0", "# Changelog\n", "no section"),
    ],
)
def test_a_version_that_cannot_be_released(version: str, changelog: str, said: str) -> None:
    with pytest.raises(Problem, match=f"(?i){said}"):
        check_changelog(Version(version), changelog)


def test_a_place_that_names_another_version_is_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/compose.md").write_text("    image: rq-shipper:0.2.0  # this project's\n")
    (tmp_path / "docker-compose.yml").write_text("  image: rq-shipper:0.1.0\n")
    (tmp_path / "pyproject.toml").write_text('[tool.hatch.version]\nfallback-version = "0.2.0.dev0"\n')
    with pytest.raises(Problem, match=r"docker-compose\.yml, image: 0\.1\.0$"):
        check_places(Version("0.2.0"), tmp_path)
