"""The same work with the helpers of the Elasticsearch client, as a script of anybody's would do it.

python -m benchmarks.helpers streaming_bulk|parallel_bulk PORT FILE
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from elasticsearch import Elasticsearch, helpers


def actions(file: str) -> Iterator[dict[str, Any]]:
    with open(file, "rb") as lines:
        for line in lines:
            record = json.loads(line)
            day = record["@timestamp"][:10].replace("-", ".")
            yield {
                "_op_type": "create",
                "_index": f"rq-job-default-{day}",
                "_id": record["event"]["id"],
                "_source": record,
            }


if __name__ == "__main__":
    _, kind, port, file = sys.argv
    client = Elasticsearch(f"http://127.0.0.1:{port}")
    for _ in getattr(helpers, kind)(client, actions(file), raise_on_error=False):
        pass
