"""Decides which symbolic links among the files are followed.

The shipper may read more than those who write into the folders that it watches. So a link is followed only if it gives
nothing away: link and file have the same owner, or root made the link; and the file is below one of the allowed
folders. Links that Kubernetes and Docker make for containers' logs are root's, and below /var/log or Docker's folder.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = 0


class Links:
    """The links that may be followed. `roots`: the allowed folders, beside those of the `globs`."""

    def __init__(self, roots: Iterable[str], globs: Iterable[str]) -> None:
        folders = {*roots, *(str(static_folder(pattern)) for pattern in globs)}
        self._roots = tuple(os.path.realpath(folder) for folder in folders)

    def refusal(self, path: Path, pattern: str, target: os.stat_result) -> str | None:
        """Why the file that a pattern has matched is not read; None if it may be. `target`: of the file itself."""
        links = list(_links(path, static_folder(pattern)))
        if not links:
            return None
        real = os.path.realpath(path)
        for link in links:
            owner = os.lstat(link).st_uid
            if owner not in (ROOT, target.st_uid):
                return f"the link {link} belongs to another account than the file {real}"
        if not any(os.path.commonpath((root, real)) == root for root in self._roots):
            return f"it is a link to {real}, outside of the folders in SHIPPER_LINK_ROOTS"
        return None


@cache  # for each file that a pattern matches
def static_folder(pattern: str) -> Path:
    """The folder of a glob up to its first part with a wildcard: what was configured, and nobody else can choose."""
    parts = Path(pattern).parent.parts
    fixed = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])


def _links(path: Path, below: Path) -> Iterable[Path]:
    """The parts of a path below a folder that are symbolic links."""
    at = path
    while at not in (below, at.parent):
        if at.is_symlink():
            yield at
        at = at.parent
