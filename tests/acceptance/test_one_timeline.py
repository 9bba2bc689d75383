"""One person's day: what they did on the web, what their jobs did, and what an operator did, on one timeline.

A real HTTP client asks the demo's web application on a real server; unmodified `rq` commands do the rest.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import redis
from elasticsearch import Elasticsearch
from playwright.sync_api import Browser as Browsing
from playwright.sync_api import sync_playwright
from rq import Queue
from rq.registry import FailedJobRegistry

import shipper
from shipper import settings
from shipper.timeline import TimelineEntry
from stack.processes import free_port
from tests.programs import LIMIT_S, Programs, wait_for

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUEUES = ("payments", "mails", "reports")
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Browser:
    """An HTTP client that keeps its cookie."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookie = ""

    def post(self, path: str, **headers: str) -> int:
        client = HTTPConnection("127.0.0.1", self._port, timeout=LIMIT_S)
        try:
            client.request("POST", path, headers={"Cookie": self._cookie, "User-Agent": "tests/1", **headers})
            answer = client.getresponse()
            answer.read()
            self._cookie = (answer.getheader("Set-Cookie") or self._cookie).partition(";")[0]
            return answer.status
        finally:
            client.close()


@pytest.fixture
def browser(programs: Programs, connection: redis.Redis) -> Browser:
    port = free_port()
    programs.start("python", "-m", "demo.app", DEMO_PORT=str(port))
    wait_for(lambda: b"the shop is open" in (programs.folder / "python.log").read_bytes(), "the shop")
    return Browser(port)


@pytest.fixture
def requeued(browser: Browser, programs: Programs, connection: redis.Redis, search: Elasticsearch) -> str:
    """The day of customer 42, shipped. The id of the job that an operator requeued."""
    assert browser.post("/address?city=Ulm") == 401
    assert browser.post("/session?customer=42") == 200
    assert browser.post("/address?city=Bonn", traceparent=f"00-{TRACE}-b7ad6b7169203331-01") == 200
    programs.work(*QUEUES)
    assert browser.post("/orders?declines=2") == 201
    programs.work(*QUEUES)
    assert browser.post("/orders?declines=3") == 201
    programs.work(*QUEUES)
    (job_id,) = FailedJobRegistry(queue=Queue("payments", connection=connection)).get_job_ids()
    url = programs.environment["SHIPPER_REDIS"]
    operator = {"RQ_JOB_CLASS": "shipper.LoggedJob", "SHIPPER_ACTOR": "olga"}
    programs.run("rq", "requeue", "--queue", "payments", "--url", url, job_id, **operator)
    programs.work(*QUEUES)
    programs.run("shipper", "run", "--once")
    search.indices.refresh(index=f"rq-*-{programs.environment['SHIPPER_NAMESPACE']}-*")
    return job_id


ENQUEUED_MAIL = "user-42         job-enqueued     success  demo.jobs.send_mail"
STARTED_MAIL = "user-42         job-started      unknown  demo.jobs.send_mail"
SENT_MAIL = "job for user-42 mail-sent        success  order {0}"
FINISHED_MAIL = "user-42         job-finished     success  demo.jobs.send_mail"
MAIL = (STARTED_MAIL, SENT_MAIL, FINISHED_MAIL)
ENQUEUED_CARD = "user-42         job-enqueued     success  demo.jobs.charge_card"
STARTED_CARD = "user-42         job-started      unknown  demo.jobs.charge_card"
DECLINED = (
    STARTED_CARD,
    "job for user-42 card-charged     failure  order {0}",
    "user-42         job-retried      failure  demo.jobs.charge_card",
    ENQUEUED_CARD,
)
CHARGED = (
    STARTED_CARD,
    "job for user-42 card-charged     success  order {0}",
    "user-42         job-finished     success  demo.jobs.charge_card",
)
DEAD = (
    STARTED_CARD,
    "job for user-42 card-charged     failure  order {0}",
    "user-42         job-dead         failure  demo.jobs.charge_card",
)
ORDER = (ENQUEUED_CARD, ENQUEUED_MAIL, ENQUEUED_MAIL)

DAY = [
    "user user-42    signed-in        success  customer 42",
    ENQUEUED_MAIL,
    "user user-42    address-changed  success  customer 42",
    *(line.format(0) for line in MAIL),
    *(line.format(1000) for line in (*ORDER, *DECLINED, *DECLINED, *CHARGED, *MAIL, *MAIL)),
    *(line.format(1001) for line in (*ORDER, *DECLINED, *DECLINED, *DEAD, *MAIL, *MAIL)),
    ENQUEUED_CARD,
    "operator olga   job-requeued     success  job demo.jobs.charge_card",
    *(line.format(1001) for line in DEAD),
]


def summary(one: TimelineEntry) -> str:
    """A record in a line: who, what, how it went, what it was about."""
    if one.dataset == "rq.job":
        return f"{one.user:15} {one.action:16} {one.outcome:8} {one.function}"
    actor, thing = one.record["audit"]["actor"]["type"], one.record["audit"]["resource"]
    who = f"job for {one.user}" if actor == "job" else f"{actor} {one.user}"
    return f"{who:15} {one.action:16} {one.outcome:8} {thing['type']} {thing.get('name', thing['id'])}"


def verified(programs: Programs) -> list[dict[str, Any]]:
    done = programs.run("shipper", "audit", "verify", "--json", check=False)
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return findings


def test_one_person_s_day_is_told_line_by_line_and_tampering_is_named(
    requeued: str, programs: Programs, search: Elasticsearch
) -> None:
    made = settings.load(environment=programs.environment)
    entries = list(shipper.timeline.query(settings=made, user="user-42", since="1h"))
    assert [summary(one) for one in entries] == DAY
    moved = next(one for one in entries if one.action == "address-changed")
    assert moved.record["audit"]["changes"] == {"before": {"city": None}, "after": {"city": "Bonn"}}
    assert (moved.record["url"]["path"], moved.record["user_agent"]["original"]) == ("/address", "tests/1")
    # The request's trace is on what it did and on all that its jobs did.
    assert [summary(one) for one in shipper.timeline.query(settings=made, trace=TRACE)] == DAY[1:6]
    of_job = [one.action for one in shipper.timeline.query(settings=made, job=requeued)]
    assert of_job[-5:] == ["job-enqueued", "job-requeued", "job-started", "card-charged", "job-dead"]
    # Who was not signed in is not user-42, and is on the trail all the same.
    denied = next(iter(shipper.timeline.query(settings=made, resource="customer")))
    assert (denied.user, denied.record["event"]["type"]) == (None, ["info", "denied"])

    assert verified(programs) == []
    hits = search.search(index=f"rq-audit-{made.namespace}-*", sort=[{"event.sequence": "asc"}], size=100)["hits"][
        "hits"
    ]
    edited = next(hit for hit in hits if "changes" in hit["_source"]["audit"])
    deleted = hits[8]
    edited["_source"]["audit"]["changes"]["after"]["city"] = "Berlin"
    search.index(index=edited["_index"], id=edited["_id"], document=edited["_source"], refresh=True)
    search.delete(index=deleted["_index"], id=deleted["_id"], refresh=True)
    found = verified(programs)
    assert [(one["kind"], one["sequence"]) for one in found] == [
        ("changed", edited["_source"]["event"]["sequence"]),
        ("gap", 10),
    ]
    assert found[0]["where"] == f"{edited['_index']}/{edited['_id']}"
    assert found[1]["detail"] == "#9 is missing before it"


@pytest.fixture
def chromium() -> Iterator[Browsing]:
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    assert program, f"none of {', '.join(BROWSERS)} is installed"
    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=1000 * LIMIT_S)
        yield running
        running.close()


def test_the_day_is_one_page_that_opens_without_a_server(
    requeued: str, programs: Programs, chromium: Browsing, tmp_path: Path
) -> None:
    file = tmp_path / "day.html"
    programs.run("shipper", "timeline", "--user", "user-42", "--html", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    page = chromium.new_page(viewport={"width": 1200, "height": 900}, offline=True)
    page.set_default_timeout(1000 * LIMIT_S)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(file.as_uri())
    assert (asked, said) == ([file.as_uri()], [])
    assert page.title() == "Timeline of user user-42, since 24h"
    assert page.locator("tr.record").count() == page.locator("svg .dot").count() == len(DAY)
    # Sign-in, address, the first mail; and for each of two orders, whose requests recorded nothing, three jobs.
    assert page.locator("section.group").count() == 4
    lanes = page.locator("svg g.lane")
    assert [lanes.nth(at).locator("text > title").text_content() for at in range(lanes.count())] == [
        "web /session",
        "demo.jobs.send_mail",
        "web /address",
        *["demo.jobs.charge_card", "demo.jobs.send_mail", "demo.jobs.send_mail"] * 2,
    ]
    boxes = [lanes.nth(at).bounding_box() for at in range(lanes.count())]
    tops = [box["y"] for box in boxes if box]
    assert tops == sorted(tops)
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 1200 for box in boxes if box)
    waits, runs = page.locator("svg rect.wait"), page.locator("svg rect.run")
    assert (waits.count(), runs.count()) == (12, 12)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    row = page.locator("tr.record", has_text="job-requeued job demo.jobs.charge_card")
    assert not row.locator("pre").is_visible()
    row.locator("summary").click()
    assert '"type": "operator"' in row.locator("pre").inner_text()
    lanes.nth(3).locator("a").click()
    assert page.url.endswith(f"#{page.locator('div.lane').nth(3).get_attribute('id')}")
    page.locator("#search").fill("job-requeued operator")
    page.locator("tr.record:not([hidden])").nth(1).wait_for(state="hidden")
    assert page.locator("tr.record:visible").count() == 1
    assert page.locator("#found").inner_text() == f"1 of {len(DAY)} records"
    assert page.locator("svg g.lane:not(.faded)").count() == 1
    page.locator("#search").fill("")
    page.locator("tr.record").nth(1).wait_for()
    colours = {
        name: page.locator(f"svg .dot.{name}").first.evaluate("one => getComputedStyle(one).fill")
        for name in ("success", "failure", "unknown")
    }
    colours |= {
        name: page.locator(f"svg .{name}").first.evaluate("one => getComputedStyle(one).fill")
        for name in ("wait", "run")
    }
    assert len(set(colours.values())) == 5
    page.screenshot(path=str(tmp_path / "day.png"), full_page=True)
