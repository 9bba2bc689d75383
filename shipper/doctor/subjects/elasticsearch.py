"""Elasticsearch: its version, security, shards and disks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...index.setup import SERVERLESS
from ..finding import Finding, error, note, warning

SUBJECT = "Elasticsearch"
OLDEST = (8, 19)  # the oldest that the tests run with
NEARLY_ALL = 0.9  # of the shards that a cluster takes
NO_WATERMARK = 0.05  # of a disk has to be free where the cluster does not say how much
GB = 1 << 30


@dataclass(frozen=True, slots=True)
class Watermark:
    """A limit of disk use as the cluster's settings have it: `85%`, `0.85`, or free space, `500mb`.

    `headroom`: with a percentage, the free space that is enough in any case.
    """

    limit: str
    headroom: str | None = None

    def free_bytes(self, total: int) -> float:
        """The free space that a disk of this size has to have. 0 if the limit cannot be read."""
        limit = self.limit.strip()
        if limit.endswith("%") or re.fullmatch(r"[01](\.\d+)?", limit):
            share = float(limit.rstrip("%")) / (100 if limit.endswith("%") else 1)
            wanted = total * (1 - share)
            return min(wanted, _bytes(self.headroom) or wanted) if self.headroom else wanted
        return _bytes(limit) or 0.0


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk of a data node, in bytes."""

    node: str
    total: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticsearchFacts:
    """`security`: whether it asks who somebody is; None if unknown. `is_local`: it is on this machine.

    `health`: of our indices: green, yellow or red; None if there are none, or it may not be asked. `shards` of
    `max_shards`: of the whole cluster. `low`, `high`, `flood`: the watermarks, None where they are switched off.
    `blocked`: our indices that take no documents.
    """

    version: str
    flavor: str
    client: int
    security: bool | None = None
    is_local: bool = False
    health: str | None = None
    nodes: int = 1
    shards: int = 0
    max_shards: int = 0
    disks: Sequence[Disk] = ()
    low: Watermark | None = None
    high: Watermark | None = None
    flood: Watermark | None = None
    blocked: Sequence[str] = ()


def findings(facts: ElasticsearchFacts) -> Iterator[Finding]:
    """What is wrong with the cluster."""
    if facts.flavor != SERVERLESS:
        yield from _of_versions(facts)
    if facts.security is False:
        make = note if facts.is_local else warning
        yield make(
            SUBJECT,
            "Its security is off: whoever can reach it can read, change and delete every record.",
            "Switch it on (xpack.security.enabled), then `shipper setup --roles` makes keys of least privilege.",
        )
    yield from _of_indices(facts)
    for disk in facts.disks:
        yield from _of_a_disk(disk, facts)


def _of_versions(facts: ElasticsearchFacts) -> Iterator[Finding]:
    version = tuple(int(part) for part in re.findall(r"\d+", facts.version)[:2])
    if version < OLDEST:
        yield error(SUBJECT, f"It is version {facts.version}.", "8.19 is the oldest that is supported: upgrade it.")
    elif version[0] != facts.client:
        yield warning(
            SUBJECT,
            f"It is version {facts.version}, and the Python client here is for version {facts.client}.",
            f"`pip install 'elasticsearch>={version[0]},<{version[0] + 1}'`",
        )


def _of_indices(facts: ElasticsearchFacts) -> Iterator[Finding]:
    if facts.blocked:
        yield error(
            SUBJECT,
            f"Indices take no documents: {', '.join(facts.blocked)}.",
            "After a full disk, make room there; Elasticsearch lifts the block itself. Else: `PUT INDEX/_settings "
            '{"index.blocks.read_only_allow_delete": null, "index.blocks.write": null}`.',
        )
    if facts.health == "red":
        yield error(
            SUBJECT,
            "A primary shard of our indices is not there: their records can neither be searched nor indexed.",
            "`GET _cluster/allocation/explain` says why.",
        )
    elif facts.health == "yellow" and facts.nodes > 1:
        yield warning(SUBJECT, "A replica of our indices is not there.", "`GET _cluster/allocation/explain` says why.")
    elif facts.health == "yellow":
        yield note(
            SUBJECT,
            "There is one node, so the replicas of our indices have no place: if its disk breaks, records are lost.",
            "Add a node, or take snapshots.",
        )
    if facts.max_shards and facts.shards >= NEARLY_ALL * facts.max_shards:
        yield error(
            SUBJECT,
            f"It has {facts.shards} shards, of {facts.max_shards} at most: then no new index can be made, and "
            "records of new days wait.",
            "Shorten SHIPPER_RETENTION, delete old indices, add a node, or raise cluster.max_shards_per_node.",
        )


def _of_a_disk(disk: Disk, facts: ElasticsearchFacts) -> Iterator[Finding]:
    told = f"The disk of the node {disk.node} has {disk.free / GB:.1f} GB of {disk.total / GB:.1f} GB free: "
    do = "Make room: shorten SHIPPER_RETENTION and run `shipper prune`, or give the node a larger disk."
    if facts.flood and disk.free < facts.flood.free_bytes(disk.total):
        yield error(SUBJECT, f"{told}indices there become read-only (flood stage {facts.flood.limit}).", do)
    elif facts.high and disk.free < facts.high.free_bytes(disk.total):
        yield error(SUBJECT, f"{told}shards are moved away from it (high watermark {facts.high.limit}).", do)
    elif facts.low and disk.free < facts.low.free_bytes(disk.total):
        yield warning(SUBJECT, f"{told}new shards are not put there (low watermark {facts.low.limit}).", do)
    elif facts.flood is None and disk.free < NO_WATERMARK * disk.total:
        yield error(SUBJECT, f"{told}it will be full, as the watermarks are switched off.", do)


_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50}


def _bytes(text: str | None) -> float | None:
    """Elasticsearch's byte sizes. None for any other text, such as -1."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgtp]?b)", (text or "").strip().lower())
    return float(found[1]) * _UNITS[found[2]] if found else None
