"""What Django's system checks say, and that nothing of it keeps anything from starting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shipper import settings
from tests.unit.conftest import Shop


class OtherJob:
    pass


@pytest.fixture
def warnings(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs the checks with changed settings: {id: message}."""
    from django.core.checks import run_checks
    from django.test import override_settings

    def check(**changed: Any) -> dict[str, str]:
        with override_settings(**changed):
            return {one.id: f"{one.msg} {one.hint}" for one in run_checks(tags=["shipper"])}

    return check


def test_a_shop_that_is_as_it_should_be_is_told_nothing(warnings: Any) -> None:
    assert warnings() == {}


def test_all_of_it_is_a_warning(warnings: Any) -> None:
    from django.core.checks import WARNING, run_checks
    from django.test import override_settings

    with override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware"], RQ={"JOB_CLASS": OtherJob}):
        found = run_checks(tags=["shipper"])
    assert [(one.id, one.level) for one in found] == [("shipper.W002", WARNING), ("shipper.W005", WARNING)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"logg": "/x"}, "There is no setting logg (in settings.SHIPPER). Did you mean log?"),
        ({"retention": {"job": 0}}, "The setting 'retention' from settings.SHIPPER must be a number of days"),
        ({"services": {1: "shop"}}, "The setting 'services' from settings.SHIPPER"),
        ("/x", "settings.SHIPPER must be a dict"),
    ],
)
def test_a_wrong_setting_is_told(warnings: Any, monkeypatch: pytest.MonkeyPatch, given: Any, said: str) -> None:
    monkeypatch.setattr(settings, "_application", ("settings.SHIPPER", given))
    assert said in warnings()["shipper.W001"]


def test_a_secret_is_not_told(warnings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_application", ("settings.SHIPPER", {"audit_key": "too short"}))
    assert "too short" not in warnings()["shipper.W001"]


@pytest.mark.parametrize("given", [OtherJob, f"{__name__}.OtherJob", "no.such.module.Class"])
def test_a_class_that_is_not_covered_is_told(warnings: Any, given: Any) -> None:
    for name, identifier in (("JOB_CLASS", "W002"), ("WORKER_CLASS", "W003"), ("QUEUE_CLASS", "W004")):
        assert f"RQ['{name}']" in warnings(RQ={name: given})[f"shipper.{identifier}"]
    assert "RQ_QUEUES['a']" in warnings(RQ_QUEUES={"a": {"URL": "redis://", "QUEUE_CLASS": given}})["shipper.W004"]


def test_classes_that_are_covered_are_not_told(warnings: Any) -> None:
    names = {
        "JOB_CLASS": "shipper.LoggedJob",
        "WORKER_CLASS": "rq.worker.SimpleWorker",
        "QUEUE_CLASS": "django_rq.queues.DjangoRQ",
    }
    assert warnings(RQ=names) == {}


SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def test_a_missing_middleware_is_told(warnings: Any) -> None:
    assert list(warnings(MIDDLEWARE=[SESSION, AUTHENTICATION])) == ["shipper.W005"]


def test_a_request_without_a_user_is_told(warnings: Any) -> None:
    assert list(warnings(MIDDLEWARE=["shipper.django.Middleware"])) == ["shipper.W006"]


def test_the_middleware_may_stand_first_or_last(warnings: Any) -> None:
    assert warnings(MIDDLEWARE=["shipper.django.Middleware", SESSION, AUTHENTICATION]) == {}
    assert warnings(MIDDLEWARE=[SESSION, AUTHENTICATION, "shipper.django.Middleware"]) == {}


def test_a_project_that_answers_no_requests_needs_no_middleware(warnings: Any) -> None:
    assert warnings(MIDDLEWARE=[]) == {}


def test_a_log_that_this_account_cannot_write_is_told(warnings: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("SHIPPER_LOG", str(tmp_path / "below/records.jsonl"))
    assert warnings() == {}
    tmp_path.chmod(0o500)
    account = os.geteuid()
    if account == 0:  # who may write everywhere
        os.seteuid(65534)
    try:
        found = warnings()
    finally:
        os.seteuid(account)
    assert f"cannot write the log {tmp_path}/below/records.jsonl" in found["shipper.W007"]


def test_a_log_that_is_no_file_is_not_told(warnings: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("SHIPPER_LOG", "/dev/stdout")
    assert warnings() == {}


def test_a_field_that_cannot_be_audited_is_told(warnings: Any, monkeypatch: Any) -> None:
    from shipper.django import audited, registry
    from tests.django_shop import models

    monkeypatch.setattr(registry, "problems", [])
    monkeypatch.setattr(registry, "_models", dict(registry._models))
    audited(models.Plain, fields=["name", "nmae", "friends"])
    audited(models.Restaurant, fields="place_ptr")
    assert [one.name for one in registry._models[models.Plain].fields] == ["name"]
    problems = list(registry.problems)
    assert problems == [
        "shop.Plain has no field 'nmae'",
        "shop.Restaurant.place_ptr is neither a field with a column nor many-to-many",
    ]
    assert "place_ptr" in warnings()["shipper.W008"]


def test_the_settings_of_django_weigh_less_than_the_environment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().service == "shop"
    monkeypatch.setenv("SHIPPER_SERVICE", "other")
    assert settings.load().service == "other"


def test_the_settings_of_django_weigh_more_than_the_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "shipper.toml").write_text('service = "file"\nnamespace = "file"\n')
    monkeypatch.setenv("SHIPPER_CONFIG", str(tmp_path / "shipper.toml"))
    loaded = settings.load()
    assert (loaded.service, loaded.namespace) == ("shop", "file")


def test_the_settings_of_django_are_not_another_process_s(shop: Shop, tmp_path: Path) -> None:
    assert settings.load(environment={"XDG_STATE_HOME": str(tmp_path)}).service == "rq"


def test_a_setting_of_none_is_not_set(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_application", ("settings.SHIPPER", {"service": None}))
    assert settings.load().service == "rq"
