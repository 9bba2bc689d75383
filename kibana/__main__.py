"""`make kibana`: write the built files anew."""

from __future__ import annotations

from .build import files, write

write()
for path, text in files().items():
    print(f"{path.name}: {len(text.splitlines())} lines, {len(text.encode()) // 1000} kB")
