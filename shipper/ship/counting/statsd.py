"""The counters of jobs to a StatsD server, as the changes since the last time: by UDP, or a Unix datagram socket.

    rq.shop.low.shop_jobs_charge_card.finished:12|c            StatsD: no labels, so they are in the name
    rq.job.finished:12|c|#service:shop,queue:low,function:…    DogStatsD

Timers are in milliseconds. Where there are many values some of them are sent, with the rate that they stand for
(`|@0.1`). Datagrams may be lost, and the server may be away: nothing is sent twice, and nothing waits for it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

from .counter import JobCounter
from .tally import EVENTS, Labels, event_count

SIZE_LIMIT = 1432  # bytes of a datagram: an Ethernet frame's, less the headers, as StatsD's documentation has it
_NAMES = {"timeout": "timeouts"}
_COUNTED = (*EVENTS, "failed")


class StatsD:
    """Sends what was counted since the last call of `send`.

    `address`: host:port, or unix:///path. `tagged`: DogStatsD's tags.
    """

    def __init__(self, address: str, counter: JobCounter, *, tagged: bool) -> None:
        self._address = address
        self._counter = counter
        self._tagged = tagged
        self._sent = dict(counter.read())  # what was counted before this start was sent then

    def send(self) -> None:
        """Raises OSError if the host's name cannot be resolved, or there is no such socket."""
        lines = [*self._counts(), *self._timers()]
        if not lines:
            return
        with _connected(self._address) as server:
            for datagram in datagrams(lines):
                with suppress(ConnectionRefusedError, BlockingIOError):  # nobody listens, or not fast enough
                    server.send(datagram)

    def _counts(self) -> Iterator[str]:
        for labels, numbers in self._counter.read():
            before = self._sent.get(labels)
            if before == numbers:
                continue
            self._sent[labels] = numbers
            for event in _COUNTED:
                count = event_count(numbers, event) - (event_count(before, event) if before else 0)
                if count:
                    yield _line(labels, _NAMES.get(event, event), f"{count}|c", tagged=self._tagged)

    def _timers(self) -> Iterator[str]:
        for labels, measure, us, rate in self._counter.take_samples():
            value = f"{us / 1000:.15g}|ms" + (f"|@{rate:.4g}" if rate < 1 else "")
            yield _line(labels, measure, value, tagged=self._tagged)


def datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    """The lines in as few datagrams as they fit into."""
    held = b""
    for line in lines:
        encoded = line.encode()
        if held and len(held) + 1 + len(encoded) > SIZE_LIMIT:
            yield held
            held = b""
        held = held + b"\n" + encoded if held else encoded
    if held:
        yield held


def _line(labels: Labels, name: str, value: str, *, tagged: bool) -> str:
    if tagged:
        return f"rq.job.{name}:{value}|#{_tags(labels)}"
    return f"rq.{_path(labels)}.{name}:{value}"


@lru_cache(4096)
def _tags(labels: Labels) -> str:
    return ",".join(f"{name}:{_TAG.sub('_', one)}" for name, one in zip(_TAGS, labels, strict=True))


@lru_cache(4096)
def _path(labels: Labels) -> str:
    return ".".join(_PART.sub("_", one) for one in labels)


_TAGS = ("service", "queue", "function")
_TAG = re.compile(r"[,|#\s@]")  # what would end a tag
_PART = re.compile(r"[^A-Za-z0-9_-]")  # a dot would begin another part of the name


def _connected(address: str) -> socket.socket:
    if address.startswith("unix://"):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        target: object = address.removeprefix("unix://")
    else:
        host, _, port = address.rpartition(":")
        family, kind, _, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind)
    made.setblocking(False)
    try:
        made.connect(target)  # type: ignore[arg-type]
    except OSError:
        made.close()
        raise
    return made
