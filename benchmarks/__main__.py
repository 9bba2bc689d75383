"""`make bench`: every benchmark, one after the other. Fails if one misses what is promised."""

import sys
from pathlib import Path

from . import audit, emission, import_cost, real_server, shipping

report = Path(".run/bench.json")
report.parent.mkdir(exist_ok=True)
kept = [import_cost.main(), emission.main(), shipping.main(report=report), real_server.main(), audit.main()]
sys.exit(not all(kept))
