"""`make kibana`: write the built files anew; with an export of Kibana's, take back what was changed there first."""

from __future__ import annotations

import sys
from pathlib import Path

from . import edited
from .build import files, from_sources, write

if len(sys.argv) > 1:
    found = edited.take_back(from_sources(), Path(sys.argv[1]).read_text(encoding="utf-8"))
    for change in found:
        print(change if edited.can_be_taken(change) else f"{change}   cannot be taken back: change its source")
    print(f"{len(found)} differences" + (f", in {edited.OVERRIDES.name}" if edited.OVERRIDES.exists() else ""))
write()
for path, text in files().items():
    print(f"{path.name}: {len(text.splitlines())} lines, {len(text.encode()) // 1000} kB")
