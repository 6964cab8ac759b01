"""What mypy tells users: `snippets/` is checked once, each file of it is one test.

Errors that must come are marked `type: ignore` there; strict mode reports a mark without an error.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "snippets"
ROOT = FOLDER.parents[2]
SNIPPETS = sorted(path.name for path in FOLDER.glob("*.py"))


@pytest.fixture(scope="module")
def reported():
    """Lines of mypy's report about the snippets."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(FOLDER)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        pytest.fail(f"mypy did not run: {done.stderr}; install it: pip install -e '.[dev]'")
    return [line for line in done.stdout.splitlines() if FOLDER.name in Path(line).parts]


@pytest.mark.parametrize("name", SNIPPETS)
def test_users_see_these_types(reported, name):
    assert [line for line in reported if f"{name}:" in line] == []


def test_there_are_snippets():
    assert {"connections.py", "factories.py", "types.py"} <= set(SNIPPETS)
