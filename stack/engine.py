"""A container engine with Compose, for `make test-compose`: the one of this machine, or with SETUP=1 one of our own.

Our own is Debian's docker.io, started as a child on a socket of its own, and Compose built from its Go module. Both,
and all images, are kept in the cache folder. Only root on Debian or Ubuntu can have one; policy-rc.d, or a stop of the
service that the package starts, is not our business: we neither use nor end it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .elasticsearch import cache_folder
from .processes import StackError, start, stop_group, tail_of, wait_until

COMPOSE = "v2.40.3"
OLDEST_COMPOSE = (2, 24)  # it knows !override and !reset
PACKAGES = ("docker.io", "iptables", "mmdebstrap")
START_LIMIT_S = 120.0
STOP_LIMIT_S = 300.0  # it stops all containers first

HOW = """There is no container engine with Compose 2.24 or newer here ({why}). Either
  - install Docker Engine and its Compose plugin (https://docs.docker.com/engine/install), or
  - as root on Debian, for a machine that is thrown away: SETUP=1 make test-compose
    installs docker.io, iptables and mmdebstrap, builds Compose from its Go module, and starts an engine of its own for
    the time of the tests. It takes 15 minutes once, 6 GB of disk and 6 GB of memory."""


class Engine:
    """A running engine. `environment` makes `docker` use it; `is_own` tells whether `restart` is possible."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self.is_own = False
        self._pid: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        problem = self._problem()
        if problem is None:
            return
        if os.environ.get("SETUP") != "1":
            raise StackError(HOW.format(why=problem))
        self.is_own = True
        self._folder = cache_folder() / "engine"
        # Debian's docker, whose daemon is that of docker.io, also where another one comes first.
        self.environment["PATH"] = f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}"
        self.environment["DOCKER_HOST"] = f"unix://{self._folder}/run/docker.sock"
        self.environment["DOCKER_CONFIG"] = str(self._folder / "config")
        self.environment["DOCKER_BUILDKIT"] = "1"
        self._install()
        self.start()

    def docker(self, *words: str, folder: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker`. Raises StackError with what it said, unless not to `check`."""
        done = subprocess.run(
            ["docker", *words],
            cwd=folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise StackError(f"docker {' '.join(words)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
        return done

    def start(self) -> None:
        """Start our own engine."""
        for name in ("data", "run"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        log, socket = self._folder / "dockerd.log", self._folder / "run/docker.sock"
        command = [
            "/usr/sbin/dockerd", "-H", f"unix://{socket}",
            "--data-root", str(self._folder / "data"), "--exec-root", str(self._folder / "run/exec"),
            "--pidfile", str(self._folder / "run/dockerd.pid"),
        ]  # fmt: skip
        if self.docker("info", check=False).returncode == 0:  # of a run that was killed
            self._pid = int((self._folder / "run/dockerd.pid").read_text())
            return
        (self._folder / "run/dockerd.pid").unlink(missing_ok=True)
        process = start(command, log, environment={"PATH": self.environment["PATH"]}, outlives=True)
        self._pid, self._process = process.pid, process

        def answers() -> bool:
            if process.poll() is not None:
                raise StackError(f"The engine ended as it started:\n{tail_of(log)}")
            return self.docker("info", check=False).returncode == 0

        wait_until(answers, START_LIMIT_S, "the container engine", every_s=0.5)

    def stop(self) -> None:
        """End our own engine and its containers, as at a shutdown of the machine."""
        if self._pid is not None:
            stop_group(self._pid, STOP_LIMIT_S)
            self._pid = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """What a reboot is for the containers."""
        self.stop()
        self.start()

    def _problem(self) -> str | None:
        """Why the engine of this machine cannot be used. None if it can."""
        if shutil.which("docker") is None:
            return "`docker` is not installed"
        if self.docker("info", check=False).returncode:
            return "`docker info` fails"
        said = self.docker("compose", "version", "--short", check=False)
        version = tuple(int(part) for part in said.stdout.strip().lstrip("v").split(".")[:2] if part.isdigit())
        return (
            None if version >= OLDEST_COMPOSE else f"`docker compose version` says {said.stdout.strip() or 'nothing'}"
        )

    def _install(self) -> None:
        if os.geteuid():
            raise StackError("SETUP=1 needs root.")
        missing = [name for name in PACKAGES if not _is_installed(name)]
        if missing:
            print(f"Installing {', '.join(missing)} …", flush=True)
            _run(["apt-get", "update", "-qq"])
            flags = ["-o", "DPkg::Lock::Timeout=300", "install", "-y", "-qq", "--no-install-recommends"]
            _run(["apt-get", *flags, *missing], {"DEBIAN_FRONTEND": "noninteractive"})
        plugin = self._folder / "config/cli-plugins/docker-compose"
        if not plugin.exists():
            plugin.parent.mkdir(parents=True, exist_ok=True)
            _build_compose(self._folder / "compose", plugin)


def _is_installed(package: str) -> bool:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True, check=False)
    return done.stdout == "install ok installed"


def _build_compose(folder: Path, target: Path) -> None:
    """Build Compose from its Go module: five minutes of CPU. Of it only the program is kept (67 MB)."""
    if shutil.which("go") is None:
        raise StackError("Compose is built from its Go module, and `go` (1.24 or newer) is not installed.")
    print(f"Building Compose {COMPOSE} from its Go module (once) …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module local/compose\n\ngo 1.24\n")
    module = "github.com/docker/compose/v2"
    (folder / "tools.go").write_text(f'//go:build tools\n\npackage tools\n\nimport _ "{module}/cmd"\n')
    environment = {"GOFLAGS": "-mod=mod -modcacherw", "GOCACHE": f"{folder}/cache", "GOMODCACHE": f"{folder}/modules"}
    _run(["go", "get", f"{module}@{COMPOSE}"], environment, folder)
    version = f"-s -w -X {module}/internal.Version={COMPOSE}"
    aside = target.with_suffix(".new")
    _run(["go", "build", "-trimpath", "-ldflags", version, "-o", str(aside), f"{module}/cmd"], environment, folder)
    aside.rename(target)
    shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], environment: dict[str, str] | None = None, folder: Path | None = None) -> None:
    """Run a command to its end. Raises StackError with its last lines."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-8:])
        raise StackError(f"{' '.join(command)} failed ({done.returncode}):\n{last}")
