"""The real Elasticsearch, in trouble: whatever happens to it, every line is there once at the end."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from shipper import records
from stack.elasticsearch import Elasticsearch as Server
from stack.processes import free_port
from tests.integration.test_shipping import append, indexed, lines
from tests.programs import LIMIT_S, Programs, patient, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def elasticsearch_url(own_server: Server) -> str:
    return own_server.url


def arrived(search: Elasticsearch, namespace: str, wanted: int) -> None:
    def there() -> bool:
        try:
            return indexed(search, namespace) == wanted
        except Exception:  # the server is only just coming back
            return False

    wait_for(there, f"{wanted} records in the index", LIMIT_S)


def status_file(programs: Programs) -> Path:
    return Path(programs.environment["SHIPPER_STATE"]) / "status.json"


def status(programs: Programs) -> dict[str, object]:
    """What it said last; of one that was silent for 15 s, which a busy machine's may be, the exit status is 1."""
    found: dict[str, object] = json.loads(programs.run("shipper", "status", "--json", check=False).stdout)
    return found


def test_it_is_killed_and_starts_again(
    own_server: Server, own_search: Elasticsearch, programs: Programs, namespace: str
) -> None:
    programs.log.touch()
    programs.start("shipper", "run", SHIPPER_ELASTICSEARCH=own_server.url)
    append(programs, lines(500))
    arrived(own_search, namespace, 500)
    wait_for(status_file(programs).exists, "its first word")
    append(programs, lines(2000, start=500))
    own_server.kill()
    append(programs, lines(500, start=2500))
    wait_for(lambda: status(programs)["state"] == "waiting", "the shipper to notice")
    said = status(programs)
    assert said["backlog_bytes"]
    assert "cannot be reached" in str(said["last_error"])
    own_server.start()
    arrived(own_search, namespace, 3000)
    wait_for(lambda: status(programs)["backlog_bytes"] == 0, "the positions")


@pytest.mark.parametrize(
    ("shut", "opened"),
    [
        (
            lambda search, index: search.indices.put_settings(
                index=index, settings={"index.blocks.read_only_allow_delete": True}
            ),
            lambda search, index: search.indices.put_settings(
                index=index, settings={"index.blocks.read_only_allow_delete": None}
            ),
        ),
        (
            lambda search, index: search.indices.close(index=index),
            lambda search, index: search.indices.open(index=index),
        ),
    ],
    ids=["read-only after the disk's watermark", "index closed"],
)
def test_an_index_that_takes_nothing_for_a_while_loses_nothing(
    own_server: Server,
    own_search: Elasticsearch,
    programs: Programs,
    namespace: str,
    shut: object,
    opened: object,
) -> None:
    day = datetime.now(UTC)  # and no other, or the next lines would go to another index
    programs.log.touch()
    programs.start("shipper", "run", SHIPPER_ELASTICSEARCH=own_server.url)
    append(programs, of_day(lines(100), day))
    arrived(own_search, namespace, 100)
    wait_for(status_file(programs).exists, "its first word")
    (index,) = own_search.indices.get(index=f"rq-job-{namespace}-*")
    shut(own_search, index)  # type: ignore[operator]
    append(programs, of_day(lines(100, start=100), day))
    wait_for(
        lambda: status(programs)["state"] == "waiting" or status(programs)["waiting_bytes"], "the shipper to notice"
    )
    opened(own_search, index)  # type: ignore[operator]
    arrived(own_search, namespace, 200)
    assert status(programs)["dead_letters"] == 0


def test_a_day_whose_index_takes_nothing_holds_up_no_other(
    own_server: Server, own_search: Elasticsearch, programs: Programs, namespace: str
) -> None:
    """Lines of yesterday and today in one file, yesterday's index blocked: today's flow, yesterday's come later."""
    now = datetime.now(UTC)
    programs.log.touch()
    programs.start("shipper", "run", SHIPPER_ELASTICSEARCH=own_server.url)
    append(programs, of_day(lines(100), now - timedelta(days=1)))
    arrived(own_search, namespace, 100)
    (blocked,) = own_search.indices.get(index=f"rq-job-{namespace}-*")
    own_search.indices.put_settings(index=blocked, settings={"index.blocks.write": True})
    append(programs, of_day(lines(50, start=100), now - timedelta(days=1)) + of_day(lines(200, start=150), now))
    arrived(own_search, namespace, 300)
    wait_for(status_file(programs).exists, "its first word")
    wait_for(lambda: status(programs)["waiting_bytes"], "yesterday's to wait")
    wait_for(lambda: status(programs)["backlog_bytes"] == 0, "the positions")
    own_search.indices.put_settings(index=blocked, settings={"index.blocks.write": None})
    arrived(own_search, namespace, 350)
    wait_for(lambda: status(programs)["waiting_bytes"] == 0, "nothing to wait any more")
    assert status(programs)["dead_letters"] == 0


def of_day(data: bytes, day: datetime) -> bytes:
    """The lines with the same time of another day."""
    start = len(records.LINE_START)
    return b"".join(
        line[:start] + f"{day:%Y-%m-%d}".encode() + line[start + 10 :] for line in data.splitlines(keepends=True)
    )


def test_templates_that_somebody_deleted_are_there_again_before_the_next_index(
    own_server: Server, own_search: Elasticsearch, programs: Programs, namespace: str
) -> None:
    append(programs, lines(10))
    programs.run("shipper", "run", "--once", SHIPPER_ELASTICSEARCH=own_server.url)
    own_search.indices.delete_index_template(name="rq-job")
    for index in own_search.indices.get(index=f"rq-job-{namespace}-*"):
        own_search.indices.delete(index=index)
    append(programs, lines(10, start=10))
    programs.run("shipper", "run", "--once", SHIPPER_ELASTICSEARCH=own_server.url)
    mapping = own_search.indices.get_mapping(index=f"rq-job-{namespace}-*")
    (found,) = mapping.values()
    assert found["mappings"]["properties"]["rq"]["properties"]["attempt"]["type"] != "text"
    assert found["mappings"]["dynamic"] == "false"


class Cluster:
    """Two nodes that find each other: a master, and one that is not, with half of the shards."""

    def __init__(self) -> None:
        transports = [free_port() for _ in range(2)]
        found: dict[str, Server] = {}
        common = {
            "discovery.type": "multi-node",
            "discovery.seed_hosts": ",".join(f"127.0.0.1:{port}" for port in transports),
        }

        def begin(name: str, transport: int, **more: str) -> None:
            found[name] = Server({"node.name": name, "transport.port": str(transport), **common, **more})

        own = ({"cluster.initial_master_nodes": "one"}, {"node.roles": "data,ingest"})
        starting = [
            threading.Thread(target=begin, args=(name, transport), kwargs=more)
            for name, transport, more in zip(("one", "two"), transports, own, strict=True)
        ]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        assert len(found) == 2, "a node did not start"
        self.nodes = [found["one"], found["two"]]

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


def test_one_of_the_nodes_is_killed_while_it_ships(programs: Programs, namespace: str) -> None:
    cluster = Cluster()
    try:
        urls = ",".join(node.url for node in cluster.nodes)
        programs.log.touch()
        programs.start("shipper", "run", SHIPPER_ELASTICSEARCH=urls)
        with patient(cluster.nodes[0].url) as search:
            append(programs, lines(1000))
            arrived(search, namespace, 1000)
            health = search.cluster.health(wait_for_status="green", timeout=f"{LIMIT_S:.0f}s")
            assert health["number_of_data_nodes"] == 2
            for part in range(1, 11):
                append(programs, lines(1000, start=part * 1000))
                if part == 5:
                    cluster.nodes[1].kill()
            arrived(search, namespace, 11_000)
        assert status(programs)["dead_letters"] == 0
    finally:
        cluster.stop()


def test_an_import_that_is_run_twice_and_at_midnight_doubles_nothing(
    own_server: Server, own_search: Elasticsearch, programs: Programs, namespace: str, tmp_path: Path
) -> None:
    """Each record lands in the index of its own day, whichever day it is shipped on."""
    made = lines(20).splitlines(keepends=True)
    evening = [line.replace(line[15:42], b"2026-11-20T23:59:59.999999Z") for line in made[:10]]
    morning = [line.replace(line[15:42], b"2026-11-21T00:00:00.000000Z") for line in made[10:]]
    append(programs, b"".join(evening + morning))
    for state in ("a", "b"):
        programs.run(
            "shipper",
            "run",
            "--once",
            "--state",
            str(tmp_path / state),
            SHIPPER_ELASTICSEARCH=own_server.url,
            SHIPPER_PAST_DAYS="9999",
        )
    assert sorted(own_search.indices.get(index=f"rq-job-{namespace}-*")) == [
        f"rq-job-{namespace}-2026.11.20",
        f"rq-job-{namespace}-2026.11.21",
    ]
    assert indexed(own_search, namespace) == 20
    assert records.PERIODS["rq.job"] == "%Y.%m.%d"
