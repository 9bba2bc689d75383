"""Logstash's pipeline: well-formed, the shared grammar in its order, and settings that all have a default."""

from __future__ import annotations

import re
from pathlib import Path

import lark
import pytest
import yaml

from shipper import records, settings
from shipper.legacy import grok, lines
from shipper.redact import REDACTED
from tests import logstash_config, redaction_samples
from tests.logstash_config import FOLDER, every, files, plugins, texts

RUBY = "\n".join(path.read_text(encoding="utf-8") for path in sorted((FOLDER / "ruby").rglob("*.rb")))
CONFIGURATION = "\n".join(path.read_text() for path in [*files(), *FOLDER.glob("*.yml")])
SETTING = re.compile(r"\$\{([A-Z_]+)(:[^}]*)?\}")


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


def test_the_patterns_are_tried_in_the_order_of_their_file() -> None:
    (heads, said) = [grok_filter.settings["match"] for grok_filter in every("grok")]
    assert heads == {"[@metadata][line]": [f"(?u)%{{{name}}}" for name in grok.heads()]}
    assert said == {"[@metadata][rq][rq_body]": [f"(?u)%{{{name}}}" for name in grok.lines()]}


def test_the_patterns_that_are_used_are_there() -> None:
    (folder,) = {text for one in every("grok") for text in one.settings["patterns_dir"]}
    assert folder == "${LEGACY_HOME:/usr/share/logstash}/patterns"
    named = {name for one in every("grok") for text in texts(one) for name in re.findall(r"%\{(\w+)", text)}
    assert named
    assert named <= set(grok.patterns())


@pytest.mark.parametrize("name", ["patterns/rq", "grammar.json"])
def test_what_is_shared_is_a_link_within_the_checkout(name: str) -> None:
    link = FOLDER / name
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == FOLDER.parent / "shipper/legacy" / name


def test_lines_are_joined_cut_and_cleaned_by_the_same_expressions() -> None:
    (file,) = every("file")
    assert file.settings["codec"].settings["pattern"] == lines.CONTINUES
    for expression in (lines.CONTINUES, lines.GLUED):
        assert f"\n{expression}\nTEXT\n" in RUBY
    assert f"COLORS = /{lines.COLORS}/" in RUBY


def test_logstash_redacts_by_the_same_rules() -> None:
    assert redaction_samples.RULES_OF_LOGSTASH.read_text() == redaction_samples.rules_of_logstash()


def test_ruby_says_the_same_as_the_records() -> None:
    assert f'ECS_VERSION = "{records.ECS_VERSION}"' in RUBY
    assert f'REDACTED = "{REDACTED}"' in RUBY
    assert f"LIMIT = {records.TEXT_LIMIT:_} " in RUBY
    for name, table in (("PERIODS", records.PERIODS), ("DATASETS", records.DATASETS)):
        pairs = ", ".join(f'"{dataset}" => "{value}"' for dataset, value in table.items())
        assert f"{name} = {{ {pairs} }}" in RUBY
    assert f'OTHERS = "{records.DATASET_OF_OTHERS}"' in RUBY
    assert f"RECORD = '{records.LINE_START.decode()}'" in RUBY


def test_every_setting_has_a_default() -> None:
    found = SETTING.findall(CONFIGURATION)
    assert found
    assert [name for name, default in found if not default] == []
    assert "${" not in SETTING.sub("", CONFIGURATION)


def test_a_setting_has_one_default() -> None:
    defaults: dict[str, set[str]] = {}
    for name, default in SETTING.findall(CONFIGURATION):
        defaults.setdefault(name, set()).add(default)
    assert {name: found for name, found in defaults.items() if len(found) > 1} == {}


def test_every_setting_is_documented_and_nothing_else() -> None:
    used = {name for name, _ in SETTING.findall(CONFIGURATION)}
    assert set(re.findall(r"^\| `([A-Z_]+)`", (FOLDER / "README.md").read_text(), re.MULTILINE)) == used


def test_what_the_shipper_has_too_has_the_shipper_s_name() -> None:
    names = {name for name, _ in SETTING.findall(CONFIGURATION)}
    names.remove("LEGACY_FILES")  # SHIPPER_FILES are the logs that have JSON
    for name in names:
        prefix, _, rest = name.partition("_")
        assert prefix in ("SHIPPER", "LEGACY")
        assert (rest.lower() in settings.NAMES) == (prefix == "SHIPPER"), name


def test_no_host_is_named_but_by_a_default_on_this_machine() -> None:
    hosts = re.findall(r"https?://[^\s\"'}]+", CONFIGURATION + RUBY)
    assert set(hosts) == {"http://127.0.0.1:9200"}
    for name in ("beats", "tcp"):
        (listening,) = every(name)
        assert re.fullmatch(r"\$\{LEGACY_[A-Z]+_HOST:127\.0\.0\.1\}", listening.settings["host"])


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
            "document_id": "%{[@metadata][id]}",
            "index": "%{[@metadata][index]}",
            "manage_template": "false",
            "ilm_enabled": "false",
            "data_stream": "false",
            "silence_errors_in_log": ["version_conflict_engine_exception"],
        }.items()
    )


def test_starts_come_before_ends_and_nothing_is_lost_on_the_way() -> None:
    found = yaml.safe_load((FOLDER / "logstash.yml").read_text())
    assert (found["pipeline.workers"], found["pipeline.ordered"]) == (1, True)
    assert found["queue.type"] == "persisted"
    assert found["dead_letter_queue.enable"] is True
    assert found["api.http.host"] == "127.0.0.1"
    assert found["pipeline.ecs_compatibility"] == "v8"
    (pipeline,) = yaml.safe_load((FOLDER / "pipelines.yml").read_text())
    assert pipeline["path.config"].endswith("/pipeline/*.conf")


def test_every_step_of_ruby_is_one_that_ruby_has() -> None:
    steps = [one.settings["script_params"]["step"] for one in every("ruby")]
    assert steps == ["take", "make", "finish"]
    for step in steps:
        assert f"    def {step}(event)\n" in RUBY


def test_helpers_are_metadata_which_no_document_has() -> None:
    for name in ("grok", "fingerprint"):
        assert all(one.settings["target"].startswith("[@metadata]") for one in every(name))
    assert logstash_config.every("mutate") == []
