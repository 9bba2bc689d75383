"""The version, and the places that name it: they have to agree."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
_HEADING = re.compile(r"^## (?P<version>\d\S*)(?: \((?P<date>\d{4}-\d\d-\d\d)\))?$", re.MULTILINE)
_IMAGE = re.compile(r"image: rq-shipper:(\S+)")


class Problem(Exception):
    """Something that keeps a release from being made. The message says what to do."""


@dataclass(frozen=True)
class Section:
    """One version's part of CHANGELOG.md. `date` is None until it is released."""

    version: Version
    date: str | None
    text: str


def changes(changelog: str) -> list[Section]:
    """All sections, the newest first."""
    found = list(_HEADING.finditer(changelog))
    ends = [*(heading.start() for heading in found), len(changelog)][1:]
    return [
        Section(Version(heading["version"]), heading["date"], changelog[heading.end() : end].strip())
        for heading, end in zip(found, ends, strict=True)
    ]


def check_changelog(version: Version, changelog: str) -> Section:
    """The section of a version. Raises Problem if it is missing or empty, or a release's has no date."""
    newest = next(iter(changes(changelog)), None)
    if newest is None or newest.version < Version(version.base_version):
        raise Problem(f"CHANGELOG.md has no section for {version}. Begin it with `## {version.base_version}`.")
    if not version.is_devrelease and newest.version != version:
        raise Problem(f"The newest section of CHANGELOG.md is of {newest.version}, and this release is {version}.")
    if not newest.text:
        raise Problem(f"The section of {newest.version} in CHANGELOG.md is empty.")
    if not version.is_devrelease and newest.date is None:
        raise Problem(f"The section of {version} in CHANGELOG.md has no date: `## {version} (2026-11-30)`.")
    return newest


def check_places(newest: Version, root: Path = ROOT) -> None:
    """Raises Problem if the compose file, its page, or the version without git is not the changelog's newest."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    named = {"pyproject.toml, fallback-version": project["tool"]["hatch"]["version"]["fallback-version"]}
    for file in ("docker-compose.yml", "docs/compose.md"):
        for number in _IMAGE.findall((root / file).read_text(encoding="utf-8")):
            named[f"{file}, image"] = number
    wrong = {place: number for place, number in named.items() if Version(number).base_version != newest.base_version}
    if wrong:
        raise Problem(
            f"CHANGELOG.md is at {newest}, but not "
            + "; ".join(f"{place}: {number}" for place, number in wrong.items())
        )
