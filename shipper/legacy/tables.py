"""The tables of meanings/, which Logstash (as dictionaries) and the ingest pipeline use, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

NAMES = ("phrases", "signals", "levels", "months", "zones")


@cache
def tables() -> Mapping[str, Mapping[str, Any]]:
    """Each table by its name.

    `phrases`: what RQ says, in small letters → the fields of a record. `signals`: numbers → names. `levels`: names,
    letters and syslog numbers → `log.level`. `months`: names → numbers. `zones`: abbreviations → offsets.
    """
    folder = files(__package__).joinpath("meanings")
    return {name: json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}
