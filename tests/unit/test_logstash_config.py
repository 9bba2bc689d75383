"""Logstash's pipeline: well-formed, with the shared patterns in their order, small, and set by the environment."""

from __future__ import annotations

import re
from pathlib import Path

import lark
import pytest
import yaml

from shipper import records, settings
from shipper.legacy import carriers, grok, messages
from shipper.redact.rules import REDACTED, table
from tests.logstash_config import FOLDER, Plugin, every, files, plugins, texts
from tests.redaction_samples import RULES_OF_LOGSTASH, in_a_string, rules_of_logstash

CONFIGURATION = "\n".join(path.read_text() for path in [*files(), *FOLDER.glob("*.yml")] if path != RULES_OF_LOGSTASH)
SETTING = re.compile(r"\$\{([A-Z_]+)(:[^}]*)?\}")


def _all() -> list[Plugin]:
    return [one for file in files() for one in plugins(file.read_text())]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_the_configuration_is_one(path: Path) -> None:
    assert plugins(path.read_text())


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "input { file { path => } }",
        "input { file { path = '/x' } }",
        "input { file { path => '/x' }",
        "inputs { file { } }",
        "filter { if { drop { } } }",
        "filter { if [a] == { drop { } } }",
        "filter { if [a] { drop { } } else [b] { drop { } } }",
        "filter { grok { match => { 'message' => ['a' 'b'] } } }",
        "filter { grok { match => { 'message' 'b' } } }",
        'output { stdout { codec => "json } }',
        "output stdout { }",
        "file { path => '/x' }",
    ],
)
def test_a_broken_configuration_is_refused(broken: str) -> None:
    with pytest.raises(lark.LarkError):
        plugins(broken)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_a_configuration_that_lost_a_brace_is_refused(path: Path) -> None:
    text = path.read_text().rstrip()
    with pytest.raises(lark.LarkError):
        plugins(text.removesuffix("}"))


def test_every_pattern_of_the_configuration_is_one_of_the_file() -> None:
    used = {
        name for one in every("grok") for text in texts(one.settings["match"]) for name in re.findall(r"%\{(\w+)", text)
    }
    assert used <= grok.patterns().keys()
    assert set(grok.STEPS) <= used


@pytest.mark.parametrize("name", grok.STEPS)
def test_a_pattern_of_a_step_is_its_patterns_in_the_order_of_the_file(name: str) -> None:
    assert grok.patterns()[name] == "|".join(f"%{{{one}}}" for one in grok.names(f"{name}_"))


def test_the_fields_of_json_lines_are_those_of_the_import() -> None:
    (code,) = [one.settings["code"] for one in every("ruby") if one.settings["id"] == "line-of-json"]
    read = (carriers.MESSAGES, carriers.STACKS, carriers.TIMES, carriers.LEVELS)
    for names in (*read, carriers.LOGGERS, carriers.HOSTS, carriers.PIDS):
        assert f"'{' '.join(names)}'" in code


def test_the_loggers_whose_phrases_count_are_those_of_the_import() -> None:
    (condition,) = re.findall(
        r"\[rq_logger\] =~ /\\A\((.*?)\)/ or", (FOLDER / "pipeline/20-rq-legacy.conf").read_text()
    )
    for logger in (
        "rq",
        "rq.worker",
        "django_rq.management",
        "rq_scheduler",
        "rqscheduler",
        "root",
        "__main__",
        "shop.rq",
        "rqx",
        "rooted",
    ):
        assert bool(re.match(f"(?:{condition[2:]})".replace(r"\z", r"\Z"), logger)) == bool(
            messages._RQ_LOGGER.match(logger)
        ), logger
    (phrases,) = re.findall(r"\[rq_phrase\] not in \[(.*?)\]", CONFIGURATION)
    assert set(re.findall(r'"(.*?)"', phrases)) == messages.UNNAMED


def test_every_filter_has_an_id_of_its_own() -> None:
    ids = [one.settings.get("id") for one in _all() if one.name != "multiline"]
    assert None not in ids
    assert len(set(ids)) == len(ids)


def test_secrets_are_redacted_by_the_rules_of_the_table() -> None:
    assert RULES_OF_LOGSTASH.read_text() == rules_of_logstash()
    (redaction,) = [one for one in every("mutate") if one.settings["id"] == "redaction"]
    parts = redaction.settings["gsub"]
    found = list(zip(parts[0::3], parts[1::3], parts[2::3], strict=True))
    assert found == [("message", in_a_string(rule.pattern), f"\\1{REDACTED}") for rule in table() if not rule.luhn]


def test_there_is_no_file_of_ruby_and_little_of_it() -> None:
    assert not list(FOLDER.rglob("*.rb"))
    assert not [one for one in every("ruby") if "path" in one.settings]
    code = [one.settings["code"] for one in _all() if "code" in one.settings]
    assert sum(len(text.strip().splitlines()) for text in code) <= 30
    lines = [line for path in files() if path != RULES_OF_LOGSTASH for line in path.read_text().splitlines()]
    assert len([line for line in lines if line.strip() and not line.lstrip().startswith("#")]) <= 270
    assert max(len(line) for line in lines if "pattern =>" not in line) <= 280


def test_nothing_of_logstash_s_own_files_is_read() -> None:
    assert "sincedb" not in CONFIGURATION
    assert "File." not in CONFIGURATION


@pytest.mark.parametrize("name", ["patterns/rq", "meanings"])
def test_what_is_shared_is_a_link_within_the_checkout(name: str) -> None:
    link = FOLDER / name
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == FOLDER.parent / "shipper/legacy" / name


def test_filebeat_and_the_file_input_begin_records_with_the_same_lines() -> None:
    (file,) = every("file")
    inputs = yaml.safe_load((FOLDER / "filebeat.yml").read_text())["filebeat.inputs"]
    joined = [parser["multiline"] for one in inputs for parser in one["parsers"] if "multiline" in parser]
    pattern = file.settings["codec"].settings["pattern"].replace('\\"', '"')
    assert [one["pattern"] for one in joined] == [pattern, pattern]
    assert [(one["negate"], one["match"]) for one in joined] == [(True, "after")] * 2
    begins = re.compile(pattern)
    for line in (
        "10:00:01 a",
        "2026-02-10 10:00:01 a",
        "[2026-02-10 a",
        "INFO a",
        "Feb 10 10:00:01 a",
        '{"log":',
        "\x1b[32m10:00:01 a",
        "\0\0\x1b[32m10:00:01 a",
        "<30>1 2026-02-10T09:00:01Z web1 rq 1 - - a",
        "<30>Feb 10 10:00:01 web1 rq[1]: a",
        "[ 1234.567890] web1 rq[1]: a",
        "worker-1  | 10:00:01 a",
        "0|rq | 10:00:01 a",
        "rq:rq_00 stdout | 10:00:01 a",
        "[pod/rq-7d4b9c/worker] 10:00:01 a",
        "rq-7d4b9c6f5-x2k4j worker › 10:00:01 a",
        "rq.worker 2026-02-10 10:00:01 a",
        "10 Feb 2026 10:00:01 a",
        "[10/Feb/2026 10:00:01] a",
        "I0210 10:00:01.000000 1 worker.py:45] a",
        "1770714001010 a",
    ):
        assert begins.search(line), line
    for line in (
        "Traceback (most",
        "  File",
        "ValueError: x",
        "DETAIL: x",
        "During handling",
        "",
        "[SQL: x]",
        "{",
        "worker-1  | Traceback (",
        "worker-1  |   File",
        "| x",
        "12 apples",
    ):
        assert not begins.search(line), line


def test_every_setting_has_one_default_and_is_documented() -> None:
    found = SETTING.findall(CONFIGURATION)
    assert found
    assert [name for name, default in found if not default] == []
    assert "${" not in SETTING.sub("", CONFIGURATION)
    used = {name for name, _ in found}
    assert set(re.findall(r"^\| `([A-Z_]+)`", (FOLDER / "README.md").read_text(), re.MULTILINE)) == used


def test_what_the_shipper_has_too_has_the_shipper_s_name() -> None:
    names = {name for name, _ in SETTING.findall(CONFIGURATION)}
    for name in names - {"LEGACY_FILES"}:  # SHIPPER_FILES are the logs that have JSON
        prefix, _, rest = name.partition("_")
        assert prefix in ("SHIPPER", "LEGACY")
        assert (rest.lower() in settings.NAMES) == (prefix == "SHIPPER"), name


def test_no_host_is_named_but_by_a_default_on_this_machine() -> None:
    assert set(re.findall(r"https?://[^\s\"'}]+", CONFIGURATION)) == {"http://127.0.0.1:9200"}
    (listening,) = every("beats")
    assert listening.settings["host"] == "${LEGACY_BEATS_HOST:127.0.0.1}"


def test_secrets_come_from_the_environment_alone() -> None:
    (output,) = every("elasticsearch")
    assert {name: output.settings[name] for name in ("api_key", "user", "password")} == {
        "api_key": "[${SHIPPER_API_KEY:}]",
        "user": "[${SHIPPER_USERNAME:}]",
        "password": "'${SHIPPER_PASSWORD:[]}'",
    }


def test_a_document_is_created_once_where_the_templates_of_setup_hold() -> None:
    (output,) = every("elasticsearch")
    assert (
        output.settings.items()
        >= {
            "action": "create",
            "document_id": "%{[event][id]}",
            "manage_template": "false",
            "ilm_enabled": "false",
            "data_stream": "false",
            "silence_errors_in_log": ["version_conflict_engine_exception"],
        }.items()
    )
    assert records.PERIODS["rq.job"] == records.PERIODS["rq.app"] == "%Y.%m.%d"
    assert output.settings["index"].endswith("-%{+${LEGACY_INDEX_DATE:yyyy.MM.dd}}")


def test_only_the_pairing_needs_one_worker() -> None:
    found = yaml.safe_load((FOLDER / "logstash.yml").read_text())
    assert "pipeline.workers" not in found
    assert found["queue.type"] == "persisted"
    assert found["dead_letter_queue.enable"] is True
    assert found["api.http.host"] == "127.0.0.1"
    (pipeline,) = yaml.safe_load((FOLDER / "pipelines.yml").read_text())
    assert "pipeline.workers" not in pipeline
    assert "pairs" not in pipeline["path.config"]


def test_helpers_are_metadata_which_no_document_has() -> None:
    for one in [*every("grok"), *every("json")]:
        assert one.settings["target"].startswith("[@metadata]")


def test_the_ecs_version_is_that_of_the_records() -> None:
    assert f'"[ecs][version]" => "{records.ECS_VERSION}"' in CONFIGURATION


def test_every_text_of_the_configuration_is_plain() -> None:
    assert all(isinstance(text, str) for one in _all() for text in texts(one))
