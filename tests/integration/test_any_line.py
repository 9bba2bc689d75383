"""Whatever logger wrote a line: a real Elasticsearch takes it, and what did not fit is found under `app`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from tests.programs import Programs

LINES = sorted((Path(__file__).parent.parent / "lines").glob("*.jsonl"))
MORE = {
    "duplicate names": ['{"a":1,"b":{"c":1,"c":2},"a":2,"message":"m"}'],
    "numbers": ['{"message":"m","n":123456789012345678901234567890,"x":1e400,"pid":1.10}'],
    "digits beyond all limits": ['{"message":"m","n":' + "1" * 1200 + "}"],
    "deep": ['{"message":"m","a":' + '{"b":' * 850 + "1" + "}" * 850 + "}"],
    "put right": ['{"message":"\\udcff","a":NaN}', '\0\0{"message":"m"}'],
    "envelopes": [
        '{"log":"{\\"message\\":\\"m\\",\\"user\\":\\"ann\\"}\\n","stream":"stdout","time":"2026-11-25T10:00:00.1Z"}',
        "2026-11-25T10:00:00.123456789Z stdout F plain text",
    ],
}


@pytest.fixture
def shipped(programs: Programs, search: Elasticsearch, namespace: str) -> Any:
    """Ships lines of another program's file, and gives what is indexed of them."""

    def ship(lines: list[str]) -> list[dict[str, Any]]:
        file = programs.folder / "others.jsonl"
        file.write_bytes("\n".join([*lines, ""]).encode())
        said = programs.run("shipper", "run", "--once", "--files", str(file)).stderr
        assert "0 dead letters" in said, said
        search.indices.refresh(index=f"rq-app-{namespace}-*")
        hits = search.search(index=f"rq-app-{namespace}-*", size=100)["hits"]["hits"]
        assert len(hits) == len(lines)
        return [hit["_source"] for hit in hits]

    return ship


def test_the_lines_of_ten_loggers_arrive(shipped: Any) -> None:
    sources = shipped([line for path in LINES for line in path.read_text().splitlines()])
    assert all(source["@timestamp"] for source in sources)
    assert all(source["event"]["dataset"] == "rq.app" for source in sources)


@pytest.mark.parametrize("lines", MORE.values(), ids=MORE)
def test_odd_lines_arrive(shipped: Any, lines: list[str]) -> None:
    assert all(source["message"] for source in shipped(lines))


@pytest.mark.parametrize(
    ("member", "field", "value"),
    [
        ('"user":"ann"', "app.user", "ann"),
        ('"error":"boom"', "app.error", "boom"),
        ('"host":"web1"', "app.host", "web1"),
        ('"event":"user_login"', "app.event", "user_login"),
        ('"code":200', "app.code", "200"),
        ('"labels":["x"]', "app.labels", "x"),
        ('"user":{"id":{"name":"ann"}}', "app.user.id.name", "ann"),
    ],
)
def test_what_did_not_fit_can_be_searched(
    shipped: Any, search: Elasticsearch, namespace: str, member: str, field: str, value: str
) -> None:
    shipped([f'{{"time":"2026-11-25T10:00:00Z","message":"m",{member}}}', '{"message":"other"}'])
    found = search.search(index=f"rq-app-{namespace}-*", query={"term": {field: value}})["hits"]["hits"]
    assert [json.dumps(hit["_source"]["message"]) for hit in found] == ['"m"']
