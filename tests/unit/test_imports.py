"""The picture of the folders in CONTRIBUTING.md, held against the imports."""

from __future__ import annotations

import subprocess

import grimp

from tests.programs import BIN, LIMIT_S, ROOT

# What flows from emit/ to ship/, and what each of the two needs to make or to read it.
# Redaction is done by whoever writes a record first: of text on standard input, that is the shipper.
MEETING_POINTS = {"shipper.errors", "shipper.records", "shipper.redact", "shipper.service", "shipper.settings"}


def test_no_import_runs_against_the_picture() -> None:
    """The contracts are in pyproject.toml, and so are the imports that break them today."""
    check = [str(BIN / "lint-imports"), "--no-cache"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_emit_and_ship_meet_only_in_what_flows_between_them() -> None:
    graph = grimp.build_graph("shipper", cache_dir=None)

    def imported_by(package: str) -> set[str]:
        inside = {package, *graph.find_descendants(package)}
        return {imported for one in inside for imported in graph.find_modules_directly_imported_by(one)} - inside

    met = imported_by("shipper.emit") & imported_by("shipper.ship")
    assert met <= MEETING_POINTS
