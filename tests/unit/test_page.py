"""The page: what stands together, and that records cannot break out of it."""

from __future__ import annotations

import base64
import hashlib
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

from shipper.read import page


def record(second: int, action: str, **fields: Any) -> dict[str, Any]:
    return {
        "@timestamp": f"2026-11-21T03:17:{second:02}.000000Z",
        "event": {"dataset": "rq.job" if action.startswith("job-") else "rq.audit", "action": action},
        "message": f"{action} happened",
        **fields,
    }


def rendered(records: Iterable[dict[str, Any]], title: str = "x", **how: Any) -> str:
    with page.lay_out(records, **how) as laid_out:
        return "".join(page.chunks(laid_out, title))


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
TRACE = 'Traceback (most recent call last):\n  File "<jobs>", line 7\nValueError: no'


def test_a_request_and_its_jobs_are_one_group_and_each_is_a_lane() -> None:
    with page.lay_out(STORY) as laid_out:
        assert [(one.key, list(one.lanes)) for one in laid_out.groups.values()] == [
            ("t-1", ["request r-1", "job j-1"]),
            ("j-0", ["job j-2"]),
            ("others", ["others"]),
        ]


def test_the_picture_has_a_lane_for_each_and_a_dot_for_each_record() -> None:
    said = rendered(STORY)
    assert said.count('<g class="lane"') == 4
    assert said.count('class="dot') == len(STORY)
    assert (said.count('<rect class="wait"'), said.count('<rect class="run"')) == (1, 1)


def test_waiting_and_running_differ_in_colour_and_in_height() -> None:
    said = rendered(STORY)
    wait, run = (re.search(rf'class="{kind}"[^>]* height="(\d+)"', said) for kind in ("wait", "run"))
    assert wait
    assert run
    assert wait[1] != run[1]
    colours = dict(re.findall(r"--(wait|run|good|bad|plain): (#[0-9a-f]{6});", said))
    assert len(set(colours.values())) == 5


def test_a_failure_has_a_shape_of_its_own() -> None:
    failed = record(1, "job-dead")
    failed["event"]["outcome"] = "failure"
    assert rendered([failed]).count('<polygon class="dot failure"') == 1


def test_a_job_that_waits_or_runs_at_the_end_is_drawn_as_far_as_it_is_known() -> None:
    said = rendered([*STORY[1:3], {**record(9, "job-progressed", **CHARGE)}])
    assert (said.count('<rect class="wait"'), said.count('<rect class="run"')) == (1, 1)


def test_records_cannot_break_out() -> None:
    evil = "</pre></script><script>alert(1)</script>"
    fields = {
        "messaging": {"message": {"id": evil}},
        "code": {"function": {"name": evil}},
        "user": {"id": evil},
        "error": {"stack_trace": evil},
    }
    said = rendered([{**record(1, evil), "message": evil, "$groups": "$title $picture $script", **fields}], evil)
    assert said.count("<script") == said.count("</script") == 1
    assert said.count("default-src 'none'") == 1
    assert "alert(1)" not in said[said.index("<script>") :]


def test_only_the_page_s_own_script_and_style_are_allowed() -> None:
    said = rendered(STORY)
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        content = said.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in said
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', said)
    assert policy
    assert "unsafe" not in policy[1]
    assert not re.search(r'\son\w+="|\sstyle="|javascript:', said)


def test_a_stack_trace_is_folded_and_stands_once() -> None:
    said = rendered([record(1, "job-dead", error={"type": "ValueError", "stack_trace": TRACE}, **CHARGE)])
    assert said.count("line 7") == 1
    assert "<details><summary>Stack trace</summary><pre>Traceback (most recent call last):\n" in said
    assert '"type":"ValueError"' in said


def test_beyond_the_limit_a_word_says_so() -> None:
    said = rendered(STORY, limit=2)
    assert said.count('<tr class="record">') == 2
    assert "These are the first 2 records. There are more" in said
    assert "There are more" not in rendered(STORY, limit=len(STORY))


def test_memory_does_not_grow_with_what_records_say() -> None:
    """2,000 records of 15 KB, which are 30 MB: they are read and written piece by piece."""

    def many() -> Iterator[dict[str, Any]]:
        for number in range(2000):
            yield record(
                number % 60, "job-finished", messaging={"message": {"id": f"j-{number % 300}"}}, text="x" * 15_000
            )

    tracemalloc.start()
    try:
        with page.lay_out(many()) as laid_out:
            size = sum(map(len, page.chunks(laid_out, "x")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 30_000_000
    assert peak < 8_000_000


def test_what_other_programs_write_is_shown_as_far_as_it_goes() -> None:
    said = rendered([{"@timestamp": "2026-11-21", "event": {"action": 5}, "user": "bob", "message": 7}])
    assert said.count('<tr class="record">') == 1


def test_no_records_are_a_page_too() -> None:
    assert "No records." in rendered([])
