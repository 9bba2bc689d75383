"""Files that are none, and symbolic links: nothing blocks, and nothing is shipped that its reader was not given."""

from __future__ import annotations

import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import pytest

from shipper.opening import open_regular
from shipper.ship import metrics_server, pulse
from shipper.ship.metrics_server import MOST_CLIENTS, MetricsServer
from shipper.ship.source.discovery import Discovery
from shipper.ship.source.links import Links, static_folder
from shipper.ship.status import Counts, Watcher
from tests.programs import LIMIT_S

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other accounts")
NOBODY = 65_534


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def content(found: Discovery) -> list[bytes]:
    """Everything that the files have now, in the order in which it is read."""
    found.refresh()
    blocks = []
    for file in found.files:
        while (block := file.read()) is not None:
            blocks.append(bytes(block.data))
            file.acknowledge(block.mark)
    return blocks


def discovery(logs: Path, *roots: Path) -> Discovery:
    globs = [f"{logs}/*.log"]
    return Discovery(globs, [], links=Links(map(str, roots), globs))


# --- what is no file ---


def test_a_fifo_is_not_opened_as_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "fifo")


@pytest.mark.parametrize("suffix", [".log", ".log.gz"])
def test_a_file_that_becomes_a_fifo_between_the_look_and_the_open_holds_up_nothing(logs: Path, suffix: str) -> None:
    trap, other = logs / f"a{suffix}", logs / "b.log"
    trap.write_bytes(b"x\n")
    other.write_bytes(b"two\n")
    found = Discovery([f"{logs}/*"], [])
    list_files = found._paths

    def swapped() -> Any:
        listed = list_files()
        trap.unlink()
        os.mkfifo(trap)
        return listed

    with mock.patch.object(found, "_paths", swapped):
        assert content(found) == [b"two\n"]


def test_a_file_that_was_replaced_meanwhile_is_taken_at_the_next_look(logs: Path) -> None:
    log = logs / "a.log"
    log.write_bytes(b"old\n")
    found = discovery(logs)
    list_files = found._paths

    def swapped() -> Any:
        listed = list_files()
        log.rename(logs / "a.old")
        log.write_bytes(b"new\n")
        return listed

    with mock.patch.object(found, "_paths", swapped):
        assert content(found) == []
    assert content(found) == [b"new\n"]


# --- links ---


def test_a_link_within_the_folder_is_followed(logs: Path) -> None:
    (logs / "today").write_bytes(b"one\n")
    (logs / "a.log").symlink_to("today")
    assert content(discovery(logs)) == [b"one\n"]


def test_a_link_that_leads_elsewhere_is_followed_only_if_a_setting_says_so(
    logs: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (elsewhere / "a").write_bytes(b"one\n")
    (logs / "a.log").symlink_to(elsewhere / "a")
    assert content(discovery(logs)) == []
    assert "SHIPPER_LINK_ROOTS" in caplog.text
    assert content(discovery(logs, elsewhere)) == [b"one\n"]


@as_root
def test_a_file_of_root_that_somebody_else_linked_is_not_read(logs: Path, elsewhere: Path) -> None:
    (elsewhere / "shadow").write_bytes(b"secret\n")
    link = logs / "a.log"
    link.symlink_to(elsewhere / "shadow")
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    assert content(discovery(logs, elsewhere)) == []
    os.chown(elsewhere / "shadow", NOBODY, NOBODY)
    assert content(discovery(logs, elsewhere)) == [b"secret\n"]


@as_root
def test_a_link_of_root_is_followed_as_kubernetes_makes_them(logs: Path, elsewhere: Path) -> None:
    (elsewhere / "0.log").write_bytes(b"one\n")
    os.chown(elsewhere / "0.log", NOBODY, NOBODY)
    (logs / "pod").symlink_to(elsewhere / "0.log")
    (logs / "a.log").symlink_to(logs / "pod")
    assert content(discovery(logs, elsewhere)) == [b"one\n"]


@as_root
def test_a_folder_that_is_a_link_counts_as_one(logs: Path, elsewhere: Path) -> None:
    (elsewhere / "a.log").write_bytes(b"secret\n")
    (logs / "shop").symlink_to(elsewhere)
    os.chown(logs / "shop", NOBODY, NOBODY, follow_symlinks=False)
    globs = [f"{logs}/*/*.log"]
    assert content(Discovery(globs, [], links=Links([str(elsewhere)], globs))) == []


@pytest.mark.parametrize(
    ("pattern", "folder"), [("/a/b/*.log", "/a/b"), ("/a/*/c.log", "/a"), ("/a/b.log", "/a"), ("/*.log", "/")]
)
def test_the_folder_that_was_configured(pattern: str, folder: str) -> None:
    assert static_folder(pattern) == Path(folder)


def test_the_folder_of_a_link_s_file_is_watched(logs: Path, elsewhere: Path) -> None:
    target = elsewhere / "0.log"
    target.write_bytes(b"one\n")
    (logs / "a.log").symlink_to(target)
    found = discovery(logs, elsewhere)
    found.look()
    assert elsewhere in found._folders()


def test_a_link_s_file_that_was_rotated_twice_between_two_looks_is_read_whole(logs: Path, elsewhere: Path) -> None:
    target = elsewhere / "0.log"
    (elsewhere / "0.log.before").write_bytes(b"of long ago\n")
    os.utime(elsewhere / "0.log.before", (1, 1))
    target.write_bytes(b"one\n")
    (logs / "a.log").symlink_to(target)
    found = discovery(logs, elsewhere)
    assert content(found) == [b"one\n"]
    with target.open("ab") as more:
        more.write(b"two\n")
    target.rename(elsewhere / "0.log.1")
    target.write_bytes(b"three\n")
    target.rename(elsewhere / "0.log.2")
    target.write_bytes(b"four\n")
    assert sorted(content(found)) == [b"four\n", b"three\n", b"two\n"]
    assert content(found) == []


# --- health ---


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsServer]:
    monkeypatch.setattr(metrics_server, "CLIENT_LIMIT_S", LIMIT_S)  # the machine may be busy
    watcher = Watcher(Counts(), "http://search")
    made = MetricsServer("127.0.0.1:0", lambda: watcher.look([]), None, tmp_path)
    yield made
    made.close()


def asked(server: MetricsServer, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=LIMIT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_health_follows_the_pulse_of_the_main_loop(server: MetricsServer, tmp_path: Path) -> None:
    pulse.beat()
    status, body = asked(server, "/health")
    assert (status, orjson.loads(body)["status"]) == (200, "ok")
    assert orjson.loads(body)["state_folder"] == str(tmp_path)
    with mock.patch.object(pulse, "age_s", return_value=pulse.STUCK_AFTER_S + 1):
        status, body = asked(server, "/health")
        assert (status, orjson.loads(body)["status"], orjson.loads(body)["state"]) == (503, "stuck", "stuck")
        assert b"shipper_pulse_age_seconds 61.0" in asked(server, "/metrics")[1]


def test_a_restart_is_asked_for_only_if_it_would_help(tmp_path: Path) -> None:
    """While Elasticsearch is away it would not."""
    pulse.beat()
    counts = Counts(error="away", error_since=time.time() - 3600)
    watcher = Watcher(counts, "http://es")
    server = MetricsServer("127.0.0.1:0", lambda: watcher.look([]), None, tmp_path)
    try:
        assert (asked(server, "/health")[0], asked(server, "/live")[0]) == (503, 200)
        with mock.patch.object(pulse, "age_s", return_value=pulse.STUCK_AFTER_S + 1):
            assert asked(server, "/live")[0] == 503
    finally:
        server.close()


def test_clients_that_say_nothing_delay_nobody_and_are_disconnected(server: MetricsServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(MOST_CLIENTS + 5)]
    assert asked(server, "/health")[0] == 200
    with mock.patch("shipper.ship.metrics_server.CLIENT_LIMIT_S", 0.0):
        for client in silent:
            client.settimeout(LIMIT_S)
            assert client.recv(1) == b""
    for client in silent:
        client.close()


def test_a_client_that_sends_byte_by_byte_has_an_end_too(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /he")
        with mock.patch("shipper.ship.metrics_server.CLIENT_LIMIT_S", 0.0):
            client.settimeout(LIMIT_S)
            assert client.recv(100) == b""
