"""Filebeat's protocol (Lumberjack 2), as far as it takes to send records to Logstash, and to wait until it has them.

https://github.com/elastic/go-lumber
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any


def send(port: int, records: Sequence[dict[str, Any]], limit_s: float = 60.0) -> None:
    """Send records to a `beats` input on this machine; return when all are acknowledged. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=limit_s) as connection:
        frames = [b"2W" + struct.pack(">I", len(records))]
        for number, record in enumerate(records, 1):
            content = json.dumps(record).encode()
            frames.append(b"2J" + struct.pack(">II", number, len(content)) + content)
        connection.sendall(b"".join(frames))
        answers = connection.makefile("rb")
        acknowledged = 0
        while acknowledged < len(records):
            answer = answers.read(6)
            if len(answer) < 6:
                raise ConnectionError(f"{acknowledged} of {len(records)} records were acknowledged")
            if answer[:2] != b"2A":
                raise ConnectionError(f"this is no acknowledgement: {answer!r}")
            (acknowledged,) = struct.unpack(">I", answer[2:])
