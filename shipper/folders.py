"""Creates folders that are no wider than they need to be, whatever the umask is."""

from __future__ import annotations

from pathlib import Path

_OTHERS_WRITE = 0o002
_USUAL_UMASK = 0o022


def make_folder(folder: Path, mode: int) -> None:
    """Create the folder and its missing parents with this mode, less the umask. Raises OSError.

    `Path.mkdir(parents=True)` would give the parents any mode that the umask allows. With an umask that allows others
    to write, such as the 000 of some container engines, the group may not write either: nobody has chosen that.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, mode)
    folder.mkdir(mode=mode & ~0o020 if not umask() & _OTHERS_WRITE else mode, exist_ok=True)


def umask() -> int:
    """The umask of this process, without setting it: os.umask would, for all threads (proc(5))."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("Umask:")), 8)
    except (OSError, StopIteration, ValueError):
        return _USUAL_UMASK
