"""`make bench`: every benchmark, one after the other, and all promises in one table. Fails if one is not kept.

FULL=1 ships 10,000,000 records where it is 4,500,000 (5 GB) otherwise, which takes 12 GB of disk. The figures are
left in .run/bench.json.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import (
    audit,
    counting,
    emission,
    growth,
    import_cost,
    index_size,
    legacy,
    real_server,
    sections,
    shipping,
    watching,
)
from .promises import show

figures: dict[str, Any] = {}
promises = [
    *import_cost.main(),
    *emission.main(),
    *counting.main(),
    *shipping.main(report=figures),
    *growth.main(full=bool(os.environ.get("FULL"))),
    *real_server.main(),
    *index_size.main(),
    *audit.main(),
    *sections.main(),
    *legacy.main(),
    *watching.main(),
]
print()
good = show(promises)
report = Path(".run/bench.json")
report.parent.mkdir(exist_ok=True)
kept = [{**asdict(promise), "kept": promise.kept} for promise in promises]
report.write_text(json.dumps({"figures": figures, "promises": kept}, indent=2))
sys.exit(not good)
