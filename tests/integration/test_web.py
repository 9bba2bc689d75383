"""Real Django, Flask and FastAPI applications on real servers: who asks goes onto audit records and into jobs."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from stack.processes import free_port
from tests.programs import LIMIT_S, Programs, wait_for
from tests.trail import follow

TRACE = "0af7651916cd43dd8448eb211c80319c"
Ask = Callable[..., int]


class Application(Programs):
    """An application that serves all of these tests: each sees what was written since `forget`."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        super().__init__(environment, folder)
        self._forgotten = 0

    def written(self) -> list[dict[str, Any]]:
        return super().written()[self._forgotten :]

    def forget(self) -> None:
        self._forgotten = len(super().written())

    def trail(self) -> list[dict[str, Any]]:
        """From its beginning."""
        return [record for record in super().written() if record["event"]["dataset"] == "rq.audit"]


@pytest.fixture(scope="module", params=["flask", "django", "fastapi"])
def served(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Application, Ask]]:
    """An application on a server, and what puts a request to it and gives back the status."""
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    environment = {
        "SHIPPER_LOG": str(folder / "records.jsonl"), "XDG_STATE_HOME": str(folder), "SHIPPER_REDIS": redis_url,
        "SHIPPER_SERVICE": "tests",
    }  # fmt: skip
    programs = Application(environment, folder)
    server = programs.start("python", "-m", "tests.webapps", request.param, str(port))

    def put(method: str, path: str, **headers: str) -> int:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        try:
            client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = client.getresponse()
            answer.read()
            return answer.status
        finally:
            client.close()

    def answers() -> bool:
        assert server.poll() is None, (programs.folder / "python.log").read_text()
        try:
            return put("GET", "/") == 404
        except OSError:
            return False

    wait_for(answers, "the application")
    yield programs, put
    programs.stop()


@pytest.fixture
def programs(served: tuple[Application, Ask], connection: redis.Redis) -> Application:
    served[0].forget()
    return served[0]


@pytest.fixture
def ask(served: tuple[Application, Ask], programs: Application) -> Ask:
    return served[1]


def test_a_request_is_on_the_record_with_who_signed_in_inside_of_it(ask: Ask, programs: Application) -> None:
    headers = {
        "User_Agent": "curl/8", "X_Request_Id": "r-1", "X_Forwarded_For": "203.0.113.66, 198.51.100.9",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    }  # fmt: skip
    assert ask("POST", "/login?user=ann", **headers) == 200
    (record,) = programs.audit()
    assert (record["audit"]["actor"], record["user"]) == ({"type": "user"}, {"id": "ann"})
    assert record["http"]["request"]["id"] == "r-1"
    assert record["url"]["path"] == "/login"
    assert record["source"]["ip"] == "198.51.100.9"
    assert record["user_agent"]["original"] == "curl/8"
    assert record["trace"]["id"] == TRACE


def test_the_actor_and_the_trace_go_into_jobs_and_the_jobs_of_jobs(ask: Ask, programs: Application) -> None:
    assert ask("POST", "/change/7", X_User="ann", X_Request_Id="r-1") == 200
    programs.work("letters")
    changed, printed, posted = programs.audit()
    assert [one["event"]["action"] for one in (changed, printed, posted)] == [
        "thing-changed", "thing-printed", "thing-posted"
    ]  # fmt: skip
    for inside in (printed, posted):
        assert inside["audit"]["actor"] == {"type": "job", "requester": "user"}
        assert inside["user"] == {"id": "ann"}
        assert inside["trace"]["id"] == changed["trace"]["id"]
        assert inside["http"]["request"]["id"] == "r-1"
    first = printed["messaging"]["message"]["id"]
    assert posted["rq"]["root_job_id"] == posted["rq"]["parent_job_id"] == first
    jobs = programs.records()
    assert {record["user"]["id"] for record in jobs} == {"ann"}
    assert {record["trace"]["id"] for record in jobs} == {changed["trace"]["id"]}
    follow(programs.trail())


def test_a_request_s_user_is_gone_with_it(ask: Ask, programs: Application) -> None:
    ask("POST", "/login?user=ann")
    ask("POST", "/change/7")
    record = programs.audit()[-1]
    assert (record["audit"]["actor"], record["tags"]) == ({"type": "system"}, ["no-actor"])
    assert "user" not in record


def test_an_answer_made_bit_by_bit_is_still_the_request_s(ask: Ask, programs: Application) -> None:
    assert ask("GET", "/stream", X_User="ann", X_Request_Id="r-9") == 200
    (record,) = programs.audit()
    assert (record["user"]["id"], record["http"]["request"]["id"]) == ("ann", "r-9")


def test_what_was_forbidden_is_a_denial(ask: Ask, programs: Application) -> None:
    assert ask("GET", "/forbidden", X_User="ann") == 403
    (record,) = programs.audit()
    assert (record["event"]["outcome"], record["event"]["type"]) == ("failure", ["info", "denied"])
