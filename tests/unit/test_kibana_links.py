"""Links of the Kibana objects: where they lead in each space and under each base path, and what they carry along."""

from __future__ import annotations

import json
import re
from posixpath import normpath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urljoin, urlsplit

import pytest

from kibana.objects.links import rison
from shipper.index import kibana
from tests.saved_objects import objects, of_type, panels

ORIGIN = "https://kibana.example"
CUSTOMER = "organization.id"
JOBS = {
    "messaging.message.id",
    "rq.queue.oldest_job_id",
    "rq.parent_job_id",
    "rq.root_job_id",
    "rq.depends_on",
}
"""Fields whose values are ids of jobs."""
PLACES = [("", "default"), ("", "ops"), ("/kb", "default"), ("/kb", "ops")]


def base_of(base_path: str, space: str) -> str:
    """What Kibana calls its base path: `server.basePath` and the space."""
    return base_path + ("" if space == "default" else f"/s/{space}")


def followed(address: str, base: str) -> str:
    """The URL that a field format's address becomes, as Kibana's UrlFormat computes it, and a browser resolves it."""
    if address.startswith("#"):
        prefix = f"{ORIGIN}{base}/app/dashboards"
    elif address.startswith(base or "/"):
        prefix = ORIGIN
    else:
        prefix = f"{ORIGIN}{base}/app" + ("" if address.startswith("/") else "/")
    whole = urlsplit(prefix + address)
    return whole._replace(path=normpath(whole.path)).geturl()


def addresses(space: str) -> set[tuple[str, str]]:
    """(field, address) of each field format that is a link, as installed in that space."""
    installed = [json.loads(line) for line in kibana.objects(space).splitlines()]
    return {
        (field, form["params"]["urlTemplate"])
        for one in installed
        if one["type"] == "index-pattern"
        for field, form in json.loads(one["attributes"]["fieldFormatMap"]).items()
        if form["id"] == "url"
    }


@pytest.mark.parametrize(("base_path", "space"), PLACES)
def test_a_link_in_a_cell_leads_to_its_page_in_every_space_and_under_every_base_path(
    base_path: str, space: str
) -> None:
    installed = {one["id"] for one in map(json.loads, kibana.objects(space).splitlines()) if one["type"] == "dashboard"}
    found = addresses(space)
    assert {field for field, _ in found} == {*JOBS, CUSTOMER}
    for _, address in found:
        url = followed(address, base_of(base_path, space))
        assert urlsplit(url).path == f"{base_of(base_path, space)}/app/dashboards"
        page = urlsplit(url).fragment.partition("?")[0].removeprefix("/view/")
        assert page in installed


@pytest.mark.parametrize(("base_path", "space"), PLACES)
def test_a_link_in_a_text_stays_in_the_space(base_path: str, space: str) -> None:
    installed = kibana.objects(space)
    here = f"{ORIGIN}{base_of(base_path, space)}/app/dashboards#/view/somewhere"
    links = re.findall(r"\]\((.*?)\)", installed)
    assert links
    for link in links:
        url = urlsplit(urljoin(here, link))
        assert url.path == f"{base_of(base_path, space)}/app/dashboards"
        page = url.fragment.removeprefix("/view/")
        assert any(one["id"] == page for one in map(json.loads, installed.splitlines()))


def state_of(address: str, value: str) -> dict[str, Any]:
    """The state in an address, as Kibana reads it after it has put a cell's value in."""
    query = urlsplit(address.replace("{{value}}", quote(value, safe="!'()*~-_."))).fragment.partition("?")[2]
    (state,) = parse_qs(query)["_a"]
    found: dict[str, Any] = unrison(state)
    return found


@pytest.mark.parametrize("value", ["42", "a b", 'say "hi"', "x&y=z#1", "ä/ö?%"])
def test_the_value_of_a_cell_is_the_choice_in_its_page_s_control(value: str) -> None:
    for field, address in addresses("default"):
        name, wanted = ("job", "messaging.message.id") if field in JOBS else ("customer", CUSTOMER)
        page = objects()["dashboard", f"rqship-dashboard-{name}"]
        kept = json.loads(page["attributes"]["controlGroupInput"]["panelsJSON"])
        state = state_of(address, value)
        # Kibana from 8.16 on reads the first, and older ones the second (dashboard_app/url/bwc).
        flat = state["controlGroupState"]["initialChildControlState"]
        nested = {one: panel["explicitInput"] for one, panel in state["controlGroupInput"]["panels"].items()}
        for controls in (flat, nested):
            assert list(controls) == list(kept), "an address replaces all controls of a page"
            for control, given in controls.items():
                saved = kept[control]["explicitInput"]
                assert ("index-pattern", given["dataViewId"]) in objects()
                assert (given["fieldName"], given["title"]) == (saved["fieldName"], saved["title"])
                assert given["selectedOptions"] == ([value] if given["fieldName"] == wanted else [])


def test_the_row_of_links_and_clicks_keep_the_time_range() -> None:
    for one in panels("links"):
        assert all(link["options"]["useCurrentDateRange"] for link in one.attributes["links"]), one.name
    for one in panels("lens"):
        for event in one.panel["embeddableConfig"]["enhancements"]["dynamicActions"]["events"]:
            assert event["action"]["config"]["useCurrentFilters"]
            # A job may be older than the range: its page looks back as far as it does by itself.
            assert event["action"]["config"]["useCurrentDateRange"] is (event["eventId"] != "goto-job")


def test_what_is_chosen_goes_along_between_pages_about_the_same() -> None:
    apart = {"job", "customer", "shipper", "start", "queuesnow", "workers", "redis", "cron"}
    for one in panels("links"):
        page = one.page["id"].removeprefix("rqship-dashboard-")
        for link in one.attributes["links"]:
            assert link["options"]["useCurrentFilters"] is not bool({page, link["id"]} & apart)


def test_every_data_view_that_has_a_job_or_a_customer_links_it() -> None:
    for one in of_type("index-pattern"):
        formats = json.loads(one["attributes"]["fieldFormatMap"])
        names = json.loads(one["attributes"]["fieldAttrs"])
        for field in ("messaging.message.id", "organization.id"):
            assert field not in names or formats[field]["id"] == "url", (one["id"], field)


# --- Rison ---


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": 1, "b": [True, False], "c": "x y"}, "(a:1,b:!(!t,!f),c:'x y')"),
        ("it's!", "'it!'s!!'"),
        ("", "''"),
        ("7", "'7'"),
        ({"a.b": "rqship-view-x"}, "(a.b:rqship-view-x)"),
        ([], "!()"),
    ],
)
def test_rison(value: Any, written: str) -> None:
    assert rison(value) == written
    assert unrison(written) == value


def unrison(text: str) -> Any:
    """Rison read: enough of it for what our links hold."""
    value, rest = _read(text)
    assert not rest, rest
    return value


def _read(text: str) -> tuple[Any, str]:
    if text.startswith("!("):
        return _sequence(text[2:])
    if text.startswith("!"):
        return {"t": True, "f": False}[text[1]], text[2:]
    if text.startswith("("):
        return _mapping(text[1:])
    if text.startswith("'"):
        found = re.match(r"'((?:[^'!]|!['!])*)'", text)
        assert found, text
        return re.sub(r"!(['!])", r"\1", found[1]), text[found.end() :]
    found = re.match(r"[^,:()!']+", text)
    assert found, text
    word = unquote(found[0])
    return (int(word) if word.isdigit() else word), text[found.end() :]


def _sequence(text: str) -> tuple[list[Any], str]:
    values = []
    while not text.startswith(")"):
        value, text = _read(text.removeprefix(","))
        values.append(value)
    return values, text[1:]


def _mapping(text: str) -> tuple[dict[str, Any], str]:
    values = {}
    while not text.startswith(")"):
        name, text = _read(text.removeprefix(","))
        values[str(name)], text = _read(text.removeprefix(":"))
    return values, text[1:]
