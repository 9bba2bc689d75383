"""This machine: the settings file, the log and the state folder, the shipper's status."""

from __future__ import annotations

import glob
import os
import stat
import time
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from ... import client
from ...settings import CONFIG_VARIABLE, SECRET, Settings
from ...ship import status
from ...ship.bulk import dead_letters
from ...sink import account_name, group_name, is_special_file
from ..subjects.folders import FolderFacts, Place
from ..subjects.settings import SettingsFacts
from ..subjects.shipping import ShippingFacts

_MOUNTS = Path("/proc/self/mountinfo")


def settings_facts(config: Settings, problems: Iterable[str], environment: Mapping[str, str]) -> SettingsFacts:
    """The settings, and the file that they are from."""
    file = Path(environment.get(CONFIG_VARIABLE) or "shipper.toml").absolute()
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # `problems` says so
        return SettingsFacts(config=config, problems=tuple(problems))
    secrets = sorted(name for name, value in found.items() if name in SECRET and _is_secret(name, value))
    return SettingsFacts(config=config, problems=tuple(problems), file=file, file_mode=mode, secrets=tuple(secrets))


def _is_secret(name: str, value: object) -> bool:
    """Whether it is one, and not only an address without a password."""
    if name in ("redis", "elasticsearch", "kibana", "proxy"):
        return "@" in str(value)
    return not (name == "notify" and value in ("log", ["log"]))


def folder_facts(config: Settings) -> FolderFacts:
    """The log and the state folder, as this account sees them."""
    mounts = _mounts()
    log = None if is_special_file(config.log) else _place(config.log, mounts)
    return FolderFacts(account=account_name(os.geteuid()), log=log, state=_place(config.state, mounts))


def _place(path: Path, mounts: Mapping[str, str]) -> Place:
    above = _nearest_folder(path)
    there = above.stat()
    disk = os.statvfs(above)
    common = {
        "path": path,
        "above": above,
        "above_mode": stat.S_IMODE(there.st_mode),
        "file_system": mounts.get(f"{os.major(there.st_dev)}:{os.minor(there.st_dev)}") or _by_folder(above, mounts),
        "device": there.st_dev,
        "free": disk.f_bavail * disk.f_frsize,
        "total": disk.f_blocks * disk.f_frsize,
        "free_inodes": disk.f_favail / disk.f_files if disk.f_files else 1.0,  # some file systems do not count them
    }
    try:
        found = path.stat()
    except OSError:
        return Place(kind=None, readable=False, writable=os.access(above, os.W_OK | os.X_OK), **common)  # type: ignore[arg-type]
    is_folder = stat.S_ISDIR(found.st_mode)
    return Place(
        kind="folder" if is_folder else "file" if stat.S_ISREG(found.st_mode) else "other",
        readable=os.access(path, os.R_OK),
        writable=os.access(path, os.W_OK | os.X_OK if is_folder else os.W_OK),
        owner=account_name(found.st_uid),
        group=group_name(found.st_gid),
        mode=stat.S_IMODE(found.st_mode),
        **common,  # type: ignore[arg-type]
    )


def _nearest_folder(path: Path) -> Path:
    """The path if it is a folder, else the first of those above it."""
    return next(one for one in (path, *path.parents) if one.is_dir())


def _mounts() -> dict[str, str]:
    """Device (`8:1`) → type of its file system (proc(5), mountinfo). Also by mount point, which begins with a slash."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        found[fields[2]] = found[fields[4]] = after.split()[0]
    return found


def _by_folder(folder: Path, mounts: Mapping[str, str]) -> str | None:
    """btrfs and others give their files other devices than their mounts have."""
    return next((mounts[str(one)] for one in (folder, *folder.parents) if str(one) in mounts), None)


def shipping_facts(config: Settings) -> ShippingFacts:
    """The status file, and how much there is to ship. Raises PermissionError if this account may not know."""
    if config.state.is_dir() and not os.access(config.state, os.R_OK | os.X_OK):
        raise PermissionError(f"{config.state} is another account's: run this as the shipper's")
    found = status.read(config.state)
    age_s = time.time() - datetime.fromisoformat(found["at"]).timestamp() if found else 0.0
    return ShippingFacts(
        state=config.state,
        status=found,
        age_s=age_s,
        is_old=age_s >= status.STALE_S,
        log_bytes=sum(_size(Path(name)) for pattern in config.files for name in glob.glob(pattern, recursive=True)),
        dead_letter_bytes=_size(config.state / dead_letters.FILE),
        dead_letter_limit=dead_letters.SIZE_LIMIT,
        elasticsearch=client.addresses_for_people(config),
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
