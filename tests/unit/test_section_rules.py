"""Critical sections and unique jobs without a server: names, decisions, and uses that cannot work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import shipper
from shipper import SectionBusy, SectionError
from shipper.emit import sentry
from shipper.sections import busy, caller
from shipper.sections.busy import Limits
from shipper.sections.store import Holder
from shipper.sections.template import Template
from shipper.sections.unique import make

LIMITS = Limits(delay_s=5, max_tries=10, max_age_s=60)


def transfer(user_id: int, amount: int = 1, *rest: int, **options: Any) -> None:
    return None


def move(user_id: int, amount: int = 1) -> None:
    return None


class Order:
    def __init__(self) -> None:
        self.user = {"id": 42}


def holder(tries: int = 1, waited_s: float = 0.0) -> Holder:
    return Holder("token", "job-1", "shop.transfer", 0, "", "", waited_s, tries)


@pytest.mark.parametrize(
    ("text", "args", "kwargs", "name"),
    [
        ("financial:{user_id}", (7,), {}, "financial:7"),
        ("financial:{user_id}:{amount}", (), {"user_id": "ann"}, "financial:ann:1"),
        ("{function}:{region}", (7,), {"region": "eu"}, "shop.transfer:eu"),
        ("all", (7,), {}, "all"),
        ("{{x}}:{user_id}", (7,), {}, "{x}:7"),
        ("{user_id.user[id]}", (Order(),), {}, "42"),
    ],
)
def test_a_template_takes_arguments_by_name(text: str, args: Any, kwargs: Any, name: str) -> None:
    template = Template(text)
    template.check(transfer)
    assert template.fill(transfer, "shop.transfer", args, kwargs) == name


def test_of_a_function_that_is_not_here_only_keyword_arguments_are_known() -> None:
    assert Template("f:{user_id}").fill(None, "shop.transfer", (), {"user_id": 7}) == "f:7"
    with pytest.raises(SectionError, match="needs the argument 'user_id'"):
        Template("f:{user_id}").fill(None, "shop.transfer", (7,), {})


@pytest.mark.parametrize("text", ["", "a:{", "a:{}", "a:{0}", "a:{user id}"])
def test_what_is_no_template_is_an_error(text: str) -> None:
    with pytest.raises(SectionError):
        Template(text)


def test_an_argument_that_the_function_lacks_is_an_error_where_it_is_decorated() -> None:
    with pytest.raises(
        SectionError, match=r"needs the argument 'account', which .*move does not have.*amount, user_id"
    ):
        shipper.critical_section("financial:{account}")(move)
    with pytest.raises(SectionError, match="'account'"):
        shipper.unique("{function}:{account}")(move)
    shipper.critical_section("financial:{account}")(transfer)  # which takes any


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0}, {"wait": -1}, {"delay": 0}, {"max_tries": 0}, {"max_age": 0}, {"on_busy": "retry"},
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_errors(options: Any) -> None:
    with pytest.raises(SectionError):
        shipper.critical_section("financial", **options)


@pytest.mark.parametrize("until", ["ended", 0, -1, True, None])
def test_a_unique_job_s_until_is_checked(until: Any) -> None:
    with pytest.raises(SectionError, match="until="):
        make("a", until)


def test_a_ttl_below_the_job_s_timeout_is_an_error_and_so_is_a_wait_of_its_length() -> None:
    section = shipper.critical_section("financial:{user_id}", ttl=30)
    with pytest.raises(SectionError, match="ttl=30 is shorter than the job's timeout of 180 s"):
        section.check_job(move, "move", (7,), {}, 180.0)
    section.check_job(move, "move", (7,), {}, 30.0)
    section.check_job(move, "move", (7,), {}, None)  # a job without a timeout: its lease is extended
    section.check_job(move, "move", (), {}, 30.0)  # the call itself is wrong: the job says so
    with pytest.raises(SectionError, match="wait=30"):
        shipper.critical_section("financial", wait=30).check_job(move, "move", (7,), {}, 30.0)


def test_a_with_block_has_no_arguments_and_cannot_be_skipped() -> None:
    with pytest.raises(SectionError, match="use an f-string"), shipper.critical_section("financial:{user_id}"):
        pass
    with pytest.raises(SectionError, match="cannot be skipped"), shipper.critical_section("x", on_busy="skip"):
        pass


@pytest.mark.parametrize(
    ("on_busy", "kept_out", "is_in_worker", "action", "delay_s"),
    [
        ("requeue", holder(), True, "requeue", 7.5),
        ("requeue", holder(tries=10), True, "exhausted", None),
        ("requeue", holder(waited_s=60), True, "exhausted", None),
        ("requeue", holder(), False, "fail", None),
        ("fail", holder(), True, "fail", None),
        ("skip", holder(), True, "skip", None),
        (print, holder(), True, "callback", None),
    ],
)
def test_what_becomes_of_a_busy_job(
    on_busy: Any, kept_out: Holder, is_in_worker: bool, action: str, delay_s: float | None
) -> None:
    decision = busy.decide(
        on_busy, LIMITS, kept_out, is_job=True, is_in_worker=is_in_worker, dice=lambda _least, most: most
    )
    assert (decision.action, decision.delay_s) == (action, delay_s)
    assert decision.is_exhausted == (action == "exhausted")


def test_the_delay_has_jitter() -> None:
    delays = {busy.decide("requeue", LIMITS, holder(), is_job=True, is_in_worker=True).delay_s for _ in range(50)}
    assert all(delay is not None and 2.5 <= delay <= 7.5 for delay in delays)
    assert len(delays) > 10


def test_a_refusal_says_who_and_since_when() -> None:
    refused = SectionBusy(
        "financial:7", holder="job-1", holder_function="shop.transfer", since=datetime(2026, 11, 21, 3, tzinfo=UTC)
    )
    assert str(refused) == (
        "The section financial:7 is held by job job-1 (shop.transfer) since 2026-11-21 03:00:00 UTC."
    )


def test_a_job_that_is_put_back_is_no_event_for_sentry() -> None:
    def raised(delay_s: float | None) -> Any:
        busy = SectionBusy("a", holder=None, holder_function=None, since=datetime.now(UTC), delay_s=delay_s)
        return sentry.add_fields({}, {"exc_info": (SectionBusy, busy, None)})

    assert raised(5.0) is None
    assert raised(None) == {}


def test_only_a_process_of_this_machine_that_has_ended_is_gone() -> None:
    here = caller.place()
    assert here
    assert not caller.is_gone(here, caller.process())
    assert caller.is_gone(here, caller.process() + "1")  # the pid is used again
    assert caller.is_gone(here, f"{2**22 + 1}:5")
    assert not caller.is_gone("another-boot:1", f"{2**22 + 1}:5")
    assert not caller.is_gone("", "")
