"""Others that do the same work: Debian's rsyslog and syslog-ng.

Their packages are downloaded and unpacked into .run/peers. Nothing is installed: the two refuse to be, side by side.
Where that cannot be done (no apt, no network) they are left out, and it is said why.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("rsyslog", "rsyslog-elasticsearch", "syslog-ng-core", "syslog-ng-mod-http")
FOLDER = Path(".run/peers")
BATCH = 1000
QUEUE = 20_000


@dataclass(frozen=True, slots=True)
class Peer:
    """How to start one. `ends`: it ends by itself when all is sent. `environment` is added to ours."""

    name: str
    command: list[str]
    environment: dict[str, str]
    ends: bool = False


@cache
def unpacked() -> Path:
    """The folder that the packages, and the libraries they depend on, are unpacked in. Downloads them once."""
    root = (FOLDER / "root").absolute()
    if root.exists():
        return root
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        print("  rsyslog and syslog-ng are unpacked from Debian's packages, and this is no Debian")
        return root
    downloads, fresh = FOLDER / "packages", FOLDER / "root.new"
    for folder in (downloads, fresh):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for package in sorted({*PACKAGES, *_libraries()}):
        done = subprocess.run(
            ["apt-get", "download", package], cwd=downloads, capture_output=True, text=True, check=False
        )
        if done.returncode and package in PACKAGES:
            print(f"  {package} could not be downloaded: {done.stderr.strip().splitlines()[-1]}")
            return root
    for archive in downloads.iterdir():
        subprocess.run(["dpkg", "-x", archive, fresh], check=True)
    shutil.rmtree(downloads)
    fresh.rename(root)
    return root


def _libraries() -> set[str]:
    """The libraries that the packages depend on, but for the C library."""
    command = ["apt-cache", "depends", "--important", *PACKAGES]
    depends = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    named = {line.rpartition(" ")[2] for line in depends.splitlines() if "Depends: lib" in line}
    return named - {"libc6"}


def _environment(root: Path, *modules: Path) -> dict[str, str]:
    """Where the loader finds the unpacked libraries."""
    libraries = [*root.glob("lib/*-linux-gnu"), *root.glob("usr/lib/*-linux-gnu"), *modules]
    return {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}


def rsyslog(name: str, file: Path, port: int, folder: Path, *, parse: bool) -> Peer | None:
    """rsyslog's omelasticsearch, lines as they are or parsed as JSON first."""
    root = unpacked()
    program = root / "usr/sbin/rsyslogd"
    modules = next(root.glob("usr/lib/*/rsyslog"), None)
    if not program.exists() or modules is None:
        return None
    work = folder / name
    work.mkdir()
    template = "%$!all-json%" if parse else "%msg%"
    parsing = 'action(type="mmjsonparse" cookie="")' if parse else ""
    (work / "rsyslog.conf").write_text(
        f"""
global(workDirectory="{work}" maxMessageSize="64k")
module(load="imfile")
module(load="omelasticsearch")
{'module(load="mmjsonparse")' if parse else ""}
main_queue(queue.type="FixedArray" queue.size="{QUEUE}" queue.dequeueBatchSize="{BATCH}")
template(name="line" type="string" string="{template}")
input(type="imfile" file="{file}" tag="rq" ruleset="ship" addMetadata="off")
ruleset(name="ship" queue.type="FixedArray" queue.size="{QUEUE}" queue.dequeueBatchSize="{BATCH}"
        queue.workerThreads="1" queue.timeoutEnqueue="600000") {{
  {parsing}
  action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" esversion.major="8" searchIndex="jobs"
         template="line" bulkmode="on" maxbytes="32m" action.resumeRetryCount="-1")
}}
"""
    )
    command = [program, "-n", "-f", work / "rsyslog.conf", "-i", work / "pid", "-M", modules]
    return Peer(name, [str(word) for word in command], _environment(root))


def syslog_ng(name: str, file: Path, port: int, folder: Path) -> Peer | None:
    """syslog-ng's http destination, set up as its elasticsearch-http is: lines as they are."""
    root = unpacked()
    program = root / "usr/sbin/syslog-ng"
    if not program.exists():
        return None
    work = folder / name
    work.mkdir()
    modules = root / "usr/lib/syslog-ng"
    (work / "syslog-ng.conf").write_text(
        f"""
@version: 3.38
options {{ stats-freq(0); log-msg-size(65536); }};
source lines {{
  file("{file}" flags(no-parse) follow-freq(1) read-old-records(yes) log-fetch-limit(1000) log-iw-size({QUEUE}));
}};
destination search {{
  http(url("http://127.0.0.1:{port}/_bulk") method("POST") headers("Content-Type: application/x-ndjson")
       body("{{\\"index\\":{{\\"_index\\":\\"jobs\\"}}}}\\n${{MSG}}") delimiter("\\n") body-suffix("\\n")
       workers(1) batch-lines({BATCH}) batch-timeout(1000) log-fifo-size({10 * QUEUE}));
}};
log {{ source(lines); destination(search); flags(flow-control); }};
"""
    )
    found = [*sorted(path for path in modules.glob("*") if path.is_dir()), modules]
    command = [program, "-F", "--no-caps", "-f", work / "syslog-ng.conf", "-R", work / "persist", "-p", work / "pid"]
    command += ["-c", work / "control", f"--module-path={':'.join(map(str, found))}"]
    return Peer(name, [str(word) for word in command], _environment(root, *found))
