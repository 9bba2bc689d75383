"""Others that do the same work, where this machine has them: Debian's rsyslog and syslog-ng, and the client's helpers.

The two come from the packages rsyslog and rsyslog-elasticsearch, and syslog-ng-core and syslog-ng-mod-http; the
latter refuse to be installed beside the former: unpack them and set SYSLOG_NG_ROOT to the folder.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

BATCH = 1000
QUEUE = 20_000


@dataclass(frozen=True, slots=True)
class Peer:
    """How to start one. `ends`: it ends by itself when all is sent. `environment` is added to ours."""

    name: str
    command: list[str]
    environment: dict[str, str]
    ends: bool = False


def rsyslog(name: str, file: Path, port: int, folder: Path, *, parse: bool) -> Peer | None:
    """rsyslog's omelasticsearch, lines as they are or parsed as JSON first."""
    program = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin")
    if program is None or not any(Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so")):
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
    return Peer(name, [program, "-n", "-f", str(work / "rsyslog.conf"), "-i", str(work / "pid")], {})


def syslog_ng(name: str, file: Path, port: int, folder: Path) -> Peer | None:
    """syslog-ng's http destination, set up as its elasticsearch-http is: lines as they are."""
    root = Path(os.environ.get("SYSLOG_NG_ROOT", "/"))
    program = root / "usr/sbin/syslog-ng"
    if not program.exists():
        return None
    work = folder / name
    work.mkdir()
    modules = root / "usr/lib/syslog-ng"
    libraries = ":".join(str(path) for path in (*root.glob("usr/lib/*-linux-gnu"), *modules.glob("*"), modules))
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
    found = sorted(str(path) for path in modules.glob("*") if path.is_dir())
    return Peer(
        name,
        [
            str(program),
            "-F",
            "--no-caps",
            "-f",
            str(work / "syslog-ng.conf"),
            "-R",
            str(work / "persist"),
            "-p",
            str(work / "pid"),
            "-c",
            str(work / "control"),
            f"--module-path={':'.join([*found, str(modules)])}",
        ],
        {"LD_LIBRARY_PATH": libraries},
    )
