"""The attacks on the audit trail, each as a function, and what names it afterwards.

docs/audit.md has the same table, as its threat model (tests/unit/test_threat_model.py compares). Those that need only
rights on the indices or the log are run by tests/integration/test_attacks.py, those with an API key of a role by
tests/integration/test_roles.py.

    python -m tests.attacks     prints the table
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from elasticsearch import AuthorizationException, Elasticsearch, ElasticsearchWarning

from shipper import settings
from shipper.audit import anchors, chain, signing, verify
from shipper.audit.chain import NO_HASH, Head
from shipper.audit.report import Report
from shipper.audit.seals import Kind
from shipper.audit.writer import Event, Trail
from shipper.index import setup
from shipper.records import index_name
from shipper.settings import Settings

KEY = "a key of sixteen characters"
INDEX, LOG, SHIPPER, OPERATOR, READER, ERASER, PRUNER, WRITER, VERIFIER = (
    "rights on the indices, no key of the trail",
    "may append to the log only",
    "the shipper's API key",
    "the operator's API key",
    "the reader's API key",
    "the eraser's API key",
    "the pruner's API key",
    "an account that writes the trail, with its keys",
    "the public keys, and rights on the indices",
)
REFUSED, NOTHING = "refused", "nothing"

Hit = dict[str, Any]


@dataclass
class World:
    """A trail of `log` in `search`. `role`: the client with the attacker's API key, where there is one."""

    search: Elasticsearch
    environment: dict[str, str]
    folder: Path
    role: Elasticsearch | None = None
    later: timedelta = timedelta(0)
    variables: dict[str, str] = field(default_factory=lambda: {"SHIPPER_AUDIT_KEY": KEY})
    anchored: list[bytes] = field(default_factory=list)
    shipped: int = 0

    @property
    def settings(self) -> Settings:
        return settings.load(environment={**self.environment, **self.variables})

    @property
    def log(self) -> Path:
        return Path(self.environment["SHIPPER_LOG"])

    @cached_property
    def index(self) -> str:
        """The first one's: what is written at another day's beginning is looked for here, too."""
        return index_name("rq.audit", datetime.now(UTC), self.environment["SHIPPER_NAMESPACE"])

    def write(self, *actions: str, seal: Kind | None = None) -> None:
        trail = Trail(self.settings)
        for action in actions:
            trail.write(Event(action=action, resource="customer:42", target="ann"))
        if seal is not None:
            assert trail.seal(seal)
        self.ship()

    def ship(self) -> None:
        """What the shipper does with the lines of the log: it creates each under its id."""
        lines = self.log.read_bytes().splitlines()[self.shipped :]
        self.shipped += len(lines)
        for line in lines:
            record = json.loads(line)
            self.search.options(ignore_status=409).create(index=self.index, id=record["event"]["id"], document=record)
        self.search.indices.refresh(index=self.index)

    def hits(self) -> list[Hit]:
        self.search.indices.refresh(index=self.index)
        return list(self.search.search(index=self.index, sort=[{"event.sequence": "asc"}], size=100)["hits"]["hits"])

    def put(self, hit: Hit, record: dict[str, Any] | None = None) -> None:
        self.search.index(index=hit["_index"], id=hit["_id"], document=record or hit["_source"], refresh=True)

    def delete(self, *hits: Hit) -> None:
        for hit in hits:
            self.search.delete(index=hit["_index"], id=hit["_id"], refresh=True)

    def append(self, record: dict[str, Any]) -> None:
        with self.log.open("ab") as log:
            log.write(json.dumps(record).encode() + b"\n")
        self.ship()

    def sign(self) -> None:
        """From now on seals are signed, hashes are without a key, and who verifies has the public key."""
        _, public = signing.make_key(self.folder / "seal.pem")
        self.variables = {
            "SHIPPER_AUDIT_SIGN_KEY": str(self.folder / "seal.pem"),
            "SHIPPER_AUDIT_PUBLIC_KEYS": str(public),
        }

    def verify(self) -> Report:
        made, now = self.settings, datetime.now(UTC) + self.later
        keys, signers = verify.keys_of(made), verify.signers_of(made)
        report = verify.verify(self.search, made, now=now)
        kept = anchors.parse(b"".join(self.anchored), keys, signers)
        anchors.compare(self.search, made, report, kept, keys, now)
        return report

    def anchor(self) -> None:
        report = self.verify()
        assert report.exit_status == 0, report.findings
        self.anchored += anchors.lines(report.ends, verify.keys_of(self.settings), datetime.now(UTC))

    def refused(self, act: Callable[[Elasticsearch], object]) -> None:
        assert self.role is not None
        try:
            act(self.role)
        except AuthorizationException:
            return
        raise AssertionError("Elasticsearch allowed it")


def forge(record: dict[str, Any], head: Head, key: bytes | None, action: str = "approved") -> Head:
    """Make the record say something else, with hashes that are right by this key."""
    record["event"]["action"] = action
    return chain.link(record, head, key)


def rebuild(world: World, key: bytes | None, signer: Any = None) -> None:
    """Forge all records of the index, one after the other."""
    head = Head(world.hits()[0]["_source"]["audit"]["chain"]["id"], 0, NO_HASH)
    for hit in world.hits():
        record = hit["_source"]
        record["user"] = {"id": "mallory"}
        for name in ("signer", "signature"):
            record["audit"]["chain"].pop(name, None)
        seal = signer if "seal" in record["audit"] else None
        head = chain.link(record, head, key, seal)
        world.put(hit)


# --- with rights on the indices


def change(world: World) -> None:
    world.write("one", "two", "three")
    hit = world.hits()[1]
    hit["_source"]["event"]["action"] = "nothing-happened"
    world.put(hit)


def delete(world: World) -> None:
    world.write("one", "two", "three")
    world.delete(world.hits()[1])


def copy(world: World) -> None:
    world.write("one", "two")
    hit = world.hits()[0]
    world.put({**hit, "_id": "f" * 32})


def swap(world: World) -> None:
    world.write("one", "two")
    one, other = world.hits()
    world.put(one, other["_source"])
    world.put(other, one["_source"])


def another_key(world: World) -> None:
    world.write("one", "two", "three")
    world.anchor()
    for hit in world.hits():  # only what stands in the document, with digests that need no key
        record = hit["_source"]
        links = record["audit"]["chain"]
        record["user"]["id"] = "mallory"
        stated = links["hash"]
        chain.link(record, Head(links["id"], record["event"]["sequence"] - 1, links["previous"]), None)
        record["audit"]["chain"] |= {"key": "0123456789abcdef", "hash": stated}
        world.put(hit)


def no_key(world: World) -> None:
    world.write("one", "two")
    rebuild(world, None)


def own_chain(world: World) -> None:
    world.write("one")
    record = deepcopy(world.hits()[0]["_source"])
    record["event"]["id"] = "e" * 32
    forge(record, Head("web-2-00000000", 0, NO_HASH), None)
    world.put({"_index": world.index, "_id": "e" * 32}, record)


def erase(world: World) -> None:
    world.write("one", "two")
    hit = world.hits()[0]
    chain.erase(hit["_source"], chain.PERSONAL)
    world.put(hit)


def cut_running(world: World) -> None:
    world.write("one", seal=Kind(next_s=300))
    world.write("two", "three")
    world.delete(*world.hits()[2:])
    world.later = timedelta(minutes=12)


def cut_stopped(world: World) -> None:
    world.write("one", seal=Kind(closing=True))
    world.write("two", seal=Kind(closing=True))
    world.delete(*world.hits()[2:])
    world.later = timedelta(days=1)


def cut_anchored(world: World) -> None:
    world.write("one", "two")
    world.anchor()
    world.delete(*world.hits()[1:])


def delete_chain(world: World) -> None:
    world.write("one")
    world.delete(*world.hits())


def delete_anchored_chain(world: World) -> None:
    world.write("one")
    world.anchor()
    world.delete(*world.hits())


def rebuild_plain(world: World) -> None:
    world.variables = {}
    world.write("one", "two")
    rebuild(world, None)


def rebuild_plain_anchored(world: World) -> None:
    world.variables = {}
    world.write("one", "two")
    world.anchor()
    rebuild(world, None)


# --- may append to the log


def own_key(world: World) -> None:
    world.write("one")
    record = deepcopy(world.hits()[-1]["_source"])
    record["event"]["id"] = "d" * 32
    forge(record, chain.head_of(record) or Head("", 0, ""), b"a key of the attacker's")
    world.append(record)


def own_record(world: World) -> None:
    world.variables = {}
    world.write("one")
    record = deepcopy(world.hits()[-1]["_source"])
    record["event"]["id"] = "d" * 32
    forge(record, chain.head_of(record) or Head("", 0, ""), None)
    world.append(record)
    world.write("two")


def enormous(world: World) -> None:
    world.write("one")
    record = deepcopy(world.hits()[-1]["_source"])
    record["event"] |= {"id": "d" * 32}
    links = record["audit"]["chain"]
    forge(record, Head(links["id"], 2**53 - 3, links["hash"]), None)
    record["event"]["sequence"] = 2**53 - 1
    world.append(record)
    world.log.with_name(f".{world.log.name}.chain").unlink()
    world.write("two", "three")
    assert [hit["_source"]["event"]["action"] for hit in world.hits()[:3]] == ["one", "two", "three"]


def plain_line(world: World) -> None:
    world.write("one")
    record = deepcopy(world.hits()[-1]["_source"])
    del record["audit"]["chain"], record["event"]["sequence"]
    record["event"] |= {"id": "d" * 32, "action": "approved"}
    world.append(record)


# --- with an API key


def hide(world: World) -> None:
    world.write("one")
    assert world.role is not None
    field = {"type": "date", "script": {"source": "emit(0L)"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ElasticsearchWarning)  # that Elasticsearch 10 will not allow it
        world.role.indices.put_mapping(index=world.index, runtime={"@timestamp": field})


def rewrite(world: World) -> None:
    world.write("one")
    hit = world.hits()[0]
    world.refused(lambda role: role.index(index=hit["_index"], id=hit["_id"], document={"event": {}}))
    world.refused(lambda role: role.delete(index=hit["_index"], id=hit["_id"]))


def create(world: World) -> None:
    world.write("one")
    record = deepcopy(world.hits()[-1]["_source"])
    record["event"]["id"] = "d" * 32
    forge(record, chain.head_of(record) or Head("", 0, ""), None)
    assert world.role is not None
    world.role.create(index=world.index, id="d" * 32, document=record)


def drop(world: World) -> None:
    """A pipeline that drops some records, on indices that are yet to be made."""
    assert world.role is not None
    name = world.environment["SHIPPER_NAMESPACE"]
    world.role.ingest.put_pipeline(id=f"drop-{name}", processors=[{"drop": {"if": "ctx.event.action == 'two'"}}])
    world.role.indices.put_index_template(
        name=f"over-{name}",
        index_patterns=[f"rq-audit-{name}-*"],
        priority=501,
        template={
            **setup.template_of("rq-audit")["template"],
            "settings": {"index.default_pipeline": f"drop-{name}"},
        },
        composed_of=["rq-common"],
    )
    try:
        world.write("one", "two", "three")
    finally:
        world.role.indices.delete_index_template(name=f"over-{name}")


def guess(world: World) -> None:
    """A template that maps nothing: Elasticsearch guesses the mappings."""
    assert world.role is not None
    name = world.environment["SHIPPER_NAMESPACE"]
    world.role.indices.put_index_template(
        name=f"over-{name}", index_patterns=[f"rq-audit-{name}-*"], priority=501, template={}
    )
    try:
        world.write("one")
    finally:
        world.role.indices.delete_index_template(name=f"over-{name}")


def rewrite_as_eraser(world: World) -> None:
    world.write("one")
    hit = world.hits()[0]
    hit["_source"]["event"]["action"] = "nothing-happened"
    assert world.role is not None
    world.role.index(index=hit["_index"], id=hit["_id"], document=hit["_source"])


def delete_index(world: World) -> None:
    world.write("one")
    world.anchor()
    assert world.role is not None
    world.role.indices.delete(index=world.index)


# --- with keys of the trail


def with_all_keys(world: World) -> None:
    world.write("one", "two")
    rebuild(world, KEY.encode())


def with_all_keys_anchored(world: World) -> None:
    world.write("one", "two")
    world.anchor()
    rebuild(world, KEY.encode())


def set_clock_back(world: World) -> None:
    world.write("one")
    trail = Trail(world.settings)
    record = trail.record(Event(action="two"))
    record["@timestamp"] = f"{record['@timestamp'][:8]}01T00:00:00.000001Z"
    assert trail._chain.append(record)
    world.ship()


def rebuild_signed(world: World) -> None:
    world.sign()
    world.write("one", "two", seal=Kind())
    rebuild(world, None)
    world.later = timedelta(minutes=12)


def sign_with_another(world: World) -> None:
    world.sign()
    world.write("one", "two", seal=Kind())
    signing.make_key(world.folder / "own.pem")
    rebuild(world, None, signing.signer_of(world.folder / "own.pem"))


@dataclass(frozen=True)
class Attack:
    """`found`: the kinds of findings, REFUSED (Elasticsearch does not allow it), or NOTHING."""

    who: str
    does: str
    found: tuple[str, ...]
    act: Callable[[World], None]

    @property
    def row(self) -> str:
        """As in docs/audit.md."""
        return f"| {self.who} | {self.does} | {', '.join(f'`{kind}`' for kind in self.found)} |"


ATTACKS = (
    Attack(INDEX, "changes a record", ("changed",), change),
    Attack(INDEX, "deletes a record", ("gap",), delete),
    Attack(INDEX, "copies a record", ("doubled", "misplaced"), copy),
    Attack(INDEX, "swaps the contents of two ids", ("misplaced",), swap),
    Attack(INDEX, "changes all records and names another key on them", ("changed", "unknown-key"), another_key),
    Attack(INDEX, "computes all hashes again without the key", ("unkeyed",), no_key),
    Attack(INDEX, "adds a chain of its own", ("unkeyed",), own_chain),
    Attack(INDEX, "removes personal fields and their salts", ("erased",), erase),
    Attack(INDEX, "cuts off the end of a chain, a shipper seals it", ("silent",), cut_running),
    Attack(INDEX, "cuts off the end back to a closing seal, that machine is off", (NOTHING,), cut_stopped),
    Attack(INDEX, "cuts off the end, behind an anchor", ("cut",), cut_anchored),
    Attack(INDEX, "deletes a whole chain", (NOTHING,), delete_chain),
    Attack(INDEX, "deletes a whole chain that was anchored", ("cut",), delete_anchored_chain),
    Attack(INDEX, "rebuilds a chain that has neither key nor signature nor anchor", (NOTHING,), rebuild_plain),
    Attack(INDEX, "rebuilds a chain without key or signature that was anchored", ("changed",), rebuild_plain_anchored),
    Attack(LOG, "appends a record to the chain with a key of its own", ("unknown-key",), own_key),
    Attack(LOG, "appends a record to a chain without key", ("doubled",), own_record),
    Attack(LOG, "appends a record with an enormous number; then the head is lost", ("changed", "gap"), enormous),
    Attack(LOG, "appends an audit record outside of the chain", ("unchained",), plain_line),
    Attack(SHIPPER, "changes or deletes a record", (REFUSED,), rewrite),
    Attack(SHIPPER, "creates a record of its own", ("unkeyed",), create),
    Attack(SHIPPER, "hides records by a runtime field in the mapping", ("mapping",), hide),
    Attack(OPERATOR, "changes or deletes a record", (REFUSED,), rewrite),
    Attack(OPERATOR, "has an ingest pipeline drop records", ("gap", "mapping"), drop),
    Attack(OPERATOR, "has new indices map fields otherwise", ("mapping",), guess),
    Attack(READER, "changes or deletes a record", (REFUSED,), rewrite),
    Attack(ERASER, "changes a record", ("changed",), rewrite_as_eraser),
    Attack(PRUNER, "deletes an index too early, behind an anchor", ("cut",), delete_index),
    Attack(WRITER, "rebuilds the chain", (NOTHING,), with_all_keys),
    Attack(WRITER, "rebuilds a chain that was anchored", ("changed",), with_all_keys_anchored),
    Attack(WRITER, "sets the clock back for a record", ("clock",), set_clock_back),
    Attack(VERIFIER, "rebuilds the chain without signatures", ("unsealed",), rebuild_signed),
    Attack(VERIFIER, "rebuilds the chain and signs it with a key of its own", ("unknown-key",), sign_with_another),
)


def run(attack: Attack, world: World) -> None:
    """Attack, and assert that `verify` names just that, or nothing where docs/audit.md says so."""
    attack.act(world)
    report = world.verify()
    expected = set() if attack.found in ((REFUSED,), (NOTHING,)) else set(attack.found)
    assert {one.kind for one in report.findings} == expected, report.findings
    assert report.exit_status == (1 if expected else 0)


if __name__ == "__main__":
    print("\n".join(attack.row for attack in ATTACKS))  # noqa: T201 - to be pasted into docs/audit.md
