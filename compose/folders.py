"""The folders of credentials: one for each service, mounted in it and, all together, in `secrets` and `setup`."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

ELASTIC = (1000, 1000)
"""The (uid, gid) of the official images of Elasticsearch, Kibana and Logstash."""
REDIS = (999, 1000)
"""That of the official image of Redis on Alpine."""
OURS = (10001, 10001)
"""That of our image, see Dockerfile."""
ROOT = (0, 0)

OWNERS = {
    "admin": ROOT,  # all that the others are made of
    "elasticsearch": ELASTIC,
    "kibana": ELASTIC,
    "logstash": ELASTIC,
    "redis": REDIS,
    "jobs": OURS,  # the application and its workers
    "shipper": OURS,
    "watch": OURS,
    "prune": OURS,
    "dashboards": OURS,
}


@dataclass(frozen=True, slots=True)
class File:
    """A file of a service. `secret` files have mode 0400, others 0444."""

    service: str
    name: str
    content: str
    secret: bool = True


def prepare(root: Path) -> None:
    """Make the folders that do not exist, for their owners alone."""
    for service, owner in OWNERS.items():
        folder = root / service
        folder.mkdir(parents=True, exist_ok=True)
        _give(folder, owner, 0o700)


def write(root: Path, file: File) -> bool:
    """Write the file, atomically. False if it has this content already. Raises OSError."""
    path = root / file.service / file.name
    if path.is_file() and path.read_text() == file.content:
        return False
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{file.name}-")
    with open(descriptor, "w") as out:
        out.write(file.content)
        out.flush()
        os.fsync(descriptor)
    _give(Path(aside), OWNERS[file.service], 0o400 if file.secret else 0o444)
    Path(aside).replace(path)
    return True


def _give(path: Path, owner: tuple[int, int], mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, *owner)
    path.chmod(mode)
