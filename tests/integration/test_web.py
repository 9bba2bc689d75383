"""Real Django, Flask and FastAPI applications on real servers: who asks goes onto audit records and into jobs."""

from __future__ import annotations

import http.client
from collections.abc import Callable

import pytest
import redis

from stack.processes import free_port
from tests.programs import LIMIT_S, Programs, wait_for
from tests.trail import follow

TRACE = "0af7651916cd43dd8448eb211c80319c"
Ask = Callable[..., int]


@pytest.fixture(params=["flask", "django", "fastapi"])
def ask(request: pytest.FixtureRequest, programs: Programs, connection: redis.Redis) -> Ask:
    """Puts a request to the application and gives back the status."""
    return serving(programs, request.param, {})


def serving(programs: Programs, application: str, answered: dict[str, str]) -> Ask:
    """Start an application of tests/webapps.py. `answered` is filled with the headers of the last answer."""
    port = free_port()
    server = programs.start("python", "-m", "tests.webapps", application, str(port))

    def put(method: str, path: str, **headers: str) -> int:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        try:
            client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = client.getresponse()
            answer.read()
            answered.update((name.lower(), value) for name, value in answer.headers.items())
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
    return put


def test_a_request_is_on_the_record_with_who_signed_in_inside_of_it(ask: Ask, programs: Programs) -> None:
    headers = {
        "User_Agent": "curl/8",
        "X_Request_Id": "r-1",
        "X_Forwarded_For": "203.0.113.66, 198.51.100.9",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    }
    assert ask("POST", "/login?user=ann", **headers) == 200
    (record,) = programs.audit()
    assert (record["audit"]["actor"], record["user"]) == ({"type": "user"}, {"id": "ann"})
    assert record["http"]["request"]["id"] == "r-1"
    assert record["url"]["path"] == "/login"
    assert record["source"]["ip"] == "198.51.100.9"
    assert record["user_agent"]["original"] == "curl/8"
    assert record["trace"]["id"] == TRACE


def test_the_actor_and_the_trace_go_into_jobs_and_the_jobs_of_jobs(ask: Ask, programs: Programs) -> None:
    assert ask("POST", "/change/7", X_User="ann", X_Request_Id="r-1") == 200
    programs.work("letters")
    changed, printed, posted = programs.audit()
    assert [one["event"]["action"] for one in (changed, printed, posted)] == [
        "thing-changed",
        "thing-printed",
        "thing-posted",
    ]
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
    follow(programs.audit())


def test_a_request_s_user_is_gone_with_it(ask: Ask, programs: Programs) -> None:
    ask("POST", "/login?user=ann")
    ask("POST", "/change/7")
    record = programs.audit()[-1]
    assert (record["audit"]["actor"], record["tags"]) == ({"type": "system"}, ["no-actor"])
    assert "user" not in record


def test_an_answer_made_bit_by_bit_is_still_the_request_s(ask: Ask, programs: Programs) -> None:
    assert ask("GET", "/stream", X_User="ann", X_Request_Id="r-9") == 200
    (record,) = programs.audit()
    assert (record["user"]["id"], record["http"]["request"]["id"]) == ("ann", "r-9")


def test_what_was_forbidden_is_a_denial(ask: Ask, programs: Programs) -> None:
    assert ask("GET", "/forbidden", X_User="ann") == 403
    (record,) = programs.audit()
    assert (record["event"]["outcome"], record["event"]["type"]) == ("failure", ["info", "denied"])


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
@pytest.mark.usefixtures("connection")
def test_the_lines_that_the_documentation_shows_are_all_it_takes(framework: str, programs: Programs) -> None:
    answered: dict[str, str] = {}
    ask = serving(programs, f"documented_{framework}", answered)
    who = {"X_User": "ann"}
    if framework == "flask":
        assert ask("POST", "/login?user=ann") == 200
        who = {"Cookie": answered["set-cookie"].partition(";")[0]}
    assert ask("POST", "/order/7", X_Request_Id="r-1", traceparent=f"00-{TRACE}-b7ad6b7169203331-01", **who) == 200
    programs.work("letters")
    first = [one for one in programs.records() if one["messaging"]["message"]["id"] == _first_job(programs)]
    assert [one["event"]["action"] for one in first] == ["job-enqueued", "job-started", "job-finished"]
    for record in programs.written():
        assert (record["user"]["id"], record["trace"]["id"]) == ("ann", TRACE)
    printed, posted = programs.audit()
    for inside in (printed, posted):
        assert inside["audit"]["actor"] == {"type": "job", "requester": "user"}
        assert inside["http"]["request"]["id"] == "r-1"


def _first_job(programs: Programs) -> str:
    return str(programs.records()[0]["messaging"]["message"]["id"])
