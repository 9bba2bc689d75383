"""The log and the state folder: are they there, whose are they, who else may write, is there room?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..finding import Finding, error, note, warning

SUBJECT = "folders"
MB = 1 << 20
LOW_BYTES, LOW_SHARE = 1024 * MB, 0.05  # of free space: a warning
FULL_BYTES = 256 * MB  # an error
FEW_INODES = 0.01
# Several machines may write there, or appending and locking are not what they are on a local disk.
_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "fuse.sshfs",
    "fuse.s3fs",
}
_GROUP_WRITES_OR_OTHERS, _OTHERS_WRITE, _OTHERS_READ, _STICKY = 0o027, 0o002, 0o004, 0o1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file or folder, which need not exist.

    `kind`: file, folder, other, or None if it does not exist. `owner`, `group`: their names. `above`: the nearest
    folder that exists: the path itself, if it is one. `readable`, `writable`: for this account; of what does not exist,
    whether it can be created. `file_system`: such as ext4; None if unknown. `free`, `total`: bytes for this account.
    """

    path: Path
    kind: str | None
    above: Path
    above_mode: int
    readable: bool
    writable: bool
    owner: str = ""
    group: str = ""
    mode: int = 0
    file_system: str | None = None
    device: int = 0
    free: int = 0
    total: int = 0
    free_inodes: float = 1.0

    @property
    def whose(self) -> str:
        return f"it is {self.owner}'s, group {self.group}, mode {self.mode:04o}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """`log`: None if it is a special file such as /dev/stdout. `account`: as whom the examination runs."""

    account: str
    log: Place | None
    state: Place


def findings(facts: FolderFacts) -> Iterator[Finding]:
    """What is wrong with the log and the state folder."""
    if facts.log is not None:
        yield from _of_the_log(facts.log, facts.account)
        yield from _of_its_place(facts.log, "The log")
    yield from _of_the_state(facts.state, facts.account)
    yield from _of_its_place(facts.state, "The state folder")
    seen: set[int] = set()
    for place in (facts.log, facts.state):
        if place is not None and place.device not in seen:
            seen.add(place.device)
            yield from _of_the_disk(place)


def _of_the_log(log: Place, account: str) -> Iterator[Finding]:
    if log.kind is None:
        if log.writable:
            yield note(SUBJECT, f"{log.path} does not exist yet.", "The first record creates it. Has a worker run?")
        else:
            yield error(
                SUBJECT,
                f"{log.path} does not exist, and {account} cannot create it in {log.above}.",
                f"Make {log.path.parent} writable for the accounts of workers and applications (docs/settings.md, "
                "Several accounts), or run this as one of them.",
            )
        return
    if log.kind != "file":
        yield error(SUBJECT, f"{log.path} is no regular file.", "Set SHIPPER_LOG to the path of a file.")
        return
    if not log.readable:
        yield error(
            SUBJECT,
            f"{account} cannot read {log.path}: {log.whose}.",
            f"If the shipper runs as {account}, add it to the group {log.group}. Else run this as the shipper's "
            "account.",
        )
    elif not log.writable:
        yield note(
            SUBJECT,
            f"{account} cannot write {log.path}: {log.whose}.",
            f"That is right for a shipper. A worker that runs as {account} would lose its records: let it write by a "
            "common group, with SHIPPER_LOG_MODE=0660 for all writers.",
        )
    if log.mode & _OTHERS_WRITE:
        yield error(
            SUBJECT,
            f"Every account can write {log.path}, and so can forge records of jobs and of the audit trail.",
            f"`chmod o= {log.path}`",
        )
    elif log.mode & _OTHERS_READ:
        yield warning(
            SUBJECT,
            f"Every account can read {log.path}: arguments, users and errors of jobs.",
            f"`chmod o= {log.path}`, and SHIPPER_LOG_MODE=0660 for all writers.",
        )


def _of_the_state(state: Place, account: str) -> Iterator[Finding]:
    if state.kind is None:
        if not state.writable:
            yield error(
                SUBJECT,
                f"The state folder {state.path} does not exist, and {account} cannot create it in {state.above}.",
                f"Create it for the shipper's account, `install -d -m 700 -o ACCOUNT {state.path}`, or set "
                "SHIPPER_STATE.",
            )
        return
    if state.kind != "folder":
        yield error(SUBJECT, f"{state.path} is no folder.", "Set SHIPPER_STATE to the path of a folder.")
        return
    if not state.writable:
        yield warning(
            SUBJECT,
            f"{account} cannot use the state folder {state.path}: {state.whose}.",
            f"If the shipper runs as {state.owner}, run this as {state.owner}, too: it then sees the shipper's status.",
        )
    if state.mode & _GROUP_WRITES_OR_OTHERS:
        yield warning(
            SUBJECT,
            f"Other accounts can look or write into the state folder {state.path}: {state.whose}. It has lines "
            "that could not be indexed, and perhaps keys.",
            f"`chmod 700 {state.path}`",
        )


def _of_its_place(place: Place, what: str) -> Iterator[Finding]:
    if place.above_mode & _OTHERS_WRITE and not place.above_mode & _STICKY:
        yield error(
            SUBJECT,
            f"Every account can write in {place.above}, and so can replace {place.path}.",
            f"`chmod o-w {place.above}`",
        )
    if place.file_system in _NETWORK:
        yield error(
            SUBJECT,
            f"{what} {place.path} is on a network file system ({place.file_system}), where appends of several machines "
            "overwrite each other and locks may be lost.",
            "Use a local disk on each machine, with a shipper on each: docs/deployment.md, Network file systems.",
        )
    elif place.file_system == "tmpfs":
        yield note(
            SUBJECT,
            f"{what} {place.path} is in memory (tmpfs).",
            "Use a disk if it has to outlive a restart of the machine.",
        )
    elif place.file_system == "overlay":
        yield warning(
            SUBJECT,
            f"{what} {place.path} is in the writable layer of a container, and is lost with it.",
            "Mount a volume there: docs/deployment.md.",
        )


def _of_the_disk(place: Place) -> Iterator[Finding]:
    room = f"{place.free // MB} MB of {place.total // MB} MB"
    do = "Make room on that disk, or move the folder: while it is full, records of jobs are lost."
    if place.free < FULL_BYTES:
        yield error(SUBJECT, f"The disk of {place.path} is as good as full: {room} are free.", do)
    elif place.free < LOW_BYTES or place.free < LOW_SHARE * place.total:
        yield warning(SUBJECT, f"The disk of {place.path} is nearly full: {room} are free.", do)
    if place.free_inodes < FEW_INODES:
        yield error(SUBJECT, f"The file system of {place.path} has as good as no inodes left.", "Delete files there.")
