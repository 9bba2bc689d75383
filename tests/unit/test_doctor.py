"""What each subject of `shipper doctor` finds in what was gathered."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shipper import settings
from shipper.doctor.finding import Finding, Report
from shipper.doctor.subjects import (
    clock,
    context,
    elasticsearch,
    folders,
    kibana,
    native,
    privileges,
    queues,
    redis,
    retention,
    rq,
    shipping,
    templates,
)
from shipper.doctor.subjects import settings as settings_subject
from shipper.doctor.subjects.context import ContextFacts, FunctionContext
from shipper.doctor.subjects.elasticsearch import GB, Disk, ElasticsearchFacts, Watermark
from shipper.doctor.subjects.folders import MB, FolderFacts, Place
from shipper.doctor.subjects.retention import RetentionFacts
from shipper.doctor.subjects.settings import SettingsFacts
from shipper.emit.instrument import Problem
from shipper.index.conformity import Deviation
from shipper.index.setup import Change, Part
from shipper.live.server import ServerSample
from shipper.live.workers import WorkerSample


def told(found: Iterable[Finding]) -> list[tuple[str, str]]:
    """(severity, what and what to do) of each."""
    return [(one.severity, f"{one.what} {one.do}") for one in found]


def only(found: Iterable[Finding], severity: str, *words: str) -> None:
    """There is one finding, of this severity, and it says these words."""
    ((grave, text),) = told(found)
    assert grave == severity, text
    for word in words:
        assert word in text


# --- settings


def config(**variables: str) -> settings.Settings:
    given = {"SHIPPER_SERVICE": "shop", "SHIPPER_CONFIG": "/dev/null", "XDG_STATE_HOME": "/var/state"}
    return settings.load(environment={**given, **variables})


def of_settings(facts: SettingsFacts) -> list[Finding]:
    return list(settings_subject.findings(facts))


def test_good_settings_have_no_findings() -> None:
    assert of_settings(SettingsFacts(config=config())) == []


def test_each_wrong_setting_is_a_finding() -> None:
    facts = SettingsFacts(config=config(), problems=("There is no setting SHIPPER_LOGG.",))
    only(of_settings(facts), "error", "SHIPPER_LOGG")


@pytest.mark.parametrize(("mode", "count"), [(0o644, 1), (0o640, 0)])
def test_secrets_in_a_file_that_everybody_reads(mode: int, count: int) -> None:
    facts = SettingsFacts(config=config(), file=Path("/etc/shipper.toml"), file_mode=mode, secrets=("api_key",))
    assert [severity for severity, _ in told(of_settings(facts))] == ["warning"] * count


@pytest.mark.parametrize(
    ("variables", "severity", "word"),
    [
        ({"SHIPPER_ELASTICSEARCH": "http://search.example:9200"}, "warning", "plain HTTP"),
        ({"SHIPPER_USERNAME": "ann", "SHIPPER_PASSWORD": "x"}, "note", "API key"),
        ({"SHIPPER_SERVICE": ""}, "note", "SHIPPER_SERVICE"),
        ({"SHIPPER_LOG": "/logs/a.jsonl", "SHIPPER_FILES": "/logs/b.jsonl"}, "warning", "does not read /logs/a.jsonl"),
    ],
)
def test_settings_that_do_not_fit(variables: dict[str, str], severity: str, word: str) -> None:
    only(of_settings(SettingsFacts(config=config(**variables))), severity, word)


# --- folders

LOG = Place(
    path=Path("/logs/records.jsonl"), kind="file", above=Path("/logs"), above_mode=0o750, readable=True, writable=True,
    owner="shop", group="shop", mode=0o660, file_system="ext4", device=1, free=50_000 * MB, total=100_000 * MB,
)  # fmt: skip
STATE = replace(LOG, path=Path("/state"), kind="folder", above=Path("/state"), above_mode=0o700, mode=0o700)


def of_folders(log: Place | None = LOG, state: Place = STATE) -> list[Finding]:
    return list(folders.findings(FolderFacts(account="shipper", log=log, state=state)))


def test_good_folders_have_no_findings() -> None:
    assert of_folders() == []
    assert of_folders(log=None) == []


@pytest.mark.parametrize(
    ("changes", "severity", "word"),
    [
        ({"kind": None}, "note", "does not exist yet"),
        ({"kind": None, "writable": False}, "error", "shipper cannot create it in /logs"),
        ({"kind": "other"}, "error", "no regular file"),
        ({"readable": False, "writable": False}, "error", "cannot read"),
        ({"writable": False}, "note", "cannot write"),
        ({"mode": 0o666}, "error", "forge"),
        ({"mode": 0o664}, "warning", "can read"),
        ({"above_mode": 0o777}, "error", "replace"),
        ({"file_system": "nfs4"}, "error", "network file system"),
        ({"file_system": "tmpfs"}, "note", "memory"),
        ({"file_system": "overlay"}, "warning", "container"),
        ({"free": 900 * MB}, "warning", "nearly full"),
        ({"free": 4_000 * MB}, "warning", "nearly full"),
        ({"free": 100 * MB}, "error", "as good as full"),
        ({"free_inodes": 0.001}, "error", "inodes"),
    ],
)
def test_what_can_be_wrong_with_the_log(changes: dict[str, Any], severity: str, word: str) -> None:
    only(of_folders(log=replace(LOG, **changes)), severity, word)


@pytest.mark.parametrize(
    ("changes", "severity", "word"),
    [
        ({"kind": None, "writable": False}, "error", "cannot create it"),
        ({"kind": "file"}, "error", "no folder"),
        ({"writable": False}, "warning", "cannot use the state folder"),
        ({"mode": 0o755}, "warning", "chmod 700"),
        ({"mode": 0o770}, "warning", "chmod 700"),
        ({"file_system": "nfs"}, "error", "network file system"),
    ],
)
def test_what_can_be_wrong_with_the_state_folder(changes: dict[str, Any], severity: str, word: str) -> None:
    only(of_folders(state=replace(STATE, **changes)), severity, word)


def test_a_folder_that_is_still_to_be_made_is_nothing_to_say() -> None:
    assert of_folders(state=replace(STATE, kind=None)) == []


def test_a_sticky_folder_such_as_tmp_lets_nobody_replace_the_log() -> None:
    assert of_folders(log=replace(LOG, above_mode=0o1777)) == []


def test_one_disk_is_one_finding() -> None:
    full: dict[str, Any] = {"free": 10 * MB}
    assert len(of_folders(replace(LOG, **full), replace(STATE, **full))) == 1
    assert len(of_folders(replace(LOG, **full), replace(STATE, **full, device=2))) == 2


# --- native module, RQ


def test_without_the_module_in_c() -> None:
    assert list(native.findings("C")) == []
    only(native.findings("Python"), "warning", "C compiler")


def test_what_rq_lacks_is_graver_than_a_new_release() -> None:
    found = rq.findings([Problem(logging.ERROR, "RQ has no x."), Problem(logging.WARNING, "RQ 9 is newer.")])
    assert [one.severity for one in found] == ["error", "warning"]


# --- the shipper

RUNS = {"state": "shipping", "elasticsearch": "http://es", "backlog_bytes": 10, "backlog_age_s": 0.3, "retrying_s": 0}


def of_shipping(status: dict[str, Any] | None, **facts: Any) -> list[Finding]:
    given = shipping.ShippingFacts(state=Path("/state"), status=status, elasticsearch="http://es", **facts)
    return list(shipping.findings(given))


def test_a_shipper_that_runs_has_no_findings() -> None:
    assert of_shipping(RUNS) == []


@pytest.mark.parametrize(
    ("status", "facts", "severity", "word"),
    [
        (None, {}, "note", "No shipper has run"),
        (None, {"log_bytes": 10}, "warning", "10 bytes of records wait"),
        (RUNS, {"is_old": True, "age_s": 300}, "error", "300 s ago"),
        (RUNS | {"state": "stopped"}, {}, "error", "does not run"),
        (RUNS | {"state": "stuck", "pulse_age_s": 90.0}, {}, "error", "hangs"),
        (RUNS | {"state": "waiting", "retrying_s": 70.0, "last_error": "429"}, {}, "error", "for 70 s: 429"),
        (RUNS | {"backlog_age_s": 120.0}, {}, "warning", "10 bytes of records wait"),
        (RUNS | {"waiting_bytes": 5}, {}, "error", "index takes none"),
        (RUNS | {"not_indexed": 5}, {}, "error", "not indexed"),
        (RUNS | {"not_listening": "127.0.0.1:9465: in use"}, {}, "warning", "SHIPPER_LISTEN"),
        (RUNS | {"elasticsearch": "http://other"}, {}, "warning", "http://other"),
        (RUNS, {"dead_letter_bytes": 5, "dead_letter_limit": 100}, "warning", "deadletter list"),
        (RUNS, {"dead_letter_bytes": 95, "dead_letter_limit": 100}, "error", "95%"),
    ],
)
def test_what_can_be_wrong_with_the_shipper(
    status: dict[str, Any] | None, facts: dict[str, Any], severity: str, word: str
) -> None:
    only(of_shipping(status, **facts), severity, word)


# --- clock


@pytest.mark.parametrize(("offset", "severity"), [(30.0, "warning"), (-30.0, "warning"), (-3600.0, "error")])
def test_a_clock_that_is_off(offset: float, severity: str) -> None:
    assert list(clock.findings({"Redis": 0.7})) == []
    only(clock.findings({"Redis": offset}), severity, "Redis", f"{abs(offset):.0f} s", "NTP")


# --- Redis

SERVER = ServerSample(
    address="redis:6379", database=0, run_id="r", version="7.0.15", used_bytes=10, peak_bytes=10, maxmemory_bytes=1000,
    policy="noeviction", fragmentation=None, evicted_keys=0, expired_keys=0, rejected_commands=0, rejected_oom=0,
    rejected_connections=0, clients=1, blocked_clients=0, max_clients=100, commands=0, cpu_s=0, uptime_s=1, keys=1,
    role="master", clock_offset_s=0.0,
)  # fmt: skip


def of_redis(persistence: dict[str, object] | None = None, **changes: Any) -> list[Finding]:
    facts = redis.RedisFacts(servers=[replace(SERVER, **changes)], persistence={"redis:6379": persistence or {}})
    return list(redis.findings(facts))


def test_a_good_redis_has_no_findings() -> None:
    assert of_redis() == []
    assert of_redis({"rdb_last_bgsave_status": "ok"}) == []


@pytest.mark.parametrize(
    ("changes", "severity", "word"),
    [
        ({"policy": "allkeys-lru"}, "error", "noeviction"),
        ({"policy": "volatile-ttl"}, "warning", "critical sections"),
        ({"evicted_keys": 3}, "error", "deleted 3 keys"),
        ({"rejected_oom": 3}, "error", "refused 3 commands"),
        ({"maxmemory_bytes": 0}, "note", "no memory limit"),
        ({"used_bytes": 850}, "warning", "85%"),
        ({"used_bytes": 980}, "error", "98%"),
        ({"version": "4.0.1"}, "error", "5.0 or newer"),
        ({"version": "6.0.16"}, "note", "6.2"),
        ({"role": "slave"}, "error", "Sentinels"),
        ({"clients": 90}, "warning", "maxclients"),
    ],
)
def test_what_can_be_wrong_with_redis(changes: dict[str, Any], severity: str, word: str) -> None:
    only(of_redis(**changes), severity, word)


def test_a_redis_that_cannot_write_to_its_disk() -> None:
    only(of_redis({"rdb_last_bgsave_status": "err"}), "error", "disk")


def test_a_redis_that_may_not_be_asked() -> None:
    only(redis.findings(redis.RedisFacts(may_not_ask=True)), "note", "ACL SETUSER")


# --- queues

WORKER = WorkerSample(name="w1", state="idle", queues=("mails",), host="web-1", successes=9, rq_version="3.0.1")


def of_queues(**facts: Any) -> list[Finding]:
    return list(queues.findings(queues.QueueFacts(**facts)))


def test_a_worker_that_records_has_no_findings() -> None:
    assert of_queues(workers=[WORKER], services={"mails": {"shop": 9}}, recorded={"w1": 9}) == []
    assert of_queues(workers=[WORKER]) == []  # Elasticsearch was not asked


def test_a_worker_that_has_run_nothing_yet_cannot_be_judged() -> None:
    assert of_queues(workers=[replace(WORKER, successes=0)], recorded={}) == []


def test_two_services_on_one_queue() -> None:
    only(of_queues(services={"mails": {"shop": 9, "crm": 2}}), "error", "mails", "shop (9), crm (2)")


def test_a_worker_without_records() -> None:
    only(of_queues(workers=[WORKER], recorded={}), "error", "w1", "RQ_JOB_CLASS=shipper.LoggedJob")


def test_two_releases_of_rq_on_one_queue() -> None:
    other = replace(WORKER, name="w2", rq_version="2.6.0")
    only(of_queues(workers=[WORKER, other]), "warning", "2.6.0, 3.0.1")
    assert of_queues(workers=[WORKER, replace(other, rq_version="3.0.9")]) == []


def test_a_release_of_rq_that_is_too_old() -> None:
    only(of_queues(workers=[replace(WORKER, rq_version="1.16.2")]), "error", "1.16.2", "2.6")


# --- Elasticsearch

CLUSTER = ElasticsearchFacts(version="9.4.3", flavor="default", client=9, security=True, health="green", nodes=3)
MARKS = {"low": Watermark("85%", "200gb"), "high": Watermark("90%", "150gb"), "flood": Watermark("95%", "100gb")}


def of_cluster(**changes: Any) -> list[Finding]:
    return list(elasticsearch.findings(replace(CLUSTER, **changes)))


def test_a_good_cluster_has_no_findings() -> None:
    assert of_cluster() == []
    assert of_cluster(version="8.11.0", flavor="serverless") == []


@pytest.mark.parametrize(
    ("changes", "severity", "word"),
    [
        ({"version": "7.17.0"}, "error", "8.19"),
        ({"version": "8.19.3"}, "warning", "elasticsearch>=8,<9"),
        ({"security": False}, "warning", "security is off"),
        ({"security": False, "is_local": True}, "note", "security is off"),
        ({"health": "red"}, "error", "allocation/explain"),
        ({"health": "yellow"}, "warning", "allocation/explain"),
        ({"health": "yellow", "nodes": 1}, "note", "one node"),
        ({"shards": 950, "max_shards": 1000}, "error", "950 shards"),
        ({"blocked": ["rq-job-default-2026.01.01"]}, "error", "rq-job-default-2026.01.01"),
    ],
)
def test_what_can_be_wrong_with_the_cluster(changes: dict[str, Any], severity: str, word: str) -> None:
    only(of_cluster(**changes), severity, word)


@pytest.mark.parametrize(
    ("total", "free", "severity"),
    [
        (100, 50, None),
        (100, 14, "warning"),
        (100, 9, "error"),
        (100, 4, "error"),
        (10_000, 300, None),  # 3 %, and yet more than the headroom
        (10_000, 190, "warning"),
        (10_000, 90, "error"),
    ],
)
def test_disks_by_the_watermarks_of_the_cluster(total: int, free: int, severity: str | None) -> None:
    found = of_cluster(disks=[Disk("n1", total * GB, free * GB)], **MARKS)
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_disks_of_a_cluster_without_watermarks() -> None:
    assert of_cluster(disks=[Disk("n1", 100 * GB, 6 * GB)]) == []
    only(of_cluster(disks=[Disk("n1", 100 * GB, 4 * GB)]), "error", "switched off")


@pytest.mark.parametrize(
    ("limit", "wanted"), [("85%", 150.0), ("0.9", 100.0), ("500b", 500.0), ("1kb", 1024.0), ("nonsense", 0.0)]
)
def test_watermarks_as_elasticsearch_writes_them(limit: str, wanted: float) -> None:
    assert Watermark(limit).free_bytes(1000) == pytest.approx(wanted)
    assert Watermark(limit, "-1").free_bytes(1000) == pytest.approx(wanted)


# --- retention


def of_indices(lifecycle: str = "prune", *, prunes: bool = True, **indices: list[str]) -> list[Finding]:
    return list(retention.findings(RetentionFacts(lifecycle=lifecycle, prunes=prunes, **indices)))


def test_indices_that_somebody_deletes_are_well() -> None:
    assert of_indices(unmanaged=["rq-job-default-2026.11.01"]) == []
    assert of_indices("ilm", managed=["rq-job-default-2026.11.01"]) == []


def test_indices_that_two_delete_or_nobody() -> None:
    names = [f"rq-job-default-2026.11.0{day}" for day in range(1, 6)]
    only(of_indices(managed=names), "error", "2026.11.03 and 2 more", "SHIPPER_LIFECYCLE=ilm")
    only(of_indices("ilm", unmanaged=names[:1]), "warning", "2026.11.01. Nobody", "shipper setup")
    only(of_indices(past=names), "note", "once a day")
    only(of_indices(past=names, prunes=False), "warning", "shipper prune --daily")
    assert of_indices("ilm", past=names) == []  # ILM counts from an index's creation


def test_a_time_that_is_in_two_indices() -> None:
    only(of_indices(doubled=["rq-job-default-2026.11.01"]), "warning", "indexed twice", "month since")


# --- templates


def change(action: str) -> Change:
    return Change(Part("index_template", "rq-job", {"version": 1}), action)


@pytest.mark.parametrize(
    ("action", "severity", "word"),
    [("create", "error", "shipper setup"), ("update", "warning", "shipper setup"), ("leave", "note", "newer release")],
)
def test_templates_that_are_not_those_of_this_release(action: str, severity: str, word: str) -> None:
    assert list(templates.findings(templates.TemplateFacts(changes=[change("keep")]))) == []
    only(templates.findings(templates.TemplateFacts(changes=[change(action)])), severity, "rq-job", word)


def test_many_deviations_are_counted() -> None:
    many = [Deviation(f"rq-job-{number}", "the field x is not ours") for number in range(25)]
    found = told(templates.findings(templates.TemplateFacts(deviations=many)))
    assert len(found) == 11
    assert "15 more" in found[-1][1]


# --- privileges

HELD = {
    "create_doc": True,
    "auto_configure": True,
    "read": False,
    "delete": False,
    "index": False,
    "delete_index": False,
}


def of_privileges(audit: dict[str, bool] | None = None, **facts: Any) -> list[Finding]:
    given: dict[str, Any] = {"cluster": {"monitor": True}, "states": {"index": True}, "prunes": False} | facts
    records = {"rq-audit-x": {**HELD, **(audit or {})}, "rq-job-x": HELD}
    return list(
        privileges.findings(privileges.PrivilegeFacts(user="key", records=records, audit="rq-audit-x", **given))
    )


def test_the_role_of_the_shipper_is_just_right() -> None:
    assert of_privileges() == []


@pytest.mark.parametrize(
    ("audit", "facts", "severity", "word"),
    [
        ({"create_doc": False}, {}, "error", "create_doc on rq-audit-x"),
        ({}, {"cluster": {"monitor": False}}, "error", "monitor on the cluster"),
        ({}, {"states": {"index": False}}, "error", "index on the state index"),
        ({"create_doc": False, "read": True}, {}, "note", "not ship"),
        ({"delete": True}, {}, "warning", "change or delete audit records"),
        ({}, {"prunes": True}, "note", "SHIPPER_PRUNE=false"),
    ],
)
def test_privileges_that_are_missing_or_too_many(
    audit: dict[str, bool], facts: dict[str, Any], severity: str, word: str
) -> None:
    only(of_privileges(audit, **facts), severity, word)


def test_without_states_their_index_takes_no_privilege() -> None:
    assert of_privileges(states={"index": False}, is_states=False) == []


# --- Kibana, context


def test_objects_that_are_not_in_kibana() -> None:
    assert list(kibana.findings(kibana.KibanaFacts(where="Kibana", space="ops", wanted=9))) == []
    facts = kibana.KibanaFacts(where="Kibana", space="ops", missing=["Overview"], wanted=9)
    only(kibana.findings(facts), "warning", "1 of 9", "Overview", "shipper setup --kibana")


def test_jobs_that_nobody_asked_for_by_function() -> None:
    facts = ContextFacts(functions=[FunctionContext("shop.charge", 80, 40, 0), FunctionContext("shop.mail", 20, 0, 0)])
    only(context.findings(facts), "note", "40% of the jobs", "shop.charge 50% of 80", "log_context(user=")
    assert list(context.findings(ContextFacts())) == []


# --- the report


def test_notes_alone_are_no_reason_to_fail() -> None:
    assert Report((Finding("a", "note", "x", "y"),), ()).is_well
    assert not Report((Finding("a", "warning", "x", "y"),), ()).is_well
