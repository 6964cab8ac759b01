"""Runs what README.md and docs/ show: each python block is a program, on a real cluster."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from dqlite_node import LocalCluster

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("examples/*/*.md")]
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.M | re.S
)
#: What members say about their engine and each other stays out of what a block prints.
QUIET = "import logging; logging.getLogger('dqlite_node').addHandler(logging.NullHandler())\n"
LINK = re.compile(r"\]\((?!\w+:)([^)#]+)")


class Block(NamedTuple):
    """A python block, and what the text block right below it says is printed."""

    code: str
    output: str | None


def _blocks() -> list[object]:
    return [
        pytest.param(Block(found["code"], found["output"]), id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), start=1)
    ]


@pytest.mark.parametrize("block", _blocks())
def test_a_block_runs_as_printed(block: Block, cluster: LocalCluster) -> None:
    shown = {str(port): address for port, address in enumerate(cluster.addresses, start=9001)}
    code = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: shown[found[1]], block.code)
    strict = ["-W", "error", "-W", "ignore::ResourceWarning"]  # so short a program may just end
    command = [sys.executable, *strict, "-c", QUIET + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert block.output is None or done.stdout == block.output


def test_the_readme_has_its_ten_lines() -> None:
    block = BLOCK.search(PAGES[0].read_text(encoding="utf-8"))
    assert block is not None
    assert len([line for line in block["code"].splitlines() if line]) <= 11


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
