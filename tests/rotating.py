"""A folder with a log, and what the shipper's main loop does with it every few seconds, without a shipper."""

from __future__ import annotations

from pathlib import Path

from shipper import settings
from shipper.ship.source.checkpoints import Checkpoint
from shipper.ship.source.discovery import Discovery
from shipper.ship.source.rotation import MB, Rotation

LINE = b'{"number":%d}\n'


class Run:
    """A rotation that does not compress, a discovery on a folder, and all lines that were read."""

    def __init__(self, folder: Path, remembered: tuple[Checkpoint, ...] = (), **environment: str) -> None:
        self.log = folder / "records.jsonl"
        made = settings.load(
            environment={
                "SHIPPER_LOG": str(self.log),
                "XDG_STATE_HOME": str(folder),
                "SHIPPER_ROTATE_MB": "1",
                "SHIPPER_COMPRESS_LOGS": "false",  # a thread does that: what is there would depend on the moment
                **environment,
            }
        )
        self.discovery = Discovery(made.files, remembered)
        self.rotation = Rotation(made)
        self.lines: list[bytes] = []
        self._numbers = iter(range(10_000_000))

    def turn(self, *, acknowledge: bool = True) -> list[str]:
        """What the daemon does every few seconds. The names that are there then."""
        self.discovery.refresh()
        for tailed in self.discovery.files:
            while block := tailed.read():
                self.lines += bytes(block.data).splitlines()
                if acknowledge:
                    tailed.acknowledge(block.mark)
        self.rotation.run(self.discovery)
        return self.names()

    def names(self) -> list[str]:
        return sorted(path.name for path in self.log.parent.glob("*records.jsonl*"))

    def fill(self, size: int = MB) -> bytes:
        """Append so many bytes of lines, each another one. All of them."""
        written = b""
        while len(written) < size:
            written += b"".join(LINE % next(self._numbers) for _ in range(1000))
        with self.log.open("ab") as out:
            out.write(written)
        return written

    def close(self) -> None:
        self.rotation.close()
        self.discovery.close()
