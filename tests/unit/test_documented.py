"""The examples in README and docs: each is run or says why not, and can be read by its language."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.examples import blocks as documented
from tests.examples.blocks import LANGUAGES, ROOT, Block

ALL = [block for page in documented.pages() for block in documented.blocks(page)]


def of(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


def test_every_block_names_its_language() -> None:
    wrong = {block.place: block.language for block in ALL if block.language not in LANGUAGES}
    assert not wrong, f"write one of {', '.join(sorted(LANGUAGES))} behind the fence"


@pytest.mark.parametrize("page", documented.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_code_stands_in_fences(page: Path) -> None:
    """A block that is only indented has no language, so nobody would run it."""
    lines = documented.outside(page).splitlines()
    indented = [
        line
        for before, line in pairwise(lines)
        if line.startswith("    ") and not before.strip() and not _in_a_list(lines, line)
    ]
    assert not indented


def _in_a_list(lines: list[str], line: str) -> bool:
    above = lines[: lines.index(line)]
    nearest = next((one for one in reversed(above) if one.strip() and not one.startswith(" ")), "")
    return bool(re.match(r"[-*]|\d+\.", nearest))


def test_whoever_runs_a_block_is_there() -> None:
    for block in ALL:
        if block.run_by:
            file, _, name = block.run_by.partition("::")
            assert (ROOT / file).is_file(), f"{block.place}: there is no {file}"
            assert not name or f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), block.place


def test_who_is_not_run_has_a_reason() -> None:
    assert not [block.place for block in ALL if block.reason is not None and len(block.reason.split()) < 4]


def test_only_what_could_be_run_is_marked() -> None:
    assert not [block.place for block in ALL if not block.is_left_to_us and block.language in ("text", "json")]


@pytest.mark.parametrize("block", of("python"), ids=lambda block: block.place)
def test_python_is_python(block: Block) -> None:
    compile(block.text, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_shell_is_shell() -> None:
    for block in of("sh"):
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
        assert not done.stderr, f"{block.place}: {done.stderr}"


@pytest.mark.parametrize("block", of("json", "toml", "yaml"), ids=lambda block: block.place)
def test_data_can_be_read(block: Block) -> None:
    if block.language == "json":
        for line in block.text.splitlines() if block.text.count("\n{") else [block.text]:
            json.loads(line)
    elif block.language == "toml":
        tomllib.loads(block.text)
    else:
        yaml.safe_load_all(block.text)


def test_readme_shows_the_lines_that_the_pages_of_the_frameworks_show() -> None:
    shown = {block.text.splitlines()[0]: block.text for block in of("python") if block.page == "README.md"}
    pages = {block.text for block in of("python") if block.page in ("docs/beside.md", "docs/django.md")}
    assert shown["# Flask"] in pages
    assert shown["# FastAPI"] in pages
    (django,) = (text for first, text in shown.items() if first.startswith("# Django"))
    assert django.partition("\n")[2] in {text.partition("\n")[2] for text in pages}
