"""How many bytes a job takes in the log and in Elasticsearch, its state included, and which fields they are for.

    python -m benchmarks.index_size

Records of a real worker, of jobs that are no copies of each other and have all ended, by the templates that `shipper
setup` installs, merged into one segment as a day's index is that is no longer written to. The bytes of the fields are
what Elasticsearch's `_disk_usage` finds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from stack.elasticsearch import Elasticsearch as Server

from . import worker_records
from .promises import Promise, show
from .real_server import load, moved, requests_of_ours

JOBS = 12_000
MOST_BYTES = 1200  # a job, states included
SHOWN = 15  # fields


def sizes(search: Elasticsearch, index: str) -> tuple[int, int, dict[str, Any]]:
    """(documents, bytes, what `_disk_usage` says) of an index expression, whose indices are merged for it."""
    search.indices.flush(index=index, wait_if_ongoing=True)
    search.options(request_timeout=600).indices.forcemerge(index=index, max_num_segments=1)
    search.indices.refresh(index=index)
    stats = search.indices.stats(index=index, metric="docs,store")["_all"]["primaries"]
    usage = search.options(request_timeout=600).indices.disk_usage(index=index, run_expensive_tasks=True)
    return stats["docs"]["count"], stats["store"]["size_in_bytes"], usage.body


def by_field(usage: Mapping[str, Any]) -> Counter[str]:
    """Field → bytes, over all indices of an answer of `_disk_usage`. `_source` is what its stored fields take."""
    found: Counter[str] = Counter()
    for index, content in usage.items():
        if index != "_shards":
            for name, of_field in content["fields"].items():
                found[name] += of_field["total_in_bytes"]
    return found


def main() -> list[Promise]:
    """Print the figures."""
    server = Server(quick_start=False)
    try:
        with tempfile.TemporaryDirectory() as name, Elasticsearch(server.url) as search:
            folder = Path(name)
            worker_records.write_distinct(folder / "records.jsonl", JOBS)
            log_bytes = (folder / "records.jsonl").stat().st_size
            command = [str(Path(sys.executable).with_name("shipper")), "setup", "--elasticsearch", server.url]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            load(server.port, moved(requests_of_ours(folder / "records.jsonl", folder), "size0"))
            records, record_bytes, record_usage = sizes(search, "rq-job-size0-*")
            jobs, state_bytes, state_usage = sizes(search, "rq-state-size0")
    finally:
        server.stop()
    print(f"{records:,} records of {jobs:,} jobs, bytes a job:\n  log {log_bytes / jobs:,.0f}")
    for title, size, usage in (("records", record_bytes, record_usage), ("states", state_bytes, state_usage)):
        fields = ", ".join(f"{field} {used / jobs:.0f}" for field, used in by_field(usage).most_common(SHOWN))
        print(f"  {title} {size / jobs:,.0f}: {fields}")
    both = (record_bytes + state_bytes) / jobs
    return [Promise("Elasticsearch: bytes a job, states included", both, most=MOST_BYTES, shown="{:,.0f}")]


if __name__ == "__main__":
    show(main())
