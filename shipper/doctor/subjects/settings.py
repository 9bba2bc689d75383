"""Settings that are wrong, contradict each other, or show secrets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from ...settings import Settings
from ..finding import Finding, error, note, warning

SUBJECT = "settings"
_OTHERS_READ = 0o004
_LOOPBACK = ("localhost", "127.", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFacts:
    """`problems`: sentences about wrong settings, which were ignored in `config`.

    `file`, `file_mode`, `secrets`: the settings file if there is one, its permissions, and the settings in it that are
    secrets and could be in the environment.
    """

    config: Settings
    problems: tuple[str, ...] = ()
    file: Path | None = None
    file_mode: int = 0
    secrets: tuple[str, ...] = ()


def findings(facts: SettingsFacts) -> Iterator[Finding]:
    """What is wrong with the settings."""
    for problem in facts.problems:
        yield error(
            SUBJECT, problem, "Correct it: workers and applications go on without this setting, commands do not start."
        )
    if facts.file and facts.secrets and facts.file_mode & _OTHERS_READ:
        yield warning(
            SUBJECT,
            f"Every account of this machine can read {facts.file}, which has secrets: {', '.join(facts.secrets)}.",
            f"`chmod o= {facts.file}`, or set them in the environment of the programs that need them.",
        )
    yield from _about_elasticsearch(facts.config)
    yield from _about_files(facts.config)


def _about_elasticsearch(config: Settings) -> Iterator[Finding]:
    open_to_the_network = [url for url in config.elasticsearch if urlsplit(url).scheme == "http" and not is_local(url)]
    if open_to_the_network and not config.cloud_id:
        told = "The credentials and all records" if config.api_key or config.username else "All records"
        yield warning(
            SUBJECT,
            f"{told} go to Elasticsearch over plain HTTP: who can listen on the network can read them.",
            "Use an https:// URL in SHIPPER_ELASTICSEARCH, with SHIPPER_CA_FILE if its authority is your own.",
        )
    if config.username and not config.api_key:
        yield note(
            SUBJECT,
            "A user and password are used for Elasticsearch.",
            "An API key of least privilege is safer: `shipper setup --roles` makes one, for SHIPPER_API_KEY.",
        )


def _about_files(config: Settings) -> Iterator[Finding]:
    if config.service == "rq" and not config.services:
        yield note(
            SUBJECT,
            "SHIPPER_SERVICE is not set: in the records every application is called rq.",
            "Set it to the name of the application, the same in its web processes and its workers.",
        )
    if config.format == "json" and not any(fnmatchcase(str(config.log), glob) for glob in config.files):
        yield warning(
            SUBJECT,
            f"The shipper of these settings does not read {config.log}: SHIPPER_FILES does not match it.",
            f"Add {config.log}* to SHIPPER_FILES, or make sure that another shipper reads it.",
        )


def is_local(url: str) -> bool:
    """Whether the host of a URL is this machine."""
    return (urlsplit(url).hostname or "").startswith(_LOOPBACK)
