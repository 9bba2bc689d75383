"""What the check of a chain finds, record by record, without an Elasticsearch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from shipper.audit import anchors, chain, erasures, signing
from shipper.audit.chain import NO_HASH, Head, Keys
from shipper.audit.checking import ChainCheck, Expected
from shipper.audit.erasures import ERASED_ACTION
from shipper.audit.report import Report
from shipper.errors import SettingsError
from shipper.records import timestamp

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEY, OLD = b"a key of sixteen characters", b"the key that was before it"
Records = list[dict[str, Any]]


class Writer:
    """Writes a chain, one record a second before NOW."""

    def __init__(self, key: bytes | None = None, *, begin: datetime = NOW - timedelta(minutes=1)) -> None:
        self.key, self.at, self.head = key, begin, Head("host-1", 0, NO_HASH)
        self.signer: tuple[str, Callable[[bytes], str]] | None = None
        self.records: Records = []

    def add(self, action: str = "changed", *, after_s: float = 1, **audit: Any) -> dict[str, Any]:
        self.at += timedelta(seconds=after_s)
        record: dict[str, Any] = {
            "@timestamp": timestamp(self.at),
            "event": {"id": f"{len(self.records):032x}", "dataset": "rq.audit", "action": action},
            "user": {"id": "ann"},
            "audit": {"actor": {"type": "user"}, **audit},
            "message": action,
        }
        signer = self.signer if "seal" in audit else None
        self.head = chain.link(record, self.head, self.key, signer)
        self.records.append(record)
        return record

    def seal(self, *, after_s: float = 1, uptime_s: float | None = None, **more: Any) -> dict[str, Any]:
        uptime_ms = int(1000 * (self.at.timestamp() + after_s if uptime_s is None else uptime_s))
        seal = {"count": self.head.sequence, "head": self.head.hash, "uptime_ms": uptime_ms, "boot": "b", **more}
        return self.add("chain-sealed", after_s=after_s, seal=seal)


def checked(*chains: Records, keys: Keys = chain.NO_KEYS, signers: Any = None, whole: bool = True) -> Report:
    report = Report()
    expected = Expected(keys, signers or {}, "rq-audit-shop-", timedelta(days=1095), whole, NOW)
    checks = []
    for records in chains:
        check = ChainCheck(report, expected)
        check.add([hit(record, at) for at, record in enumerate(records)])
        check.end()
        checks.append(check)
    report.findings += [finding for check in checks for finding in check.at_last()]
    report.findings += expected.erasures.findings()
    return report


def hit(record: dict[str, Any], number: int, index: str | None = None) -> dict[str, Any]:
    """The record as Elasticsearch gives it, with the id of the record `number`."""
    month = record["@timestamp"][:7].replace("-", ".")
    source = orjson.loads(orjson.dumps(record))
    return {"_index": index or f"rq-audit-shop-{month}", "_id": f"{number:032x}", "_source": source}


def kinds(report: Report) -> list[tuple[str, int]]:
    return [(one.kind, one.sequence) for one in report.findings]


def test_a_whole_chain_is_all_good() -> None:
    writer = Writer(KEY)
    for _ in range(5):
        writer.add()
    report = checked(writer.records, keys=Keys.of(KEY))
    assert (report.findings, report.exit_status) == ([], 0)
    assert report.conclusion == "5 records in 1 chains: all is as it was written."


def test_records_of_a_key_that_nobody_listed_are_findings() -> None:
    writer = Writer(KEY)
    writer.add()
    writer.key = b"a key of the attacker's"
    writer.add("approved")
    assert kinds(checked(writer.records, keys=Keys.of(KEY))) == [("unknown-key", 2)]


def test_without_any_key_nothing_is_said_to_be_well() -> None:
    writer = Writer(KEY)
    writer.add()
    report = checked(writer.records)
    assert (report.findings, report.unchecked, report.exit_status) == ([], 1, 3)
    assert report.conclusion == "1 records in 1 chains: 1 of them could not be checked."


def test_a_retired_key_is_good_until_the_next_one_is_used_and_not_after() -> None:
    writer = Writer(OLD)
    writer.add()
    writer.key = KEY
    writer.add()
    keys = Keys.of(KEY, [OLD])
    assert kinds(checked(writer.records, keys=keys)) == []
    writer.key = OLD
    writer.add("approved")
    assert kinds(checked(writer.records, keys=keys)) == [("retired-key", 3)]
    assert kinds(checked(writer.records, keys=Keys.of(KEY))) == [("unknown-key", 1), ("unknown-key", 3)]


def test_bodies_that_were_swapped_are_misplaced() -> None:
    writer = Writer()
    one, other = writer.add(), writer.add()
    report = Report()
    expected = Expected(chain.NO_KEYS, {}, "rq-audit-shop-", timedelta(days=1095), True, NOW)
    check = ChainCheck(report, expected)
    check.add([hit(one, 1), hit(other, 0)])
    assert kinds(report) == [("misplaced", 1), ("misplaced", 2)]
    check.add([hit(writer.add(), 2, "rq-audit-shop-2026.10")])
    assert kinds(report)[2:] == [("misplaced", 3)]


def test_an_erasure_needs_a_record_of_it() -> None:
    writer = Writer()
    for number in range(4):
        writer.add(f"step-{number}")
    for record in writer.records[:3]:
        assert chain.erase(record, ["actor"])
    assert kinds(checked(writer.records)) == [("erased", 1), ("erased", 2), ("erased", 3)]
    gone = [(Head("host-1", number, ""), ["actor"]) for number in (1, 2)]
    elsewhere = Writer()
    elsewhere.head = Head("host-2", 0, NO_HASH)
    elsewhere.add(ERASED_ACTION, erased=erasures.declaration(gone))
    report = checked(writer.records, elsewhere.records)
    assert (kinds(report), report.erased) == ([("erased", 3)], 3)
    chain.erase(writer.records[0], ["content"])  # which nobody declared
    assert kinds(checked(writer.records, elsewhere.records)) == [("erased", 1), ("erased", 3)]


def test_an_erasure_that_is_declared_by_a_changed_record_is_none() -> None:
    writer = Writer()
    writer.add()
    chain.erase(writer.records[0], ["actor"])
    writer.add(ERASED_ACTION)["audit"]["erased"] = erasures.declaration([(Head("host-1", 1, ""), ["actor"])])
    assert kinds(checked(writer.records)) == [("changed", 2), ("erased", 1)]


def test_declarations_are_ranges() -> None:
    gone = [(Head("c", number, ""), ["actor"]) for number in (7, 1, 2, 3, 9)]
    assert erasures.declaration(gone) == [{"chain": "c", "group": "actor", "sequences": "1-3,7,9"}]


@pytest.mark.parametrize("odd", [None, 7, [7], [{}], [{"chain": [], "group": "a", "sequences": "1-x"}]])
def test_an_odd_declaration_declares_nothing(odd: Any) -> None:
    found = erasures.Erasures()
    found.declared(odd)
    found.seen(Head("c", 1, ""), ["actor"], "index/id")
    assert [one.kind for one in found.findings()] == ["erased"]


# --- seals


def test_a_clock_that_was_set_is_seen_at_the_next_seal() -> None:
    writer = Writer()
    writer.add()
    writer.seal(uptime_s=1000)
    writer.seal(after_s=30, uptime_s=1030)
    writer.seal(after_s=30, uptime_s=1900)
    report = checked(writer.records)
    assert kinds(report) == [("clock", 4)]
    assert "jumped by -840 s" in report.findings[0].detail


def test_a_clock_that_was_set_back_for_one_record_is_seen_at_that_record() -> None:
    writer = Writer()
    writer.add()
    writer.add(after_s=-3600)
    writer.add(after_s=3600)
    assert kinds(checked(writer.records)) == [("clock", 2)]
    writer.add(after_s=-1)  # two processes that write at once
    assert kinds(checked(writer.records)) == [("clock", 2)]


def test_a_time_in_the_future_is_a_finding() -> None:
    writer = Writer(begin=NOW + timedelta(days=1))
    writer.add()
    assert kinds(checked(writer.records)) == [("clock", 1)]


def test_a_chain_that_falls_silent_is_found_unless_it_was_closed() -> None:
    writer = Writer(begin=NOW - timedelta(hours=1))
    writer.add()
    writer.seal(next_s=300)
    assert kinds(checked(writer.records)) == [("silent", 2)]
    other = Writer()
    other.head = Head("host-2", 0, NO_HASH)
    other.add("chain-closed", closed={"chain": "host-1", "count": 2, "head": writer.head.hash})
    assert kinds(checked(writer.records, other.records)) == []
    assert kinds(checked(writer.records[:1], other.records)) == [("cut", 1)]
    writer.seal(closing=True)
    assert kinds(checked(writer.records)) == []


def test_a_short_break_is_no_silence() -> None:
    writer = Writer(begin=NOW - timedelta(minutes=6))
    writer.add()
    writer.seal(next_s=300)
    assert kinds(checked(writer.records)) == []


# --- signatures


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """(private, public) key files."""
    _, public = signing.make_key(tmp_path / "seal.pem")
    return tmp_path / "seal.pem", public


def signed(private: Path, *, begin: datetime = NOW - timedelta(minutes=1)) -> Writer:
    writer = Writer(begin=begin)
    writer.signer = signing.signer_of(private)
    for _ in range(3):
        writer.add()
    writer.seal()
    return writer


def test_a_signed_seal_is_verified_with_the_public_key_alone(pair: tuple[Path, Path]) -> None:
    writer = signed(pair[0])
    report = checked(writer.records, signers=signing.checks_of([pair[1]]))
    assert (report.findings, report.waiting, report.exit_status) == ([], 0, 0)
    writer.add()
    report = checked(writer.records, signers=signing.checks_of([pair[1]]))
    assert (report.findings, report.waiting) == ([], 1)
    assert (
        report.conclusion == "5 records in 1 chains: as they were written up to the last seals. 1 are not sealed yet."
    )


def test_without_the_public_key_signatures_are_not_checked(pair: tuple[Path, Path]) -> None:
    assert checked(signed(pair[0]).records).exit_status == 3


def test_whoever_can_verify_cannot_forge(pair: tuple[Path, Path], tmp_path: Path) -> None:
    signers = signing.checks_of([pair[1]])
    long_ago = NOW - timedelta(days=1)
    true = signed(pair[0], begin=long_ago).records
    rebuilt = Writer(begin=long_ago)  # all hashes are right: there is no key in them
    for _ in range(3):
        rebuilt.add("approved")
    assert kinds(checked(rebuilt.records, signers=signers)) == [("unsealed", 3)]
    signing.make_key(tmp_path / "own.pem")
    with_own_key = signed(tmp_path / "own.pem", begin=long_ago)
    assert kinds(checked(with_own_key.records, signers=signers)) == [("unknown-key", 4), ("unsealed", 4)]
    copied = Writer(begin=long_ago)
    copied.signer = (signing.signer_of(pair[0])[0], lambda _: true[-1]["audit"]["chain"]["signature"])
    copied.add("approved")
    copied.seal()
    assert kinds(checked(copied.records, signers=signers)) == [("forged", 2), ("unsealed", 2)]


def test_a_retired_key_signs_nothing_after_its_successor(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, later = signing.make_key(tmp_path / "later.pem")
    writer = signed(pair[0])
    writer.signer = signing.signer_of(tmp_path / "later.pem")
    writer.seal()
    signers = signing.checks_of([pair[1], later])
    assert kinds(checked(writer.records, signers=signers)) == []
    writer.signer = signing.signer_of(pair[0])
    writer.seal()
    assert kinds(checked(writer.records, signers=signers)) == [("retired-key", 6)]


def test_key_files_that_cannot_be_used_are_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    pair[0].chmod(0o644)
    with pytest.raises(SettingsError, match="chmod o="):
        signing.signer_of(pair[0])
    for load in (signing.signer_of, lambda file: signing.checks_of([file])):
        for content, said in ((b"nonsense", "no Ed25519"), (None, "cannot be read")):
            file = tmp_path / f"other-{content is None}"
            if content:
                file.write_bytes(content)
                file.chmod(0o600)
            with pytest.raises(SettingsError, match=said):
                load(file)
    with pytest.raises(FileExistsError):
        signing.make_key(pair[0])


# --- anchors


def test_anchors_of_a_signed_chain_carry_the_seal_s_signature(pair: tuple[Path, Path]) -> None:
    signers = signing.checks_of([pair[1]])
    writer = signed(pair[0])
    writer.add()
    report = checked(writer.records, signers=signers)
    (line,) = anchors.lines(report.ends, chain.NO_KEYS, NOW)
    found = anchors.parse(line, chain.NO_KEYS, signers)
    assert ([head.sequence for head, _ in found.heads], found.problems) == ([4], [])
    for forged in (
        line.replace(b'"sequence":4', b'"sequence":3'),
        b'{"id":"host-1","sequence":4,"hash":"f","@timestamp":"2026-11-26T12:00:00Z"}',
    ):
        assert [one.kind for one in anchors.parse(forged, chain.NO_KEYS, signers).problems] == ["anchor"]
    assert anchors.parse(line, chain.NO_KEYS, {}).unchecked == 1


def test_anchors_with_a_key_have_to_be_signed_with_it() -> None:
    writer = Writer(KEY)
    writer.add()
    report = checked(writer.records, keys=Keys.of(KEY))
    (line,) = anchors.lines(report.ends, Keys.of(KEY), NOW)
    assert anchors.parse(line, Keys.of(b"the key that came after it", [KEY]), {}).problems == []
    for keys, given in ((Keys.of(OLD), line), (Keys.of(KEY), anchors.lines(report.ends, chain.NO_KEYS, NOW)[0])):
        assert [one.kind for one in anchors.parse(given, keys, {}).problems] == ["anchor"]
    assert anchors.parse(line, chain.NO_KEYS, {}).unchecked == 1
