"""How many bytes a job takes: in the log, in the log compressed, and in Elasticsearch as records and as a state.

    python -m benchmarks.sizes [RECORDS]

The records are those of real workers (worker_records.py), shipped with default settings into a real Elasticsearch,
whose segments are merged then, as they are after a while. Replicas are left out: each takes the same again.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from elasticsearch import Elasticsearch

from stack.elasticsearch import Elasticsearch as Server

from . import worker_records

NAMESPACE = "sizes"
RECORDS = 300_000


def main(count: int = RECORDS) -> dict[str, float]:
    """Bytes for a job, by where they are."""
    with tempfile.TemporaryDirectory(prefix="rq-shipper-sizes-") as folder:
        log = Path(folder, "records.jsonl")
        worker_records.write(log, count)
        jobs = _jobs(log)
        url = os.environ.get("ELASTICSEARCH_URL")
        server = None if url else Server()
        try:
            stored = _stored(url or server.url, log, Path(folder))  # type: ignore[union-attr]
        finally:
            if server:
                server.stop()
        found = {
            "log": log.stat().st_size / jobs,
            "log, compressed": len(gzip.compress(log.read_bytes(), 6)) / jobs,
            "records in Elasticsearch": stored["job"] / jobs,
            "states in Elasticsearch": stored["state"] / jobs,
        }
    print(f"{jobs:,} jobs with {count / jobs:.2f} records each; bytes for a job:")
    for where, size in found.items():
        print(f"  {where:28} {size:8,.0f}")
    return found


def _jobs(log: Path) -> int:
    with log.open("rb") as lines:
        return len({json.loads(line)["messaging"]["message"]["id"] for line in lines})


def _stored(url: str, log: Path, folder: Path) -> dict[str, int]:
    """Bytes of the primary shards of the records and of the states."""
    environment = {
        **os.environ,
        "SHIPPER_LOG": str(log),
        "SHIPPER_STATE": str(folder / "state"),
        "SHIPPER_ELASTICSEARCH": url,
        "SHIPPER_NAMESPACE": NAMESPACE,
        "SHIPPER_LISTEN": "off",
        "SHIPPER_ROTATE_MB": "0",
    }
    subprocess.run([Path(sys.executable).parent / "shipper", "run", "--once"], env=environment, check=True)
    stored = {}
    with Elasticsearch(url, request_timeout=600) as client:
        for kind in ("job", "state"):
            indices = f"rq-{kind}-{NAMESPACE}*"
            client.indices.forcemerge(index=indices, max_num_segments=1)
            client.indices.flush(index=indices, force=True)
            stats = client.indices.stats(index=indices, metric="store")
            stored[kind] = int(stats["_all"]["primaries"]["store"]["size_in_bytes"])
            client.indices.delete(index=",".join(stats["indices"]))
    return stored


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
