"""Secrets in free text: the table of samples through everything that writes records, and ordinary lines unchanged."""

from __future__ import annotations

import functools
import gzip
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis
from rq.job import Job

import shipper
from shipper import settings
from shipper.audit.writer import Event, Trail
from shipper.cli import redact as command
from shipper.emit import snapshot
from shipper.emit.events import Failure
from shipper.emit.raised import from_exc_info
from shipper.emit.recorder import Recorder
from shipper.job_fields import Progress
from shipper.redact import REDACTED, Redactor
from shipper.redact.text import TextRules, passes_luhn
from tests.redaction_samples import HARMLESS, ORDINARY, SECRET, expected_of, text_of

A_TEXT = "token=hunter2"


@pytest.fixture(scope="module")
def rules() -> TextRules:
    return TextRules()


@pytest.mark.parametrize("sample", SECRET)
def test_what_is_secret_in_a_text_is_replaced_and_nothing_else(rules: TextRules, sample: str) -> None:
    redacted = rules.redacted(text_of(sample))
    assert redacted == expected_of(sample)
    assert rules.redacted(redacted) == redacted
    assert list(rules.findings(text_of(sample)))


@pytest.mark.parametrize("sample", SECRET)
def test_it_is_found_within_a_long_text_too(rules: TextRules, sample: str) -> None:
    around = "\n".join(f"line {number} of a report" for number in range(20))
    assert rules.redacted(f"{around}\n{text_of(sample)}") == f"{around}\n{expected_of(sample)}"


@pytest.mark.parametrize("sample", SECRET)
def test_it_is_found_by_the_rules_that_a_block_of_texts_needs(rules: TextRules, sample: str) -> None:
    block = f"line 1 of a report\n{text_of(sample)}"
    assert rules.within(block).redacted(text_of(sample)) == expected_of(sample)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_is_kept(rules: TextRules, text: str) -> None:
    assert rules.redacted(text) == text


def test_of_ordinary_lines_less_than_one_in_ten_thousand_is_changed(rules: TextRules) -> None:
    ordinary = gzip.decompress(ORDINARY.read_bytes()).decode().splitlines()
    assert len(ordinary) > 15_000
    changed = [line for line in ordinary if rules.redacted(line) != line]
    assert len(changed) * 10_000 < len(ordinary), changed


HOSTILE = [
    "token=" * 20_000, "password='" * 20_000, '\\"token\\": \\"' * 10_000, "://a:" * 5_000, "token=[" * 20_000,
    "sk-" * 10_000, "-----BEGIN KEY-----" * 5000, "insert into t (token " * 5000, "--token" * 5_000, "_" * 100_000,
    "password=" + "a_" * 50_000, "password=" + "a." * 50_000, "4111 " * 20_000, "AKIAIOSFODNN7EXAMPLE " * 5000,
    "cookie: a=" * 10_000, "cookie: " + "a=b;" * 30_000, "basic " + "A" * 100_000, "iban DE89" + " 1" * 50_000,
    "eyJ" * 20_000, "<password>" * 10_000, "password=" + ",a" * 50_000, "password=" + "\\" * 100_000, "pin" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_no_text_takes_longer_than_its_length(rules: TextRules, text: str) -> None:
    """With a square or worse of the length, this would take minutes."""
    assert len(rules.redacted(text)) < 2 * len(text)


def test_a_line_is_searched_again_beside_another_that_was_not_seen(rules: TextRules) -> None:
    assert rules.redacted("a line\n" + "x" * 300) == "a line\n" + "x" * 300
    assert rules.redacted(f"a line\n{A_TEXT}\n" + "x" * 300) == f"a line\ntoken={REDACTED}\n" + "x" * 300


@pytest.mark.parametrize(("number", "passes"), [("4242 4242 4242 4242", True), ("4242 4242 4242 4241", False)])
def test_luhn_s_check(number: str, passes: bool) -> None:
    assert passes_luhn(number) is passes


def test_names_of_the_setting_hold_in_texts_and_values() -> None:
    redactor = Redactor(["tax_id", "Kundennummer"])
    assert redactor.text("taxId=42, kundennummer: 7, TAX-ID: 8 x") == (
        f"taxId={REDACTED}, kundennummer: {REDACTED}, TAX-ID: {REDACTED} x"
    )
    assert redactor.named({"customerTaxId": 42})[0] == {"customerTaxId": REDACTED}


def rename(name: str, value: Any) -> Any:
    return value.replace("Ann", "somebody") if name == "error.message" else value


def test_a_function_of_the_setting_gets_texts_by_the_name_of_their_field() -> None:
    redactor = Redactor([f"{__name__}:rename"])
    assert redactor.text("Ann: token=x", "error.message") == f"somebody: token={REDACTED}"
    assert redactor.text("Ann", "message") == "Ann"


# --- through all that writes records ---


def fail(text: str) -> Any:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(settings.load(environment={"SHIPPER_LOG": str(tmp_path / "records.jsonl")}))


def written(recorder: Recorder) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(recorder.sink.path.read_bytes().splitlines()[-1])
    return record


def job(*args: Any, **kwargs: Any) -> snapshot.JobSnapshot:
    made = Job.create("shop.jobs.send", args=args, kwargs=kwargs, connection=Redis(), origin="default")
    made.started_at = made.ended_at = datetime.now(UTC)
    return snapshot.from_job(made)


@pytest.mark.parametrize("sample", SECRET)
def test_a_failure_s_message_and_stack_trace(recorder: Recorder, sample: str) -> None:
    raised = from_exc_info(fail(text_of(sample)))
    assert raised is not None
    recorder.failed(job(), Failure(execution_id="e1", worker="w1", raised=raised))
    record = written(recorder)
    assert record["error"]["message"] == expected_of(sample)
    assert expected_of(sample) in record["message"]
    assert record["error"]["stack_trace"].endswith(f"ValueError: {expected_of(sample)}".rstrip("\n") + "\n") or (
        REDACTED in record["error"]["stack_trace"]
    )


def test_a_failure_of_which_rq_has_only_the_text(recorder: Recorder) -> None:
    recorder.failed(job(), Failure(execution_id="e1", worker="w1", text=f"Moved to FailedJobRegistry; {A_TEXT}"))
    assert b"hunter2" not in recorder.sink.path.read_bytes()


def test_a_secret_that_the_cut_would_halve(recorder: Recorder) -> None:
    text = "x" * 16_000 + " password='" + "hunter2 " * 4000 + "' " + "y" * 16_000
    raised = from_exc_info(fail(text))
    assert raised is not None
    recorder.failed(job(), Failure(execution_id="e1", worker="w1", raised=raised))
    assert b"hunter2" not in recorder.sink.path.read_bytes()


def test_progress_webhooks_arguments_and_meta(recorder: Recorder) -> None:
    recorder.progressed(job(), Progress(40, A_TEXT, 1), "e1")
    recorder.webhook_failed(job(), "https://shop.example/x", ValueError(A_TEXT))
    recorder.started(job(note=A_TEXT, url="redis://:hunter2@db")._replace(meta={"a": [A_TEXT]}), "e1", "w1")
    assert b"hunter2" not in recorder.sink.path.read_bytes()
    assert written(recorder)["rq"]["kwargs"] == {"note": f"token={REDACTED}", "url": f"redis://:{REDACTED}@db"}


@pytest.mark.parametrize("sample", SECRET)
def test_the_formatter(sample: str) -> None:
    text = text_of(sample)
    record = logging.LogRecord("shop", logging.ERROR, __file__, 1, "%s", (text,), fail(text))
    record.note = text
    line = json.loads(shipper.JsonFormatter().format(record))
    assert line["message"] == line["error"]["message"] == line["labels"]["note"] == expected_of(sample)
    assert REDACTED in line["error"]["stack_trace"]


@pytest.mark.parametrize("sample", SECRET)
def test_the_structlog_processor(sample: str) -> None:
    text = text_of(sample)
    event: dict[str, Any] = {"event": text, "exception": text, "items": [text], "password": "hunter2", "user": text}
    made = shipper.structlog_context(None, "info", event)
    assert made["message"] == made["exception"] == made["labels"]["user"] == expected_of(sample)
    assert made["items"] == [expected_of(sample)]
    assert made["password"] == REDACTED


def test_the_structlog_processor_leaves_other_values_as_they_are() -> None:
    now, many = datetime.now(UTC), list(range(500))
    made = shipper.structlog_context(None, "info", {"event": "x", "at": now, "many": many, "long": "y" * 5000})
    assert (made["at"], made["many"], made["long"]) == (now, many, "y" * 5000)


@pytest.mark.parametrize("sample", [sample for sample in SECRET if "\r" not in sample])
def test_text_logs(sample: str) -> None:
    assert TextRules().redacted(text_of(sample)) == expected_of(sample)


def test_audit_records(tmp_path: Path) -> None:
    trail = Trail(settings.load(environment={"SHIPPER_LOG": str(tmp_path / "records.jsonl")}))
    trail.write(Event(action="a", reason=A_TEXT, message=A_TEXT, error=ValueError(A_TEXT)))
    trail.write(Event(action="b", resource=("shop", 1, A_TEXT)))
    assert b"hunter2" not in (tmp_path / "records.jsonl").read_bytes()


def test_the_command_shows_what_would_be_written() -> None:
    done = CliRunner().invoke(command.command, ["--try", A_TEXT, '{"password": "hunter2", "a": {"b": 1}}'])
    assert done.exit_code == 0, done.output
    assert f"token={REDACTED}\n" in done.output
    assert f'{{"password":"{REDACTED}","a":{{"b":1}}}}\n' in done.output
    assert "named-opaque" in done.output
    piped = CliRunner().invoke(command.command, input=f"one\n{A_TEXT}\n")
    assert piped.output == f"one\ntoken={REDACTED}\n"


# --- values ---


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({b"password": "V"}, {"password": REDACTED}),
        ([("Authorization", "Bearer V"), ("Accept", "*/*")], [["Authorization", REDACTED], ["Accept", "*/*"]]),
        ([{"name": "DB_PASSWORD", "value": "V"}], [{"name": "DB_PASSWORD", "value": REDACTED}]),
        ({"Key": "api-key", "Value": "V"}, {"Key": "api-key", "Value": REDACTED}),
        (["mysql", "--password", "V", "-h", "db"], ["mysql", "--password", REDACTED, "-h", "db"]),
        ({("db", "password"): "V", ("db", "host"): "h"}, {"<tuple>": "h"}),
        (4242424242424242, REDACTED),
        (4242424242424241, 4242424242424241),
        ('{"password": "V"}', f'{{"password": {REDACTED}}}'),
    ],
)
def test_secrets_that_no_plain_name_tells(value: Any, shown: Any) -> None:
    assert Redactor().named({"given": value})[0] == {"given": shown}


def test_a_name_and_its_value_that_are_two_arguments() -> None:
    assert Redactor().named({"name": "DB_PASSWORD", "value": "V"})[0] == {"name": "DB_PASSWORD", "value": REDACTED}


SENTRY = (
    "password", "passwd", "secret", "api_key", "apikey", "auth", "credentials", "mysql_pwd", "privatekey",
    "private_key", "token", "session", "csrftoken", "sessionid", "x_csrftoken", "x_forwarded_for", "set_cookie",
    "cookie", "authorization", "proxy-authorization", "x_api_key", "aiohttp_session", "connect.sid", "csrf_token",
    "csrf", "_csrf", "_csrf_token", "PHPSESSID", "_session", "symfony", "user_session", "_xsrf", "XSRF-TOKEN",
    "x_real_ip", "ip_address", "remote_addr",
)  # fmt: skip
OTHERS = (
    "pwd", "dsn", "jwt", "access_key", "api key", "pin", "otp", "iban", "userPin", "authHeader", "cardNumber",
    "creditcard", "cvv2", "OTP_CODE", "sessionKey", "sessid", "signing_key", "pass_word", "pass-word",
)  # fmt: skip
NOT_SECRET = (
    "author", "carrier", "discard", "spin", "pinned", "opinion", "inside", "consider", "authors", "cardinality",
    "sessions_total", "company", "option", "mapping", "key", "keyboard", "id", "name",
)  # fmt: skip


@pytest.mark.parametrize("name", SENTRY + OTHERS)
def test_names_of_secrets(name: str) -> None:
    assert Redactor().is_secret(name)
    assert Redactor().is_secret(f"user_{name}") or " " in name or "." in name


@pytest.mark.parametrize("name", NOT_SECRET)
def test_names_of_other_values(name: str) -> None:
    assert not Redactor().is_secret(name)


def traced(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@traced
@traced
def sign_in(user: str, password: str) -> None:
    """Behind two decorators."""


def notify(user: str, *rest: str) -> None:
    """With any number of arguments."""


def test_positional_arguments_behind_decorators_go_by_the_innermost_function_s_names() -> None:
    assert Redactor().positional(("ann", "V"), f"{__name__}.sign_in")[0] == {"0": "ann", "1": REDACTED}


def test_positional_arguments_beyond_the_known_ones_are_withheld() -> None:
    assert Redactor().positional(("ann", "V", 3), f"{__name__}.notify")[0] == {"0": "ann", "1": REDACTED, "2": REDACTED}
