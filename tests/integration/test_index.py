"""Templates and retention on a real Elasticsearch of their own: what is changed here is there for all who use it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from shipper import client, records, state
from shipper.index import pipelines, setup
from shipper.settings import Settings
from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from tests import legacy_samples
from tests.programs import Programs, count, wait_for

pytestmark = pytest.mark.slow

GOLDEN = sorted((Path(__file__).parent.parent / "golden").iterdir())
GOLDEN_OF_THE_WATCH = sorted((Path(__file__).parent.parent / "golden_watch").iterdir())


@pytest.fixture(scope="session")
def elasticsearch_url(own_server: OwnElasticsearch) -> str:
    return own_server.url


def actions(made: Settings) -> set[str]:
    with client.connect(made) as cluster:
        return {change.action for change in setup.plan(cluster, made)}


@pytest.fixture
def installed(made: Settings) -> None:
    """All that is wanted is there."""
    with client.connect(made) as cluster:
        setup.apply(cluster, setup.plan(cluster, made))


def test_setting_up_again_changes_nothing(programs: Programs, made: Settings) -> None:
    programs.run("shipper", "setup")
    assert actions(made) == {"keep"}
    said = programs.run("shipper", "setup").stdout
    assert "create" not in said
    assert "update" not in said


def test_a_dry_run_says_what_it_would_do_and_does_not(
    programs: Programs, search: Elasticsearch, made: Settings
) -> None:
    programs.run("shipper", "setup")
    search.indices.delete_index_template(name="rq-metric")
    said = programs.run("shipper", "setup", "--dry-run").stdout
    assert "create index template rq-metric" in said
    assert "Nothing was changed" in said
    assert not search.indices.exists_index_template(name="rq-metric")
    programs.run("shipper", "setup")
    assert actions(made) == {"keep"}


def test_a_newer_template_is_left_alone(programs: Programs, search: Elasticsearch, made: Settings) -> None:
    programs.run("shipper", "setup")
    newer = {"index_patterns": ["rq-metric-*"], "priority": 500, "version": 999}
    search.indices.put_index_template(name="rq-metric", **newer)  # type: ignore[arg-type]
    try:
        assert "leave" in actions(made)
        programs.run("shipper", "setup")
        found = search.indices.get_index_template(name="rq-metric")["index_templates"][0]["index_template"]
        assert found["version"] == 999
    finally:
        search.indices.delete_index_template(name="rq-metric")


@pytest.mark.parametrize("golden", [*GOLDEN, *GOLDEN_OF_THE_WATCH], ids=lambda path: path.stem)
@pytest.mark.usefixtures("installed")
def test_elasticsearch_takes_every_golden_line_and_ignores_no_field(
    golden: Path, search: Elasticsearch, namespace: str
) -> None:
    record = json.loads(golden.read_text())
    at = records.parse_timestamp(record["@timestamp"])
    index = records.index_name(record["event"]["dataset"], at, namespace)
    search.create(index=index, id="1", document=record, refresh=True)
    (hit,) = search.search(index=index, fields=[{"field": "*"}])["hits"]["hits"]
    assert "_ignored" not in hit


def test_the_templates_are_made_sure_of_before_the_first_record(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    programs.run("shipper", "setup")
    search.indices.delete_index_template(name="rq-job")
    programs.log.write_bytes(GOLDEN[0].read_bytes())
    programs.run("shipper", "run", "--once")
    (index,) = search.indices.get(index=f"rq-job-{namespace}-*").values()
    assert index["mappings"]["properties"]["labels"]["type"] == "flattened"
    assert "rq-job" in index["aliases"]


def test_a_pipeline_that_somebody_deleted_is_installed_again(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    search.options(ignore_status=404).ingest.delete_pipeline(id=pipelines.NAME)
    log = legacy_samples.write(tmp_path / "rq-scheduler.log", "rq-scheduler.log")
    programs.run("shipper", "run", "--once", "--format", "legacy", "--files", str(log))
    assert count(search, f"rq-job-{namespace}-*") == 1
    planned = programs.run("shipper", "setup", "--dry-run").stdout
    assert f"keep   ingest pipeline {pipelines.NAME}" in planned


def test_an_index_of_states_from_before_gets_the_fields_of_now(
    programs: Programs, search: Elasticsearch, made: Settings
) -> None:
    """Kibana's pages choose by the records' names, and this index is never made anew."""
    index = state.index_name(made.namespace)
    before = {"queue": {"type": "keyword"}, "job_type": {"type": "keyword"}, "state": {"type": "keyword"}}
    search.options(ignore_status=404).indices.delete_index_template(name="rq-state")
    search.indices.create(index=index, mappings={"dynamic": False, "properties": before})
    search.create(index=index, id="1", document={"queue": "mails", "job_type": "f", "state": "dead"}, refresh=True)
    programs.run("shipper", "setup")
    try:
        for field, value in (("messaging.destination.name", "mails"), ("event.outcome", "failure")):
            assert search.count(index=index, query={"term": {field: value}})["count"] == 1
    finally:
        search.indices.delete(index=index)


@pytest.mark.usefixtures("installed")
def test_values_of_the_wrong_type_bounce_nothing(search: Elasticsearch, namespace: str) -> None:
    document = {
        "@timestamp": records.timestamp(datetime.now(UTC)),
        "event": {"duration": "long", "end": "late"},
        "rq": {"attempt": "first", "final": "perhaps", "args": {"0": [1, {"a": None}], "1": "x" * 40_000}},
        "labels": {"deep": {"er": {"and": "deeper"}}},
        "of": {"the": {"user's": ["own"]}},
    }
    search.create(index=f"rq-job-{namespace}-2026.11.21", id="1", document=document)


def test_a_label_of_the_user_s_own_can_be_aggregated(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    programs.run("shipper", "setup", SHIPPER_LABELS="region")
    index = f"rq-app-{namespace}-2026.11.21"
    now = records.timestamp(datetime.now(UTC))
    search.create(index=index, id="1", document={"@timestamp": now, "labels": {"region": "eu"}})
    search.create(index=index, id="2", document={"@timestamp": now, "message": "no label"}, refresh=True)
    found = search.search(index=index, size=0, aggs={"regions": {"terms": {"field": "label.region"}}})
    assert found["aggregations"]["regions"]["buckets"] == [{"key": "eu", "doc_count": 1}]
    programs.run("shipper", "setup")


def test_pruning_deletes_what_is_past_and_nothing_else(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    now = datetime.now(UTC)
    old = records.index_name("rq.job", now - timedelta(days=100), namespace)
    young = records.index_name("rq.job", now - timedelta(days=80), namespace)
    others = records.index_name("rq.job", now - timedelta(days=100), f"{namespace}x")
    for index in (old, young, others):
        search.indices.create(index=index)
    try:
        assert programs.run("shipper", "prune", "--dry-run").stdout == f"would delete {old}\n"
        assert search.indices.exists(index=old)
        assert programs.run("shipper", "prune").stdout == f"deleted {old}\n"
        assert not search.indices.exists(index=old)
        assert search.indices.exists(index=young)
        assert search.indices.exists(index=others)
        assert "No index is past its days" in programs.run("shipper", "prune").stdout
    finally:
        search.indices.delete(index=others)


def states(search: Elasticsearch, namespace: str, *ages: int) -> None:
    """A state of a dead job for each age in days, and one of a job that waits since the longest."""
    index = f"rq-state-{namespace}"
    search.options(ignore_status=400).indices.create(index=index)
    for age, name in (*((age, "dead") for age in ages), (max(ages), "queued")):
        changed = records.timestamp(datetime.now(UTC) - timedelta(days=age))
        document = {"@timestamp": changed, "updated_at": changed, "state": name, "user": {"id": "ann"}}
        search.index(index=index, id=f"{name}-{age}", document=document, refresh=True)


def kept(search: Elasticsearch, namespace: str) -> set[str]:
    index = f"rq-state-{namespace}"
    search.indices.refresh(index=index)
    return {hit["_id"] for hit in search.search(index=index)["hits"]["hits"]}


@pytest.mark.usefixtures("installed")
def test_states_of_jobs_that_ended_long_ago_are_deleted(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    states(search, namespace, 100, 80, 20)
    said = programs.run("shipper", "prune", "--dry-run").stdout
    assert said == "would delete 1 states of jobs that ended more than 90 days ago\n"
    assert len(kept(search, namespace)) == 4
    assert "deleted 1 states" in programs.run("shipper", "prune").stdout
    assert kept(search, namespace) == {"dead-80", "dead-20", "queued-100"}
    assert "deleted 1 states" in programs.run("shipper", "prune", SHIPPER_RETENTION="job=30").stdout  # as job's
    assert "deleted 1 states" in programs.run("shipper", "prune", SHIPPER_RETENTION="job=30,state=10d").stdout
    assert kept(search, namespace) == {"queued-100"}
    assert "No index is past its days" in programs.run("shipper", "prune").stdout


@pytest.mark.usefixtures("installed")
def test_the_daemon_deletes_old_states_by_itself(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    states(search, namespace, 100, 20)
    programs.start("shipper", "run")
    wait_for(lambda: kept(search, namespace) == {"dead-20", "queued-100"}, "the old state to be deleted")


def test_the_daemon_prunes_by_itself(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    old = records.index_name("rq.app", datetime.now(UTC) - timedelta(days=40), namespace)
    search.indices.create(index=old)
    programs.start("shipper", "run")
    wait_for(lambda: not search.indices.exists(index=old), "the old index to be deleted")


def test_lines_that_are_read_again_after_the_switch_to_monthly_indices_are_there_once(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    line = next(path for path in GOLDEN if path.name.startswith("job")).read_bytes().splitlines()[0]
    days = ("2026-10-31", "2026-11-01", "2026-11-20")
    lines = [line.replace(line[15:25], day.encode()) for day in days]
    programs.log.write_bytes(b"\n".join(lines) + b"\n")
    programs.run("shipper", "run", "--once")
    later = {"SHIPPER_INDEX_PERIOD": "month since 2026-12"}
    shutil.rmtree(programs.folder / "state", ignore_errors=True)  # positions are lost
    lines.append(line.replace(line[15:25], b"2026-12-01").replace(line[59:91], line[59:91][::-1]))
    programs.log.write_bytes(b"\n".join(lines) + b"\n")
    programs.run("shipper", "run", "--once", SHIPPER_FUTURE_DAYS="3650", **later)
    search.indices.refresh(index=f"rq-job-{namespace}-*")
    assert search.count(index=f"rq-job-{namespace}-*")["count"] == len(lines)
    assert search.indices.exists(index=f"rq-job-{namespace}-2026.12")
    assert "warning" not in programs.run("shipper", "setup", **later).stderr
    assert "month since" in programs.run("shipper", "setup", SHIPPER_INDEX_PERIOD="month").stderr


def test_a_server_without_ilm_is_told_before_anything_is_changed(programs: Programs) -> None:
    failed = programs.run("shipper", "setup", check=False, SHIPPER_LIFECYCLE="ilm")
    assert failed.returncode != 0
    assert "has no ILM" in failed.stderr
