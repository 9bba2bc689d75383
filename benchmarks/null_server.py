"""A `_bulk` server that takes everything and keeps nothing: what a shipper costs when the server costs nothing.

    python -m benchmarks.null_server PORT [--refuse-half] [--keep FOLDER] [--take SECONDS]

Each document is answered with 201, or every other one with 400. With a folder, each request's body is kept there.
With `--take`, each answer takes so many seconds. `GET /count` says how many documents there were since `GET /begin`,
and how many seconds passed from the first request's head to the last one's answer: the same clock for everybody,
whether they end by themselves or not, and however long they take to start.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
import zlib
from pathlib import Path

ITEM = b'{"create":{"_index":"null","_id":"0","status":201}}'
SHORT_ITEM = b'{"create":{"status":201}}'  # what `filter_path=…status` asks for
REFUSED = (
    b'{"create":{"_index":"null","_id":"0","status":400,"error":{"type":"document_parsing_exception",'
    b'"reason":"[1:2] failed to parse field [a] of type [long]"}}}'
)
BLOCK = 1 << 20


class Seen:
    """What came since somebody said `/begin`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        self.count, self.first, self.last = 0, 0.0, 0.0

    def request(self) -> None:
        """A `_bulk` request begins to come."""
        with self._lock:
            self.first = self.first or time.monotonic()

    def documents(self, count: int) -> None:
        """These are here, and are answered now."""
        with self._lock:
            self.count += count
            self.last = time.monotonic()


seen = Seen()


refuses_half = False
kept_in: Path | None = None
takes_s = 0.0


def main(port: int) -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data, room = b"", bytearray(BLOCK)
    with connection:
        while True:
            while (end := data.find(b"\r\n\r\n")) < 0:
                more = connection.recv(BLOCK)
                if not more:
                    return
                data += more
            head, data = data[:end].lower(), data[end + 4 :]
            if b"/_bulk" in head.partition(b"\r\n")[0]:
                seen.request()
            if b"\r\nexpect: 100-continue" in head:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
            if len(room) < length:
                room = bytearray(length)
            got = min(len(data), length)
            room[:got], data = data[:got], data[got:]
            while got < length:
                more_length = connection.recv_into(memoryview(room)[got:length])
                if not more_length:
                    return
                got += more_length
            _keep(head, memoryview(room)[:length])
            if b"\r\ncontent-encoding: gzip" in head:
                lines = zlib.decompress(memoryview(room)[:length], wbits=31).count(b"\n")
            else:
                lines = room.count(b"\n", 0, length)
            connection.sendall(_answer(head, lines // 2))


def _keep(head: bytes, body: memoryview) -> None:
    if kept_in is not None and b"/_bulk" in head:
        (kept_in / f"{time.monotonic_ns():020}").write_bytes(body)


def _answer(head: bytes, documents: int) -> bytes:
    target = head.partition(b"\r\n")[0]
    if b"/_bulk" in target:
        time.sleep(takes_s)
        seen.documents(documents)
        item = SHORT_ITEM if b"filter_path" in head else ITEM
        items = [item] * documents
        if refuses_half:
            items[::2] = [REFUSED] * len(items[::2])
        errors = b"true" if refuses_half and documents else b"false"
        content = b'{"errors":%b,"items":[%b]}' % (errors, b",".join(items))
    elif b"/begin" in target:
        seen.begin()
        content = b"{}"
    elif b"/count" in target:
        content = b"[%d,%f]" % (seen.count, seen.last - seen.first)
    elif head.startswith(b"get /_"):
        return _http(
            b"404 Not Found", b'{"error":{"type":"resource_not_found_exception","reason":"null"},"status":404}'
        )
    else:
        content = b'{"acknowledged":true}' if head.startswith(b"put") else b"{}"
    return _http(b"200 OK", content)


def _http(status: bytes, content: bytes) -> bytes:
    headers = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nx-elastic-product: Elasticsearch\r\n" % status
    return headers + b"content-length: %d\r\n\r\n" % len(content) + content


if __name__ == "__main__":
    refuses_half = "--refuse-half" in sys.argv
    if "--keep" in sys.argv:
        kept_in = Path(sys.argv[sys.argv.index("--keep") + 1])
    if "--take" in sys.argv:
        takes_s = float(sys.argv[sys.argv.index("--take") + 1])
    main(int(sys.argv[1]))
