"""The set-up: what is said when this machine lacks something."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stack import elasticsearch, processes
from stack.engine import Engine
from stack.processes import StackError, birth, free_port, port_from, start, stop
from stack.redis import Redis
from tests.programs import ROOT


@pytest.fixture(autouse=True)
def _no_version_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ELASTICSEARCH", "ELASTICSEARCH_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(("asked", "java"), [("", 17), ("8", 17), ("9", 21)])
def test_without_java_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, asked: str, java: int) -> None:
    monkeypatch.setenv("ELASTICSEARCH", asked)
    monkeypatch.setattr(elasticsearch, "javas", list)
    with pytest.raises(StackError, match=f"openjdk-{java}-jre-headless"):
        elasticsearch.choose()


@pytest.mark.parametrize(("java", "version"), [(25, "9.4.3"), (21, "9.4.3"), (17, "8.19.13")])
def test_the_java_that_is_here_decides_the_release(monkeypatch: pytest.MonkeyPatch, java: int, version: str) -> None:
    monkeypatch.setattr(elasticsearch, "javas", lambda: [elasticsearch.Java(Path("java"), java)])
    assert elasticsearch.choose()[0].version == version


@pytest.mark.parametrize(("asked", "version"), [("8", "8.19.13"), ("8.19", "8.19.13"), ("9", "9.4.3"), ("", "9.4.3")])
def test_a_release_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, asked: str, version: str) -> None:
    monkeypatch.setenv("ELASTICSEARCH", asked)
    monkeypatch.setattr(elasticsearch, "javas", lambda: [elasticsearch.Java(Path("java"), 25)])
    release, _ = elasticsearch.choose()
    assert release.version == version
    assert elasticsearch.client_requirement() == release.client


@pytest.mark.parametrize("asked", ["7", "8.1", "9.4.33", "latest"])
def test_a_release_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("ELASTICSEARCH", asked)
    with pytest.raises(StackError, match=rf"ELASTICSEARCH is {asked}, and only 9\.4\.3 and 8\.19\.13"):
        elasticsearch.client_requirement()


def _maven(folder: Path, script: str) -> None:
    program = folder / "mvn"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_without_a_network_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _maven(tmp_path, "echo 'Unknown host repo.maven.example'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(elasticsearch, "cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(StackError, match=r"Is the network there[\s\S]*Unknown host"):
        elasticsearch.fetch(elasticsearch.RELEASES[0])
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_maven_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(elasticsearch, "cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(StackError, match="make setup"):
        elasticsearch.fetch(elasticsearch.RELEASES[0])


def test_without_redis_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="redis-server is not installed"):
        Redis(tmp_path)


def test_a_free_port_is_no_connection_s_and_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
        assert client.getsockname()[1] not in processes._fixed_ports()
        port = free_port()
        assert port in processes._fixed_ports()
        monkeypatch.setattr(processes, "_fixed_ports", lambda: range(port, port + 1))
        with pytest.raises(StackError, match="no free port"):
            free_port()
        in_another = f"from stack import processes; processes._fixed_ports = lambda: {[port]}; processes.free_port()"
        done = subprocess.run([sys.executable, "-c", in_another], cwd=ROOT, capture_output=True, text=True, check=False)
        assert "no free port" in done.stderr


def test_a_port_that_is_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("REDIS_PORT", str(taken.getsockname()[1]))
        with pytest.raises(StackError, match=r"Port \d+ is in use"):
            port_from("REDIS_PORT")


def test_a_port_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "many")
    with pytest.raises(StackError, match="not a port number"):
        port_from("REDIS_PORT")


def test_a_program_that_was_stopped_is_gone(tmp_path: Path) -> None:
    process = start(["sleep", "60"], tmp_path / "log")
    assert birth(process.pid) is not None
    stop(process)
    assert birth(process.pid) is None


def test_with_a_server_of_one_s_own_no_java_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(elasticsearch, "javas", list)
    assert elasticsearch.client_requirement() == "elasticsearch>=8.19,<9"


def test_the_set_up_says_what_to_install_where_there_is_no_apt(tmp_path: Path) -> None:
    for name in ("sh", "dirname", "env", "id", "cat"):
        (tmp_path / name).symlink_to(Path("/bin") / name if (Path("/bin") / name).exists() else Path("/usr/bin") / name)
    (tmp_path / "python3").symlink_to(sys.executable)
    done = subprocess.run(
        ["sh", str(ROOT / "stack/setup.sh")],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "please install: redis-server maven default-jre-headless" in done.stderr


def test_without_an_engine_it_says_how_to_get_one_and_installs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SETUP", raising=False)
    with pytest.raises(StackError, match="SETUP=1 make test-compose"):
        Engine()


@pytest.mark.parametrize(
    ("version", "good"), [("v2.24.0", True), ("2.40.3", True), ("1.29.2", False), ("v2.17.1", False)]
)
def test_a_compose_that_is_too_old_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, good: bool
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho {version}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("SETUP", raising=False)
    if good:
        assert not Engine().is_own
    else:
        with pytest.raises(StackError, match="docker compose version"):
            Engine()


def test_the_log_of_a_server_that_failed_is_there_when_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Elasticsearch itself names files of its folder, which is removed."""
    monkeypatch.setattr(
        elasticsearch, "choose", lambda: (elasticsearch.RELEASES[0], elasticsearch.Java(Path("/x/y/z"), 25))
    )
    (tmp_path / "config").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the logs of any other server would be, too
    monkeypatch.setattr(elasticsearch, "fetch", lambda _release: tmp_path)
    monkeypatch.setattr(elasticsearch.Elasticsearch, "_command", lambda self: ["sh", "-c", _FAILS])
    with pytest.raises(StackError) as failed:
        elasticsearch.Elasticsearch()
    said = str(failed.value)
    named = [Path(word.rstrip(".")) for word in said.split() if word.startswith("/")]
    assert len(named) == 2
    assert all(path.exists() for path in named), said
    assert "bad luck" in said
    assert "bad luck" in (named[-1] / "console.log").read_text()


_FAILS = 'echo bad luck; echo more > "$HOME/logs/server.log"; echo "check $HOME/logs/server.log"; exit 1'
