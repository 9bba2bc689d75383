"""Which indices are past their retention, and which are never deleted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shipper import settings
from shipper.index.retention import expired, period_end

SETTINGS = settings.load(
    environment={"XDG_STATE_HOME": "/s", "SHIPPER_NAMESPACE": "shop", "SHIPPER_RETENTION": "job=10,audit=365"}
)


def past(*names: str, now: str = "2026-11-21T12:00") -> list[str]:
    return expired(names, SETTINGS, datetime.fromisoformat(now).replace(tzinfo=UTC))


def test_an_index_is_past_when_its_last_moment_is() -> None:
    name = "rq-job-shop-2026.11.10"
    assert past(name, now="2026-11-20T23:59") == []
    assert past(name, now="2026-11-21T00:00") == [name]


def test_an_audit_index_holds_a_month() -> None:
    assert past("rq-audit-shop-2025.10", "rq-audit-shop-2025.11") == ["rq-audit-shop-2025.10"]


@pytest.mark.parametrize(
    "name",
    [
        "rq-job-other-2020.01.01",
        "rq-job-shop-eu-2020.01.01",
        "rq-job-shop-2020",
        "rq-job-shop-2020.1.1",
        "rq-job-shop-2020.02.31",
        "rq-job-shop-kept",
        "rq-state-shop",
        "my-rq-job-shop-2020.01.01",
        "rq-audit-shop-2020.01.01",
    ],
)
def test_what_is_not_exactly_ours_is_left_alone(name: str) -> None:
    assert past(name) == []


def test_a_dataset_with_daily_indices_may_have_monthly_ones_too() -> None:
    assert past("rq-job-shop-2026.10", "rq-job-shop-2026.11", now="2026-11-11T00:00") == ["rq-job-shop-2026.10"]


def test_the_last_month_of_a_year_ends_with_it() -> None:
    assert period_end("rq.audit", "2026.12") == datetime(2027, 1, 1, tzinfo=UTC)
