"""Logstash: our filters beside plain grok and date filters, in the same Logstash, with the same lines and no output.

    LOGSTASH_HOME=/usr/share/logstash python -m benchmarks.logstash

Figures are lines per second of the process's CPU time, after a warm-up: Java compiles what is used often.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "logstash"
WARM, MEASURED = 30_000, 30_000  # lines
JOB = "0b1c2d3e-1f11-4a2b-8c3d-4e44f5a6b7c8"
LINES = (
    f"2026-02-10 10:00:01,000 INFO rq.worker: Worker w1: default: shop.jobs.send_mail(7, to='ann') ({JOB})",
    "2026-02-10 10:00:01,100 INFO shop.mails: sent 12 mails to ann",
    "2026-02-10 10:00:01,200 INFO rq.worker: Successfully completed shop.jobs.send_mail(7, to='ann') job in "
    "0:00:00.204s on worker w1",
    f"2026-02-10 10:00:01,300 INFO rq.worker: Worker w1: default: Job OK ({JOB})",
    f"2026-02-10 10:00:01,400 INFO rq.worker: Worker w1: job {JOB} result is kept for 500 seconds",
)
PLAIN = """
filter {
  grok {
    match => {
      "message" => [
        "%{TIMESTAMP_ISO8601:time} %{LOGLEVEL:level} %{NOTSPACE:logger}: (?:Worker %{NOTSPACE:worker}: )?%{NOTSPACE:queue}: Job OK \\(%{UUID:job}\\)",
        "%{TIMESTAMP_ISO8601:time} %{LOGLEVEL:level} %{NOTSPACE:logger}: (?:Worker %{NOTSPACE:worker}: )?%{NOTSPACE:queue}: %{DATA:call} \\(%{UUID:job}\\)",
        "%{TIMESTAMP_ISO8601:time} %{LOGLEVEL:level} %{NOTSPACE:logger}: %{GREEDYDATA:text}"
      ]
    }
  }
  date { match => ["time", "yyyy-MM-dd HH:mm:ss,SSS"] }
}
"""  # noqa: E501
# The CPU time of the process (in ticks) when the warm-up has passed, and at the end.
METER = """
filter {
  ruby {
    init => "@passed = java.util.concurrent.atomic.AtomicLong.new"
    code => "
      passed = @passed.increment_and_get
      if passed == %(warm)d || passed == %(all)d
        File.open('%(file)s', 'a') { |file| file.puts(File.read('/proc/self/stat').split(')').last.split[11, 2].map(&:to_i).sum) }
      end
    "
  }
}
output { null { } }
"""  # noqa: E501


def rate(home: str, filters: str) -> float:
    """Lines per CPU second of a Logstash with these filters."""
    with tempfile.TemporaryDirectory(prefix="shipper-logstash-") as name:
        folder, every = Path(name), WARM + MEASURED
        source = f"input {{ generator {{ lines => {json.dumps(LINES)} count => {every // len(LINES)} }} }}\n"
        meter = METER % {"warm": WARM, "all": every, "file": folder / "ticks"}
        (folder / "pipeline.conf").write_text(source + filters + meter)
        (folder / "logstash.yml").write_text("pipeline.ecs_compatibility: v8\nconfig.support_escapes: false\n")
        command = ("--path.settings", name, "--path.data", str(folder / "data"), "--path.config")
        done = subprocess.run(
            [f"{home}/bin/logstash", "--api.enabled", "false", *command, str(folder / "pipeline.conf")],
            env={**os.environ, "LEGACY_HOME": str(FOLDER)},
            capture_output=True,
            text=True,
            check=False,
        )
        ticks = (folder / "ticks").read_text().split() if (folder / "ticks").exists() else []
    if len(ticks) != 2:
        raise SystemExit(f"Logstash did not read all lines:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return MEASURED * os.sysconf("SC_CLK_TCK") / (int(ticks[1]) - int(ticks[0]))


def main() -> None:
    """Print the figures."""
    home = os.environ.get("LOGSTASH_HOME")
    if not home:
        raise SystemExit("Set LOGSTASH_HOME to the folder of a Logstash: https://www.elastic.co/downloads/logstash")
    ours = "".join((FOLDER / "pipeline" / name).read_text() for name in ("15-redaction.conf", "20-rq-legacy.conf"))
    without = ours[ours.index("# A line of a text log") :]
    found = {}
    for name, filters in (("plain grok and date", PLAIN), ("records of RQ", ours), ("without redaction", without)):
        found[name] = rate(home, filters)
        print(f"{name:20} {found[name]:8,.0f} lines per CPU second", flush=True)
    times = found["plain grok and date"] / found["records of RQ"]
    print(f"The records of RQ take {times:.1f} times the CPU time of plain grok. Load: {os.getloadavg()}")


if __name__ == "__main__":
    main()
