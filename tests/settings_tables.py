"""The tables of docs/settings.md. `python -m tests.settings_tables` makes them from shipper/setting_table.toml."""

from __future__ import annotations

from shipper import setting_table
from tests.programs import ROOT

FILE = ROOT / "docs/settings.md"
BEGIN, END = "<!-- The tables are made by `python -m tests.settings_tables`. -->\n", "<!-- End of the tables. -->\n"


def written() -> str:
    """The page as it is."""
    return FILE.read_text(encoding="utf-8")


def made() -> str:
    """The page as it should be."""
    before, _, rest = written().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{setting_table.markdown()}\n{END}{after}"


if __name__ == "__main__":
    FILE.write_text(made(), encoding="utf-8")
