"""`make bench`: every benchmark, one after the other. Fails if one misses what is promised."""

import sys

from . import audit, emission, import_cost

sys.exit(not all([import_cost.main(), emission.main(), audit.main()]))
