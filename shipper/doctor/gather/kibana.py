"""Kibana: its version, and which of our objects are there."""

from __future__ import annotations

import json

from ...index import kibana
from ...index.kibana_client import Kibana
from ...settings import Settings
from ..subjects.kibana import KibanaFacts


def kibana_facts(config: Settings) -> KibanaFacts:
    """Which objects are missing. Raises DestinationError."""
    there = Kibana(config)
    try:
        there.version()
        there.check_space()
        wanted = [one for one in map(json.loads, kibana.objects(there.space).splitlines()) if "type" in one]
        missing = there.missing([(one["type"], one["id"]) for one in wanted])
        titles = [
            str(one["attributes"].get("title") or one["id"]) for one in wanted if (one["type"], one["id"]) in missing
        ]
        return KibanaFacts(where=f"Kibana at {there.where}", space=there.space, missing=titles, wanted=len(wanted))
    finally:
        there.close()
