"""The page: what stands together, and that records cannot break out of it."""

from __future__ import annotations

from typing import Any

from shipper.read import page
from shipper.read.entry import entry


def record(second: int, action: str, **fields: Any) -> dict[str, Any]:
    return {
        "@timestamp": f"2026-11-21T03:17:{second:02}.000000Z",
        "event": {"dataset": "rq.job" if action.startswith("job-") else "rq.audit", "action": action},
        "message": f"{action} happened",
        **fields,
    }


WEB = {"http": {"request": {"id": "r-1"}}, "url": {"path": "/orders"}, "trace": {"id": "t-1"}}
CHARGE = {
    "messaging": {"message": {"id": "j-1"}},
    "code": {"function": {"name": "shop.charge"}},
    "trace": {"id": "t-1"},
}
STORY = [
    record(1, "signed-in", **WEB),
    record(2, "job-enqueued", **CHARGE),
    record(3, "job-started", **CHARGE),
    record(5, "job-finished", **CHARGE),
    record(6, "job-enqueued", messaging={"message": {"id": "j-2"}}, rq={"root_job_id": "j-0"}),
    record(7, "swept"),
]


def test_a_request_and_its_jobs_are_one_group_and_each_is_a_lane() -> None:
    groups = page.group(map(entry, STORY))
    assert [(one.key, list(one.lanes)) for one in groups] == [
        ("t-1", ["request r-1", "job j-1"]),
        ("j-0", ["job j-2"]),
        ("others", ["others"]),
    ]


def test_the_picture_has_a_lane_for_each_and_a_dot_for_each_record() -> None:
    said = page.render(STORY, "A day")
    assert said.count('<g class="lane">') == 4
    assert said.count("<circle") == len(STORY)
    assert (said.count('class="wait"'), said.count('class="run"')) == (1, 1)


def test_records_cannot_break_out() -> None:
    evil = "</pre><script>alert(1)</script>"
    fields = {"messaging": {"message": {"id": evil}}, "code": {"function": {"name": evil}}, "user": {"id": evil}}
    said = page.render([{**record(1, evil), "message": evil, "$groups": "$title", **fields}], evil)
    assert "<script" not in said
    assert said.count("default-src 'none'") == 1


def test_what_other_programs_write_is_shown_as_far_as_it_goes() -> None:
    said = page.render([{"@timestamp": "2026-11-21", "event": {"action": 5}, "user": "bob", "message": 7}], "x")
    assert said.count('<tr class="record">') == 1


def test_no_records_are_a_page_too() -> None:
    assert "No records." in page.render([], "x")
