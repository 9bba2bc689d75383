"""A `_bulk` server that takes everything and keeps nothing: what a shipper costs when the server costs nothing.

    python -m benchmarks.null_server PORT

Each document is answered with 201. `GET /count` says how many there were.
"""

from __future__ import annotations

import socket
import sys
import threading
import zlib

ITEM = b'{"create":{"_index":"null","_id":"0","status":201}}'
SHORT_ITEM = b'{"create":{"status":201}}'  # what `filter_path=…status` asks for
BLOCK = 1 << 20

_lock = threading.Lock()
_count = 0


def main(port: int) -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    with connection:
        while True:
            while (end := data.find(b"\r\n\r\n")) < 0:
                more = connection.recv(BLOCK)
                if not more:
                    return
                data += more
            head, data = data[:end].lower(), data[end + 4 :]
            if b"\r\nexpect: 100-continue" in head:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
            parts = [data[:length]]
            data, missing = data[length:], length - len(data)
            while missing > 0:
                more = connection.recv(min(BLOCK, missing))
                if not more:
                    return
                parts.append(more)
                missing -= len(more)
            body = b"".join(parts)
            if b"\r\ncontent-encoding: gzip" in head:
                body = zlib.decompress(body, wbits=31)
            connection.sendall(_answer(head, body))


def _answer(head: bytes, body: bytes) -> bytes:
    global _count  # noqa: PLW0603 - one program, one count
    if b"/_bulk" in head.partition(b"\r\n")[0]:
        documents = body.count(b"\n") // 2
        with _lock:
            _count += documents
        item = SHORT_ITEM if b"filter_path" in head else ITEM
        content = b'{"errors":false,"items":[' + b",".join([item] * documents) + b"]}"
    elif b"/count" in head:
        content = b"%d" % _count
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
    main(int(sys.argv[1]))
