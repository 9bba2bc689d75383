"""Checks the records of one chain in their order. Pure: records in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..records import SEAL_EVERY_S
from . import chain
from .chain import NO_HASH, Checked, Head, Keys
from .erasures import ERASED_ACTION, Erasures
from .report import ChainEnd, Report, TrailProblem
from .signing import Check

GRACE_S = 2 * SEAL_EVERY_S + 60  # after this, a seal that is not there does not come any more
CLOCK_TOLERANCE_S = 5.0  # records of several processes are written out of order by less than a second
CLOSED_ACTION = "chain-closed"


@dataclass(slots=True)
class Expected:
    """What the records are checked against.

    `signers`: public keys by id, oldest first. `whole`: the chains are read from their beginning. `closed`: chains that
    were declared closed, with their last head. `erasures` and `closed` grow as the records are read.
    """

    keys: Keys
    signers: Mapping[str, Check]
    prefix: str
    """Of the indices' names, to which year and month are added."""
    kept: timedelta
    whole: bool
    now: datetime
    erasures: Erasures = field(default_factory=Erasures)
    closed: dict[str, tuple[int, str]] = field(default_factory=dict)


class ChainCheck:
    """Follows one chain, and adds to the report. `add` each page of hits in order, then `end`."""

    def __init__(self, report: Report, expected: Expected) -> None:
        self._report, self._expected = report, expected
        self._last: Head | None = None
        self._newest = ""  # timestamp
        self._key: str | None = None
        self._signer = ""
        self._seal: tuple[datetime, int, str] | None = None  # time, uptime_ms and boot of the last one
        self._promise: int | None = None  # the last seal's next_s
        self._signed: tuple[Head, str, str] | None = None
        self._indices: dict[str, str] = {}

    def add(self, page: list[dict[str, Any]]) -> None:
        keys, last = self._expected.keys, self._last
        for hit in page:
            record = hit["_source"]
            checked = chain.check(record, keys)
            if checked is None:
                continue  # invalid chain id or number: reported as unchained
            self._report.records += 1
            if checked.verdict != "good":
                self._not_good(checked, hit)
            head = checked.head
            if last is None:
                self._begin(checked, hit)
            elif head.sequence != last.sequence + 1 or checked.previous != last.hash:
                self._broken(last, checked, hit)
            self._last = last = head
            if checked.key != self._key:
                self._other_key(checked, hit)
            self._place(record, hit, head)
            audit = record["audit"]
            if "signature" in audit["chain"]:
                self._signature(audit["chain"], head, hit)
            if "seal" in audit:
                self._sealed(audit["seal"], head, hit)
            elif checked.verdict == "good" and ("erased" in audit or "closed" in audit):
                self._declared(record)

    def end(self) -> None:
        if self._last is None:
            return
        at = _time(self._newest)
        self._report.ends.append(ChainEnd(self._last, at, self._signed))
        if at is not None and self._age_s(at) < -GRACE_S:
            self._find("clock", self._last, "", f"its last record is of {self._newest}, which is in the future")
        self._end_of_signed(self._last)

    def at_last(self) -> Iterator[TrailProblem]:
        """What can be found only when all chains are read: a chain that fell silent, or is not as long as was said."""
        last, at = self._last, _time(self._newest)
        if last is None:
            return
        count, head = self._expected.closed.get(last.id, (0, ""))
        if last.sequence < count or (last.sequence == count and last.hash != head):
            detail = f"it ended at #{count} when it was closed"
            yield TrailProblem("cut", last.id, last.sequence, "", detail)
        if at is None or self._promise is None or last.sequence <= count:
            return
        if self._age_s(at) > 2 * self._promise + 60:
            detail = (
                f"nothing came after {self._newest}, though a seal was due every {self._promise} s: its end was cut "
                "off, or is not shipped yet, or that machine is off (`shipper audit close` says so)"
            )
            yield TrailProblem("silent", last.id, last.sequence, "", detail)

    def _age_s(self, at: datetime) -> float:
        return (self._expected.now - at).total_seconds()

    def _find(self, kind: str, head: Head, where: str, detail: str) -> None:
        self._report.findings.append(TrailProblem(kind, head.id, head.sequence, where, detail))

    def _not_good(self, checked: Checked, hit: dict[str, Any]) -> None:
        if checked.verdict == "erased":
            self._report.erased += 1
            self._expected.erasures.seen(checked.head, checked.detail.split(", "), _where(hit))
        elif checked.verdict == "unchecked":
            self._report.unchecked += 1
        else:
            self._find(checked.verdict, checked.head, _where(hit), checked.detail)

    def _begin(self, checked: Checked, hit: dict[str, Any]) -> None:
        """If the first records are missing, they have to be past the retention."""
        head, self._key = checked.head, checked.key
        if not self._expected.whole or (head.sequence == 1 and checked.previous == NO_HASH):
            return
        at = _time(hit["_source"].get("@timestamp"))
        if at is None or at > self._expected.now - self._expected.kept:
            days = self._expected.kept.days
            missing = f"{_numbers(1, head.sequence - 1)} missing before it, younger than the retention of {days} days"
            self._find("gap", head, _where(hit), missing)
        else:
            self._report.notes.append(f"{head.id} begins at #{head.sequence}: what was before is past its retention.")

    def _broken(self, last: Head, checked: Checked, hit: dict[str, Any]) -> None:
        head = checked.head
        if head.sequence == last.sequence:
            self._find("doubled", head, _where(hit), "another record has this number")
        elif head.sequence > last.sequence + 1:
            missing = f"{_numbers(last.sequence + 1, head.sequence - 1)} missing before it"
            self._find("gap", head, _where(hit), missing)
        else:
            self._find("broken", head, _where(hit), "it does not continue the record before it")

    def _other_key(self, checked: Checked, hit: dict[str, Any]) -> None:
        """A chain goes from one key to the next, never back: a retired key may be known to many."""
        order = [None, *self._expected.keys.by_id]
        if checked.key in order:
            if self._key in order and order.index(checked.key) < order.index(self._key):
                if checked.key is not None:  # without one it is unkeyed already
                    self._find("retired-key", checked.head, _where(hit), f"{checked.key} was retired before it")
                return
            self._key = checked.key

    def _place(self, record: dict[str, Any], hit: dict[str, Any], head: Head) -> None:
        """Whether the document is where its record belongs, and the time goes on."""
        stamp = record.get("@timestamp")
        if type(stamp) is not str or hit["_id"] != record["event"].get("id"):
            return self._find("misplaced", head, _where(hit), "this document has the content of another one")
        month = stamp[:7]
        index = self._indices.get(month)
        if index is None:
            index = self._indices[month] = f"{self._expected.prefix}{month.replace('-', '.')}"
        if hit["_index"] != index:
            self._find("misplaced", head, _where(hit), f"a record of {stamp} belongs into {index}")
        if stamp >= self._newest:
            self._newest = stamp
        elif self._is_back(stamp):
            self._find("clock", head, _where(hit), f"the clock went back from {self._newest} to {stamp}")
            self._newest = stamp
        return None

    def _is_back(self, stamp: str) -> bool:
        before, now = _time(self._newest), _time(stamp)
        return before is None or now is None or (before - now).total_seconds() > CLOCK_TOLERANCE_S

    # --- seals and signatures

    def _signature(self, links: dict[str, Any], head: Head, hit: dict[str, Any]) -> None:
        signers, signer, signature = self._expected.signers, links.get("signer"), links["signature"]
        if not signers:
            self._report.unchecked += 1
            return None
        check = signers.get(signer) if isinstance(signer, str) else None
        if check is None:
            return self._find("unknown-key", head, _where(hit), f"it is signed with the key {signer}")
        if not check(chain.signed_message(head), signature):
            return self._find("forged", head, _where(hit), "its signature is wrong")
        order = list(signers)
        if self._signer and order.index(str(signer)) < order.index(self._signer):
            return self._find("retired-key", head, _where(hit), f"{signer} was retired before it")
        self._signer = str(signer)
        self._signed = (head, self._signer, signature)
        return None

    def _sealed(self, seal: Any, head: Head, hit: dict[str, Any]) -> None:
        """Compare the clocks of a seal with those of the one before."""
        try:
            at, uptime_ms, boot = datetime.fromisoformat(hit["_source"]["@timestamp"]), seal["uptime_ms"], seal["boot"]
            self._promise = int(seal["next_s"]) if "next_s" in seal else self._promise
        except (KeyError, TypeError, ValueError):
            return self._find("changed", head, _where(hit), "a seal that is none")
        if seal.get("closing"):
            self._promise = None
        if self._seal is not None and boot == self._seal[2] != "":
            before, then_ms, _ = self._seal
            jump_s = (at - before).total_seconds() - (uptime_ms - then_ms) / 1000
            if abs(jump_s) > CLOCK_TOLERANCE_S:
                detail = f"the clock jumped by {jump_s:+.0f} s since the seal of {before:%Y-%m-%dT%H:%M:%S}Z"
                self._find("clock", head, _where(hit), detail)
        self._seal = (at, uptime_ms, boot)
        return None

    def _end_of_signed(self, last: Head) -> None:
        """With public keys, each record has to be in a signed seal soon."""
        if not self._expected.signers:
            return
        sealed = self._signed[0].sequence if self._signed else 0
        if last.sequence <= sealed:
            return
        since = _time(self._newest)
        if since is not None and abs(self._age_s(since)) <= GRACE_S:
            self._report.waiting += last.sequence - sealed
        else:
            self._find("unsealed", last, "", f"{_numbers(sealed + 1, last.sequence)} in no signed seal")

    # --- what a record says about others

    def _declared(self, record: dict[str, Any]) -> None:
        action, audit = record["event"].get("action"), record["audit"]
        if action == ERASED_ACTION:
            self._expected.erasures.declared(audit.get("erased"))
        elif action == CLOSED_ACTION:
            try:
                closed = audit["closed"]
                self._expected.closed[str(closed["chain"])] = (int(closed["count"]), str(closed["head"]))
            except (KeyError, TypeError, ValueError):
                pass  # it declares nothing


def _where(hit: dict[str, Any]) -> str:
    return f"{hit['_index']}/{hit['_id']}"


def _numbers(first: int, last: int) -> str:
    return f"#{first} is" if first == last else f"#{first} to #{last} are"


def _time(stamp: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(stamp)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
