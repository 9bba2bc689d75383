"""The audit trail from a program to Elasticsearch and back: recorded, shipped, verified, erased, searched."""

from __future__ import annotations

import json
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

import shipper
from shipper import audit, records, settings
from shipper.errors import ShipperError
from shipper.settings import Settings
from tests.programs import LIMIT_S, Programs, wait_for

KEY = {"SHIPPER_AUDIT_KEY": "a key of sixteen characters"}


def index(programs: Programs) -> str:
    return f"rq-audit-{programs.environment['SHIPPER_NAMESPACE']}-*"


def write(programs: Programs, *actions: str, **environment: str) -> None:
    lines = "".join(json.dumps({"action": action, "resource": "customer:42"}) + "\n" for action in actions)
    programs.run("shipper", "audit", "record", "--stdin", stdin=lines.encode(), **environment)


def ship(programs: Programs, search: Elasticsearch) -> None:
    programs.run("shipper", "run", "--once")
    search.indices.refresh(index=index(programs), ignore_unavailable=True)


def documents(programs: Programs, search: Elasticsearch) -> list[dict[str, Any]]:
    hits = search.search(index=index(programs), sort=[{"event.sequence": "asc"}], size=1000)["hits"]["hits"]
    return list(hits)


def verify(programs: Programs, *flags: str, **environment: str) -> dict[str, Any]:
    done = programs.run("shipper", "audit", "verify", "--json", *flags, check=False, **environment)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if report["findings"] else 3 if report["unchecked"] else 0), done.stderr
    return report


def change(search: Elasticsearch, hit: dict[str, Any], **event: Any) -> None:
    """Changes by an administrator with all privileges."""
    source = hit["_source"] | {"event": hit["_source"]["event"] | event}
    search.index(index=hit["_index"], id=hit["_id"], document=source, refresh=True)


def test_a_shell_script_writes_to_the_same_chain(programs: Programs) -> None:
    programs.run(
        "shipper",
        "audit",
        "record",
        "backup-made",
        "--resource",
        "database:shop",
        "--reason",
        "nightly",
        "--after",
        '{"bytes": 12, "password": "s3cret"}',
        "--customer",
        "42",
        SHIPPER_ACTOR="cron",
    )
    programs.run("shipper", "audit", "record", "login", "--actor", "ann", "--outcome", "denied")
    first, second = programs.audit()
    assert (first["audit"]["actor"]["type"], first["user"]["id"]) == ("operator", "cron")
    assert first["audit"]["changes"] == {"after": {"bytes": 12, "password": "[redacted]"}}
    assert first["organization"]["id"] == "42"
    assert (second["audit"]["actor"]["type"], second["user"]["id"]) == ("user", "ann")
    assert second["event"]["type"] == ["info", "denied"]
    seal = next(record for record in programs.written() if "seal" in record["audit"])  # of the process that ended
    assert seal["audit"]["chain"]["previous"] == first["audit"]["chain"]["hash"]
    assert second["audit"]["chain"]["previous"] == seal["audit"]["chain"]["hash"]
    assert programs.log.stat().st_mode & stat.S_IRWXO == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 1 is not JSON"),
        ("[]", "line 1 is not a JSON object"),
        ("{}", '"action" is missing'),
        ('{"action":"x","colour":"red"}', "'colour' is not known. Known are action"),
        ('{"action":"x","actor":"ann"}', '"actor" is an object'),
    ],
)
def test_a_line_that_cannot_be_gets_a_clear_word(programs: Programs, line: str, said: str) -> None:
    done = programs.run("shipper", "audit", "record", "--stdin", stdin=line.encode(), check=False)
    assert done.returncode == 1
    assert said in done.stderr


def test_another_program_s_lines_are_shipped_and_told_of_as_unchained(
    programs: Programs, search: Elasticsearch
) -> None:
    line = {
        "@timestamp": datetime.now(UTC).isoformat(),
        "event": {"dataset": "rq.audit", "action": "deployed"},
        "message": "Rails deployed",
        "user": {"id": "rita"},
        "audit": {"actor": {"type": "user"}},
    }
    programs.log.write_text(json.dumps(line) + "\n")
    ship(programs, search)
    assert [hit["_source"]["message"] for hit in documents(programs, search)] == ["Rails deployed"]
    assert [one["kind"] for one in verify(programs)["findings"]] == ["unchained"]
    assert "Rails deployed" in programs.run("shipper", "timeline", "--user", "rita").stdout


@pytest.mark.parametrize("key", [{}, KEY])
def test_verify_names_what_was_changed_what_is_missing_and_what_is_there_twice(
    programs: Programs, search: Elasticsearch, key: dict[str, str]
) -> None:
    write(programs, *(f"step-{number}" for number in range(1, 11)), **key)
    ship(programs, search)
    whole = verify(programs, **key)
    assert (whole["records"], whole["findings"], whole["unchecked"]) == (11, [], 0)  # with the seal at the end
    hits = documents(programs, search)
    change(search, hits[2], action="nothing-happened")
    search.delete(index=hits[5]["_index"], id=hits[5]["_id"], refresh=True)
    search.index(index=hits[7]["_index"], id="f" * 32, document=hits[7]["_source"], refresh=True)
    found = verify(programs, **key)["findings"]
    assert [(one["kind"], one["sequence"]) for one in found] == [
        ("changed", 3),
        ("gap", 7),
        ("doubled", 8),
        ("misplaced", 8),  # the one of the two whose id is another's
    ]
    assert found[0]["where"] == f"{hits[2]['_index']}/{hits[2]['_id']}"
    assert found[1]["detail"] == "#6 is missing before it"
    said = programs.run("shipper", "audit", "verify", check=False, **key).stdout
    assert f"changed: {found[0]['chain']} #3 {found[0]['where']}" in said
    assert "4 findings" in said


def test_whoever_makes_a_hash_anew_without_the_key_is_found(programs: Programs, search: Elasticsearch) -> None:
    write(programs, "one", "two", "three", **KEY)
    ship(programs, search)
    hits = documents(programs, search)
    record = hits[1]["_source"]
    record["event"]["action"] = "forged"
    links = record["audit"]["chain"]
    head = shipper.audit.chain.Head(links["id"], 1, links["previous"])
    shipper.audit.chain.link(record, head, None)
    search.index(index=hits[1]["_index"], id=hits[1]["_id"], document=record, refresh=True)
    kinds = {(one["kind"], one["sequence"]) for one in verify(programs, **KEY)["findings"]}
    assert kinds == {("unkeyed", 2), ("broken", 3)}
    without = verify(programs)
    assert (without["unchecked"], [one["kind"] for one in without["findings"]]) == (3, ["broken"])


def test_an_end_that_was_cut_off_is_found_by_its_anchor(
    programs: Programs, search: Elasticsearch, tmp_path: Path
) -> None:
    anchors = tmp_path / "anchors.jsonl"
    write(programs, "one", "two", "three", **KEY)
    ship(programs, search)
    assert verify(programs, "--anchor", str(anchors), **KEY)["findings"] == []
    assert stat.S_IMODE(anchors.stat().st_mode) == 0o600
    for hit in documents(programs, search)[2:]:
        search.delete(index=hit["_index"], id=hit["_id"], refresh=True)
    assert verify(programs, **KEY)["findings"] == []  # cannot be detected without an anchor
    assert [one["kind"] for one in verify(programs, "--anchor", str(anchors), **KEY)["findings"]] == ["cut"]
    anchors.write_bytes(anchors.read_bytes().replace(b'"sequence":4', b'"sequence":2'))
    found = verify(programs, "--anchor", str(anchors), **KEY)["findings"]
    assert {one["kind"] for one in found} == {"anchor", "changed"}


def test_verify_since_begins_in_the_middle_and_a_lost_beginning_is_a_gap(
    programs: Programs, search: Elasticsearch
) -> None:
    write(programs, "one", "two", "three")
    ship(programs, search)
    hits = documents(programs, search)
    search.delete(index=hits[0]["_index"], id=hits[0]["_id"], refresh=True)
    (found,) = verify(programs)["findings"]
    assert (found["kind"], found["sequence"]) == ("gap", 2)
    since = datetime.fromisoformat(hits[1]["_source"]["@timestamp"]).isoformat()
    report = verify(programs, "--since", since)
    assert (report["records"], report["findings"]) == (3, [])


def test_verify_of_nothing_says_so(programs: Programs) -> None:
    assert "There are no audit records in the namespace" in programs.run("shipper", "audit", "verify").stdout


def test_forgetting_a_person_leaves_a_trail_that_holds(
    programs: Programs, search: Elasticsearch, made: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shipper.audit.writer import Trail

    monkeypatch.setattr(audit.api, "_trail", Trail(made))
    with shipper.actor(id="ann", name="Ann Smith"), shipper.log_context(plan="gold"):
        audit.record("address-changed", "customer:42", changes={"city": ("Ulm", "Bonn")}, reason="Ann asked")
    with shipper.actor(id="olga"):
        audit.record("role-given", ("user", "ann"), target="ann")
        audit.record("unrelated", "customer:43")
    job = (Path(__file__).parent.parent / "golden/job-dead.jsonl").read_text()
    mine = json.loads(job) | {"user": {"id": "ann"}, "message": "mail to Ann", "labels": {"name": "Ann"}}
    mine["@timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    with programs.log.open("a") as log:
        log.write(json.dumps(mine) + "\n")
        log.write(json.dumps({"@timestamp": "1999-01-01", "user": {"id": "ann"}, "message": "too old"}) + "\n")
    ship(programs, search)
    folder = Path(programs.environment["SHIPPER_STATE"])
    assert b"too old" in (folder / "deadletters.jsonl").read_bytes()
    said = programs.run("shipper", "audit", "forget", "--user", "ann", "--yes", "--reason", "request 7").stdout
    assert [line.split() for line in said.splitlines()] == [
        ["rq.audit", "2"],
        ["rq.job", "1"],
        ["rq.app", "0"],
        ["rq.state", "1"],
        ["dead", "letters", "1"],
    ]
    ship(programs, search)
    everything = search.search(index=f"rq-*-{made.namespace}*", size=100, version=True)["hits"]["hits"]
    text = json.dumps([hit["_source"] for hit in everything])
    assert not [word for word in ('"ann"', "Ann", "Bonn", "gold") if word in text]
    assert '"olga"' in text  # what others did stays theirs
    assert '"43"' in text
    report = verify(programs)
    assert (report["records"], report["erased"], report["findings"]) == (7, 2, [])  # with a declaration and two seals
    assert b"too old" not in (folder / "deadletters.jsonl").read_bytes()
    assert stat.S_IMODE((folder / "deadletters.jsonl").stat().st_mode) == 0o600
    # Shipping everything again, without positions, does not restore the person's data.
    programs.run("shipper", "run", "--once", "--state", str(folder.with_name("state-2")))
    search.indices.refresh(index=f"rq-*-{made.namespace}*")
    again = search.search(index=f"rq-*-{made.namespace}*", size=100)["hits"]["hits"]
    assert not [hit for hit in again if '"ann"' in json.dumps(hit["_source"])]
    last = programs.audit()[-1]
    assert (last["event"]["action"], last["event"]["reason"]) == ("person-erased", "request 7")
    assert "ann" not in json.dumps(last["audit"]["resource"])
    assert "rq.audit      0" in programs.run("shipper", "audit", "forget", "--user", "ann", "--yes").stdout


def test_a_record_whose_id_was_taken_before_is_named(programs: Programs, search: Elasticsearch, made: Settings) -> None:
    write(programs, "approved-by-two")
    ship(programs, search)  # makes the index
    write(programs, "paid")
    paid = programs.audit()[-1]
    name = records.index_name("rq.audit", datetime.fromisoformat(paid["@timestamp"]), made.namespace)
    taken = paid | {"event": paid["event"] | {"action": "nothing"}}
    del taken["audit"]
    search.create(index=name, id=paid["event"]["id"], document=taken)
    programs.run("shipper", "run", "--once")
    programs.run("shipper", "run", "--once", "--state", str(programs.folder / "state-2"))  # sends all once more
    found = verify(programs)["findings"]
    assert {one["kind"] for one in found} == {"displaced", "unchained", "gap"}
    assert {one["where"] for one in found if one["kind"] == "displaced"} == {f"{name}/{paid['event']['id']}"}


def test_the_shipper_seals_the_chain_as_long_as_it_runs_and_when_it_stops(
    programs: Programs, search: Elasticsearch
) -> None:
    write(programs, "one")
    shipper_ = programs.start("shipper", "run")
    wait_for(lambda: len(programs.written()) == 3, "the first seal of the shipper")
    shipper_.send_signal(signal.SIGTERM)
    assert shipper_.wait(LIMIT_S) == 0
    seals = [record["audit"]["seal"] for record in programs.written() if "seal" in record["audit"]]
    assert [(seal.get("next_s"), seal.get("closing")) for seal in seals] == [(None, None), (300, None), (None, True)]
    search.indices.refresh(index=index(programs))
    assert len(documents(programs, search)) == 4  # the last seal, too
    assert verify(programs)["conclusion"] == "4 records in 1 chains: all is as it was written."
    assert "chain-sealed" not in programs.run("shipper", "timeline", "--since", "1h").stdout


def test_a_chain_whose_machine_is_gone_is_closed_by_hand(programs: Programs, search: Elasticsearch) -> None:
    write(programs, "one")
    ship(programs, search)
    chain_id = programs.audit()[0]["audit"]["chain"]["id"]
    said = programs.run("shipper", "audit", "close", chain_id, "--reason", "scrapped", SHIPPER_ACTOR="olga").stdout
    assert said == f"{chain_id} is closed at #2.\n"
    assert programs.audit()[-1]["audit"]["closed"]["count"] == 2
    unknown = programs.run("shipper", "audit", "close", "web-9", check=False)
    assert (unknown.returncode, "There is no chain web-9" in unknown.stderr) == (1, True)


def test_signed_seals_from_the_command_line(programs: Programs, search: Elasticsearch, tmp_path: Path) -> None:
    key = tmp_path / "seal.pem"
    said = programs.run("shipper", "audit", "keygen", str(key)).stdout
    assert f"private key in {key}, public key in {key}.pub" in said
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    write(programs, "one", "two", SHIPPER_AUDIT_SIGN_KEY=str(key))
    ship(programs, search)
    public = {"SHIPPER_AUDIT_PUBLIC_KEYS": f"{key}.pub"}
    assert verify(programs, **public)["conclusion"] == "3 records in 1 chains: all is as it was written."
    assert verify(programs)["unchecked"] == 1  # nobody says that all is well without the key


# --- the timeline --------------------------------------------------------------------------------------------


@pytest.fixture
def story(programs: Programs, search: Elasticsearch, made: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two people's records, one of each kind, shipped."""
    from shipper.audit.writer import Trail

    monkeypatch.setattr(audit.api, "_trail", Trail(made))
    with shipper.actor(id="ann"), shipper.log_context(customer="42", plan="gold", trace_id="a" * 32):
        audit.record("address-changed", "customer:42")
    with shipper.actor(id="bob"):
        audit.record("order-placed", ("order", 7), target="ann")
    golden = json.loads((Path(__file__).parent.parent / "golden/job-finished.jsonl").read_text())
    golden |= {"@timestamp": datetime.now(UTC).isoformat(), "user": {"id": "ann"}, "trace": {"id": "a" * 32}}
    golden["rq"] |= {"args": {"0": 42}, "kwargs": {"order": 7, "fast": True}}
    with programs.log.open("a") as log:
        log.write(json.dumps(golden) + "\n")
        log.write(json.dumps({"@timestamp": datetime.now(UTC).isoformat(), "message": "a log line"}) + "\n")
    ship(programs, search)
    search.indices.refresh(index=f"rq-*-{made.namespace}-*")
    return made


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"user": "ann"}, ["address-changed", "order-placed", "job-finished"]),
        ({"user": "bob"}, ["order-placed"]),
        ({"resource": "customer:42"}, ["address-changed"]),
        ({"resource": "order"}, ["order-placed"]),
        ({"customer": "42"}, ["address-changed", "job-finished"]),
        ({"trace": "a" * 32}, ["address-changed", "job-finished"]),
        ({"labels": {"plan": "gold"}}, ["address-changed"]),
        ({"args": {"0": 42}}, ["job-finished"]),
        ({"args": {"0": "42", "order": 7, "fast": True}}, ["job-finished"]),
        ({"args": {"order": 8}}, []),
        ({"since": "1h", "until": "30m"}, []),
        ({"since": "1h"}, ["address-changed", "order-placed", "job-finished", None]),
    ],
)
def test_every_filter_finds_what_it_names(story: Settings, asked: dict[str, Any], expected: list[str | None]) -> None:
    assert [one.action for one in shipper.timeline.query(settings=story, **asked)] == expected


def test_entries_have_types(story: Settings) -> None:
    first = next(shipper.timeline.query(settings=story, user="ann"))
    assert (first.at.tzinfo, first.dataset, first.outcome) == (UTC, "rq.audit", "success")
    assert (first.user, first.customer, first.resource) == ("ann", "42", ("customer", "42"))
    assert first.record["event"]["action"] == "address-changed"


def test_bad_questions_get_a_clear_word(story: Settings, programs: Programs) -> None:
    with pytest.raises(ShipperError, match=r"no filter 'colour'\. Known are job, user"):
        shipper.timeline.query(settings=story, colour="red")
    with pytest.raises(ShipperError, match="wrong way round"):
        shipper.timeline.query(settings=story, since="1h", until="2h")
    wrong = programs.run("shipper", "timeline", "--label", "plan", check=False)
    assert (wrong.returncode, "'plan' is not of the form name=value" in wrong.stderr) == (2, True)


def test_flags_ask_the_same(story: Settings, programs: Programs) -> None:
    assert story
    for flags in (["--resource", "customer:42"], ["--label", "plan=gold"], ["--trace", "a" * 32]):
        assert "address-changed" in programs.run("shipper", "timeline", *flags).stdout
    assert "order-placed" not in programs.run("shipper", "timeline", "--arg", "0=42", "--arg", "order=7").stdout


def test_an_index_that_is_not_there_yet_is_no_error(made: Settings, programs: Programs) -> None:
    assert list(shipper.timeline.query(settings=made)) == []
    assert "No records." in programs.run("shipper", "timeline").stderr


def test_any_number_of_records_comes_in_order_by_pages(
    programs: Programs, search: Elasticsearch, made: Settings
) -> None:
    write(programs, *(f"step-{number}" for number in range(2500)))
    ship(programs, search)
    actions = [one.action for one in shipper.timeline.query(settings=made)]
    assert actions == [f"step-{number}" for number in range(2500)]
    assert settings.load(environment=programs.environment).namespace == made.namespace
