"""`shipper setup --kibana`, as a user runs it."""

from __future__ import annotations

from elasticsearch import Elasticsearch

from kibana import build
from tests.kibana_server import serving
from tests.programs import Programs


def test_one_command_installs_templates_objects_and_rules(programs: Programs) -> None:
    with serving() as server:
        said = programs.run("shipper", "setup", "--kibana", server.url, "--space", "ops", "--rules").stdout
        assert len(server.objects) == len(build.objects())
        assert len(server.rules) == len(build.rules())
    assert "index template rq-job" in said
    assert f"import {len(build.objects())} objects" in said
    assert "create alert rule 'RQ: the watch opened an alarm'" in said


def test_kibana_finds_the_fields_of_each_data_view_before_the_first_record(
    programs: Programs, search: Elasticsearch
) -> None:
    with serving() as server:
        said = programs.run("shipper", "setup", "--kibana", server.url).stdout
        again = programs.run("shipper", "setup", "--kibana", server.url).stdout
    namespace = programs.environment["SHIPPER_NAMESPACE"]
    assert said.count("create empty index") == 7
    assert "create empty index" not in again
    for name in ("job", "app", "metric", "shipper", "audit", "alert", "state"):
        index = f"rq-{name}-{namespace}*"
        assert search.field_caps(index=index, fields="@timestamp")["fields"]["@timestamp"]["date"]["aggregatable"]
        assert search.count(index=index)["count"] == 0


def test_only_kibana_needs_indices_before_the_first_record(programs: Programs, search: Elasticsearch) -> None:
    with serving() as server:
        assert "empty index" not in programs.run("shipper", "setup").stdout
        assert "empty index" not in programs.run("shipper", "setup", "--kibana", server.url, "--dry-run").stdout
    assert not search.indices.get(index=f"rq-*-{programs.environment['SHIPPER_NAMESPACE']}*")


def test_a_dry_run_says_what_it_would_do_to_kibana_too(programs: Programs) -> None:
    with serving() as server:
        said = programs.run("shipper", "setup", "--kibana", server.url, "--rules", "--dry-run").stdout
        assert not server.objects
        assert not server.rules
    assert f"import {len(build.objects())} objects" in said
    assert "Nothing was changed" in said


def test_without_kibana_there_are_no_rules_to_create(programs: Programs) -> None:
    done = programs.run("shipper", "setup", "--rules", check=False)
    assert done.returncode == 2
    assert done.stderr == "error: --rules and --space are about Kibana: say with --kibana where it is.\n"


def test_a_success_that_imported_nothing_ends_with_status_1(programs: Programs) -> None:
    status = (200, {"version": {"number": "9.4.3"}, "status": {}})
    success = (200, {"success": True, "successCount": 0, "errors": []})
    with serving(plan=[status, status, success]) as server:
        done = programs.run("shipper", "setup", "--kibana", server.url, check=False)
    assert done.returncode == 1
    assert "says that it took 0 of" in done.stderr


def test_what_is_wrong_with_kibana_is_one_line(programs: Programs) -> None:
    with serving(version="7.17.0") as server:
        done = programs.run("shipper", "setup", "--kibana", server.url, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: Kibana at http://127.0.0.1")
