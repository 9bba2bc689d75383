"""Settings: where they come from, which wins, and what a wrong one gets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from shipper import settings
from shipper.errors import SettingsError

HOME = {"XDG_STATE_HOME": "/var/state"}


def load(flags: Any = None, **variables: str) -> settings.Settings:
    return settings.load(flags, {**HOME, **variables})


def problems(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_any_setting_everything_is_below_the_state_home() -> None:
    made = load()
    assert made.log == Path("/var/state/shipper/records.jsonl")
    assert made.files == ("/var/state/shipper/records.jsonl*",)
    assert made.state == Path("/var/state/shipper/state")


def test_the_shipper_tails_what_emitters_write_if_nobody_says_otherwise() -> None:
    assert load(SHIPPER_LOG="/logs/jobs.jsonl").files == ("/logs/jobs.jsonl*",)


def test_flags_outweigh_the_environment_which_outweighs_the_file() -> None:
    Path("shipper.toml").write_text('service = "toml"\nversion = "toml"\nenvironment = "toml"\n')
    made = load({"environment": "flag"}, SHIPPER_VERSION="variable", SHIPPER_ENVIRONMENT="variable")
    assert (made.service, made.version, made.environment) == ("toml", "variable", "flag")


def test_a_flag_that_was_not_given_says_nothing() -> None:
    assert load({"service": None}, SHIPPER_SERVICE="shop").service == "shop"


def test_an_empty_variable_says_nothing() -> None:
    assert load(SHIPPER_SERVICE="").service == "rq"


def test_the_file_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('service = "shop"')
    assert load(SHIPPER_CONFIG=str(tmp_path / "other.toml")).service == "shop"


def test_a_file_that_was_named_must_be_there() -> None:
    assert "cannot be read" in problems(SHIPPER_CONFIG="/nowhere/shipper.toml")


def test_lists_are_lists_in_the_file_and_have_commas_in_the_environment() -> None:
    Path("shipper.toml").write_text('labels = ["region", "plan"]')
    made = load(SHIPPER_ELASTICSEARCH="http://one:9200, https://two:9200/")
    assert made.labels == ("region", "plan")
    assert made.elasticsearch == ("http://one:9200", "https://two:9200")


@pytest.mark.parametrize("given", ["job=90d", "job=90", "job = 90 d"])
def test_days_may_be_called_so(given: str) -> None:
    made = load(SHIPPER_RETENTION=given)
    assert made.retention["job"] == made.retention["state"] == 90


@pytest.mark.parametrize("given", ["job=90h", "job=x", "job=0", "job=-1", "job=1.5", "job="])
def test_what_is_no_number_of_days_is_told_how_it_is_written(given: str) -> None:
    with pytest.raises(SettingsError, match="must be a number of days, 1 or more, such as 90 or 90d"):
        load(SHIPPER_RETENTION=given)


def test_retention_changes_what_it_names_and_keeps_the_rest() -> None:
    made = load(SHIPPER_RETENTION="job=7,audit=3650")
    assert made.retention == {"job": 7, "app": 30, "metric": 30, "shipper": 30, "alert": 365, "audit": 3650, "state": 7}


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().service = "other"  # type: ignore[misc]


def test_an_unknown_variable_is_refused_with_a_guess() -> None:
    assert "Did you mean SHIPPER_NAMESPACE?" in problems(SHIPPER_NAMESPASE="shop")


def test_an_unknown_key_is_refused_with_a_guess() -> None:
    Path("shipper.toml").write_text('elasticserch = "http://one:9200"')
    assert "Did you mean elasticsearch?" in problems()


def test_a_file_that_is_no_toml_is_refused() -> None:
    Path("shipper.toml").write_text("service: shop")
    assert "is not TOML" in problems()


@pytest.mark.parametrize("service", ["SHIPPER", "SHIPPER_METRICS", "SHIPPER_REDIS", "SHIPPER_ELASTICSEARCH_HTTP"])
def test_variables_that_kubernetes_sets_are_nobody_s_mistake(service: str) -> None:
    address = "tcp://10.0.0.1:9465"
    variables = {
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "9465",
        "SERVICE_PORT_HTTP_METRICS": "9465",
        "PORT": address,
        "PORT_9465_TCP": address,
        "PORT_9465_TCP_PROTO": "tcp",
        "PORT_9465_TCP_PORT": "9465",
        "PORT_9465_TCP_ADDR": "10.0.0.1",
        "PORT_53_UDP": "udp://10.0.0.1:53",
        "PORT_53_UDP_ADDR": "10.0.0.1",
        "ENV_PATH": "/usr/bin",
        "NAME": "/shop/shipper",
    }
    made = load(**{f"{service}_{name}": value for name, value in variables.items()})
    assert made == load()


@pytest.mark.parametrize(
    ("name", "value"), [("SHIPPER_LISTEN_PORT", "9465"), ("SHIPPER_SERVICE_NAME", "shop"), ("SHIPPER_PORTS", "1")]
)
def test_what_only_looks_like_such_a_variable_is_told(name: str, value: str) -> None:
    assert f"There is no setting {name}" in problems(**{name: value})


@pytest.mark.parametrize(("given", "mode"), [("0660", 0o660), ("640", 0o640), ("0o600", 0o600), (0o660, 0o660)])
def test_permissions_are_octal(given: object, mode: int) -> None:
    assert settings.load({"log_mode": given}, HOME).log_mode == mode


@pytest.mark.parametrize("namespace", ["shop-eu", "shop-2024", "a", "a--b", "7", "x" * 100])
def test_a_namespace_may_have_hyphens(namespace: str) -> None:
    assert load(SHIPPER_NAMESPACE=namespace).namespace == namespace


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_MODE", "0777"),
        ("LOG_MODE", "0060"),
        ("LOG_MODE", "rw"),
        ("NAMESPACE", "shop-"),
        ("NAMESPACE", "-shop"),
        ("NAMESPACE", "shop*"),
        ("NAMESPACE", "x" * 101),
        ("NAMESPACE", "Shop"),
        ("ELASTICSEARCH", "search.example:9200"),
        ("ELASTICSEARCH", "ftp://search.example"),
        ("RETENTION", "job"),
        ("RETENTION", "jobs=3"),
        ("RETENTION", "job=0"),
        ("PAST_DAYS", "many"),
        ("FILES", " , "),
        ("LABELS", "a b"),
        ("SERVICES", "crm-"),
        ("SERVICES", "crm-="),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    said = problems(**{f"SHIPPER_{name}": value})
    assert name.lower() in said


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(SHIPPER_NAMESPACE="A-B", SHIPPER_RETENTION="x=1", SHIPPER_COLOUR="red")
    assert len(caught.value.problems) == 3


def test_a_password_in_a_url_that_cannot_be_is_not_shown() -> None:
    assert "s3cret" not in problems(SHIPPER_ELASTICSEARCH="ftp://bob:s3cret@search.example")
    assert "s3cret" not in problems(SHIPPER_KIBANA="bob:s3cret@kibana.example")


def test_secrets_are_not_shown() -> None:
    made = load(SHIPPER_API_KEY="s3cret", SHIPPER_REDIS="redis://:s3cret@redis:6379/0")
    assert "s3cret" not in repr(made)


def test_emitters_are_told_of_problems_and_go_on() -> None:
    said: list[str] = []
    made = settings.load(environment={**HOME, "SHIPPER_NAMESPACE": "A-B", "SHIPPER_LOG": "/l"}, complain=said.append)
    assert made.log == Path("/l")
    assert made.namespace == "default"
    assert len(said) == 1
