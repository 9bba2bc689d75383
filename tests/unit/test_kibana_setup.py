"""What `shipper setup --kibana` says to Kibana, and what it makes of the answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from kibana import build
from kibana.objects import PREFIX
from shipper import settings
from shipper.errors import Refused, SettingsError, Unreachable
from shipper.index import kibana, kibana_client
from shipper.settings import Settings
from stack.processes import free_port
from tests.kibana_server import KibanaServer, serving


def made(server: KibanaServer | None, **variables: str) -> Settings:
    url = {"SHIPPER_KIBANA": server.url} if server else {}
    return settings.load(environment={"XDG_STATE_HOME": "/s", **url, **variables})


def install(server: KibanaServer, *, rules: bool = False, **variables: str) -> list[str]:
    return list(kibana.install(made(server, **variables), rules=rules))


def refused(**changes: Any) -> str:
    """What it says to a Kibana that is so."""
    with serving(**changes) as server, pytest.raises(Refused) as wrong:
        install(server)
    return str(wrong.value)


def test_every_object_of_the_file_arrives_as_it_is() -> None:
    with serving() as server:
        said, start = install(server)
        assert list(server.objects.values()) == build.objects()
        assert said.startswith(f"import {len(build.objects())} objects into Kibana 9.4.3")
        assert start == f"open   {server.url}/app/dashboards#/view/{PREFIX}dashboard-overview"


def test_people_are_told_the_address_that_they_can_open() -> None:
    with serving() as server:
        _, start = install(server, SHIPPER_KIBANA_PUBLIC_URL="https://kibana.example")
    assert start == f"open   https://kibana.example/app/dashboards#/view/{PREFIX}dashboard-overview"


def test_where_there_are_no_records_yet_the_page_to_open_says_what_to_check() -> None:
    with serving() as server:
        *_, start = kibana.install(made(server), rules=False, names={"service.version": []})
        *_, later = kibana.install(made(server), rules=False, names={"service.version": ["1.0"]})
    assert start == f"open   {server.url}/app/dashboards#/view/{PREFIX}dashboard-start"
    assert later == f"open   {server.url}/app/dashboards#/view/{PREFIX}dashboard-overview"


def test_every_request_has_what_kibana_asks_of_other_programs() -> None:
    with serving() as server:
        install(server, rules=True)
        assert len(server.requests) > 3
        assert all(headers["kbn-xsrf"] for _, _, headers, _ in server.requests)


def test_installing_again_changes_nothing() -> None:
    with serving() as server:
        first = install(server, rules=True)
        objects, rules = dict(server.objects), dict(server.rules)
        second = install(server, rules=True)
        assert (server.objects, server.rules) == (objects, rules)
    assert [line for line in first if line.startswith("create")]
    assert not [line for line in second if line.startswith("create")]


def test_rules_come_only_when_asked_for_and_what_was_changed_in_them_stays() -> None:
    with serving() as server:
        install(server)
        assert server.rules == {}
        install(server, rules=True)
        assert list(server.rules.values()) == [rule["payload"] for rule in build.rules()]
        next(iter(server.rules.values()))["actions"] = ["tell somebody"]
        install(server, rules=True)
        assert next(iter(server.rules.values()))["actions"] == ["tell somebody"]


def test_each_space_has_objects_and_rules_of_its_own_that_lead_to_each_other() -> None:
    with serving() as server:
        install(server, rules=True)
        *_, start = install(server, rules=True, SHIPPER_KIBANA_SPACE="ops")
        count = len(build.objects())
        ops = [one for (space, _, _), one in server.objects.items() if space == "ops"]
        assert (len(server.objects), len(ops)) == (2 * count, count)
        assert len(server.rules) == 2 * len(build.rules())
    ids = {(one["type"], one["id"]) for one in ops}
    assert start.startswith(f"open   {server.url}/s/ops/app/dashboards#/view/")
    assert ("dashboard", start.rpartition("/")[2]) in ids
    assert all(identifier.startswith(f"{PREFIX}ops-") for _, identifier in ids)
    assert {(to["type"], to["id"]) for one in ops for to in one["references"]} <= ids
    assert f"/view/{PREFIX}ops-dashboard-job" in json.dumps(ops)
    assert f"/view/{PREFIX}dashboard" not in json.dumps(ops)


def test_the_installer_knows_the_builder_s_prefix() -> None:
    assert kibana_client.ID_PREFIX == PREFIX


def test_a_base_path_is_part_of_the_address() -> None:
    with serving(base_path="/kibana") as server:
        install(server, SHIPPER_KIBANA_SPACE="ops")
        assert len(server.objects) == len(build.objects())


BASIC = f"Basic {base64.b64encode(b'bob:secret').decode()}"


@pytest.mark.parametrize(
    ("credentials", "variables"),
    [
        ("ApiKey a2V5", {"SHIPPER_KIBANA_API_KEY": "a2V5", "SHIPPER_API_KEY": "b3RoZXI="}),
        ("ApiKey a2V5", {"SHIPPER_API_KEY": "a2V5"}),
        (BASIC, {"SHIPPER_USERNAME": "bob", "SHIPPER_PASSWORD": "secret"}),
        (BASIC, {"SHIPPER_KIBANA_USERNAME": "bob", "SHIPPER_KIBANA_PASSWORD": "secret", "SHIPPER_API_KEY": "b3RoZXI="}),
    ],
    ids=["key of its own", "Elasticsearch's key", "Elasticsearch's user", "user of its own"],
)
def test_credentials_of_each_kind(credentials: str, variables: dict[str, str]) -> None:
    with serving(credentials=credentials) as server:
        given: dict[str, Any] = {**variables}
        install(server, **given)
        assert server.objects


def test_credentials_are_never_shown() -> None:
    shown = repr(made(None, SHIPPER_KIBANA_API_KEY="a2V5", SHIPPER_KIBANA_PASSWORD="secret"))  # noqa: S106 - a test's
    assert "a2V5" not in shown
    assert "secret" not in shown


def test_without_credentials_where_some_are_needed() -> None:
    said = refused(credentials="ApiKey a2V5")
    assert "SHIPPER_KIBANA_API_KEY" in said
    assert "401" in said


def test_wrong_credentials() -> None:
    with serving(credentials="ApiKey a2V5") as server, pytest.raises(Refused, match="does not accept the credentials"):
        install(server, SHIPPER_KIBANA_API_KEY="d3Jvbmc=")


def test_too_old() -> None:
    assert "is 8.11.4; what is installed needs 8.12 or newer" in refused(version="8.11.4")


@pytest.mark.parametrize("version", ["8.12.2", "8.19.0", "9.0.0-SNAPSHOT", "9.10.1", "10.0.0"])
def test_every_newer_version_will_do(version: str) -> None:
    with serving(version=version) as server:
        install(server)
        assert server.objects


def test_no_such_space() -> None:
    with serving() as server, pytest.raises(Refused, match="has no space 'nowhere'"):
        install(server, SHIPPER_KIBANA_SPACE="nowhere")
    assert server.objects == {}


@pytest.mark.parametrize("plan", [(404, "nothing here"), (200, {"tagline": "You Know, for Search"}), (302, "")])
def test_something_else_than_kibana(plan: tuple[int, object]) -> None:
    assert "is not Kibana" in refused(plan=[plan])


def test_nobody_there() -> None:
    there = made(None, SHIPPER_KIBANA=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match="cannot be reached"):
        list(kibana.install(there, rules=False))


def test_not_ready_yet() -> None:
    with serving(plan=[(503, "Kibana server is not ready yet.")]) as server, pytest.raises(Unreachable, match="503"):
        install(server)


STATUS = (200, {"version": {"number": "9.4.3"}, "status": {}})


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ((403, {"message": "Unable to bulk_create dashboard"}), "Saved Objects Management"),
        ((413, {"message": "Payload content length greater than maximum"}), "server.maxPayload"),
        ((422, {"message": "belongs to a more recent version of Kibana"}), "more recent version"),
        ((500, {"message": "An internal server error occurred"}), "internal server error"),
        (
            (
                200,
                {
                    "success": False,
                    "successCount": 0,
                    "errors": [{"type": "lens", "id": "x", "error": {"type": "missing_references"}}],
                },
            ),
            "lens x: missing_references",
        ),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_a_refused_import_says_why(answer: tuple[int, object], word: str) -> None:
    assert word in refused(plan=[STATUS, answer])


def test_a_success_of_which_less_came_back_is_none() -> None:
    said = refused(plan=[STATUS, (200, {"success": True, "successCount": 3, "errors": []})])
    assert f"took 3 of {len(build.objects())} objects" in said


def test_what_says_that_it_took_everything_and_has_nothing_is_not_believed() -> None:
    """Something before Kibana can answer so, or a Kibana that loses its index."""
    everything = {"success": True, "successCount": len(build.objects()), "errors": []}
    assert "does not have them in space default" in refused(plan=[STATUS, (200, everything)])


def test_an_export_that_lacks_an_object_is_seen() -> None:
    everything = {"success": True, "successCount": len(build.objects()), "errors": []}
    export = json.dumps({"type": "tag", "id": f"{PREFIX}tag"})
    said = refused(plan=[STATUS, (200, everything), (200, export)])
    assert f"does not have {len(build.objects()) - 1} of {len(build.objects())}" in said


def test_a_rule_that_was_created_and_is_not_there_is_seen() -> None:
    with serving() as server:
        install(server)
        identifier, payload = kibana.alert_rules("default")[0]
        client = kibana_client.Kibana(made(server))
        server.plan = [(404, {}), (200, {"id": identifier}), (200, {"id": "another"})]
        with pytest.raises(Refused, match="took the alert rule"):
            client.create_rule(identifier, payload)
        client.close()


def test_a_dry_run_looks_and_writes_nothing() -> None:
    with serving() as server:
        said = list(kibana.planned(made(server), rules=True))
        assert {method for method, *_ in server.requests} == {"GET"}
        assert (server.objects, server.rules) == ({}, {})
    assert len(said) == 1 + len(build.rules())


@pytest.mark.parametrize(
    "variables",
    [{"SHIPPER_KIBANA": "kibana:5601"}, {"SHIPPER_KIBANA_SPACE": "a/b"}],
)
def test_addresses_and_spaces_that_cannot_be(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        made(None, **variables)
