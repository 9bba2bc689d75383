"""`make pictures`: all pictures in docs/pictures, made anew. The shop's day is the one of `make demo`.

python -m pictures flow    only the drawing, which needs no servers
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import redis

import shipper
from demo import load
from demo.__main__ import wait_for_jobs, wait_for_records
from demo.services import BIN, Addresses, Services
from shipper import jobs

from . import flow, page, terminal

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/pictures"
COLUMNS = 132
LINES = 26  # of a long output


def main(arguments: list[str]) -> int:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "flow.svg").write_text(flow.svg(), encoding="utf-8")
    if arguments != ["flow"]:
        with tempfile.TemporaryDirectory(prefix="rq-shipper-pictures-") as folder:
            services = Services(Path(folder, "demo"))
            try:
                _of_the_day(_day(services))
            finally:
                services.stop()
    for picture in sorted(FOLDER.iterdir()):
        print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB")
    return 0


def _day(services: Services) -> Addresses:
    """The demo's day, indexed."""
    addresses = services.start_servers()
    os.environ.update(addresses.environment)
    terminal.printed([str(BIN / "shipper"), "setup"], {}, COLUMNS)
    services.start_workers()
    services.start_shipper()
    shipper.instrument()
    connection = redis.Redis.from_url(addresses.redis)
    load.push(connection)
    wait_for_jobs(services, connection)
    namespace = addresses.environment["SHIPPER_NAMESPACE"]
    wait_for_records(services, addresses, f"rq-job-{namespace}-*,rq-audit-{namespace}-*")
    return addresses


def _of_the_day(addresses: Addresses) -> None:
    dead = next(jobs.find(state="dead"))
    _terminal("timeline", f"shipper timeline --customer {load.FAVOURITE}")
    _terminal("job", f"shipper job {dead.job_id}")
    html = addresses.folder / "day.html"
    terminal.printed([str(BIN / "shipper"), "timeline", "--customer", load.FAVOURITE, "--html", str(html)], {}, COLUMNS)
    page.screenshot(html, FOLDER / "page.png")


def _terminal(name: str, command: str) -> None:
    program, *arguments = command.split()
    printed = terminal.printed([str(BIN / program), *arguments], {}, COLUMNS)
    said = printed.replace(str(ROOT), "/srv/application").splitlines()  # not where this picture was made
    shown = "\n".join([f"$ {command}", *said[:LINES], *(["…"] if len(said) > LINES else [])])
    (FOLDER / f"{name}.svg").write_text(terminal.svg(command, shown, COLUMNS), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
