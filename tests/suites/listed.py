"""pytest plugin: tests that docs/reference/suites.md lists are expected to fail, others are not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROW = re.compile(r"\| `(?P<tests>[^`]+::[^`]+)` \| (?P<reason>.+) \|$")
#: What SQLAlchemy adds to the name of a class: dialect, driver and version.
SUFFIX = re.compile(r"_(?:dqlite|sqlite)\+\w+")


def plain(name: str) -> str:
    """A test's name without the database that it ran on."""
    return SUFFIX.sub("", name)


def rows(page: Path) -> Iterator[tuple[str, str]]:
    """Patterns and reasons in the tables of `page`; `*` in a pattern stands for anything."""
    for line in page.read_text(encoding="utf-8").splitlines():
        match = ROW.match(line)
        if match:
            yield match["tests"].replace("\\|", "|"), match["reason"]


def matcher(pattern: str) -> re.Pattern[str]:
    """`*` stands for anything, everything else for itself."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the listed tests; one that passes nevertheless fails the run."""
    page = os.environ.get("SUITES_PAGE")
    if not page:
        return
    listed = [(matcher(pattern), reason) for pattern, reason in rows(Path(page))]
    for item in items:
        name = plain(item.nodeid).partition("::")[2]
        for pattern, reason in listed:
            if pattern.fullmatch(name):
                item.add_marker(pytest.mark.xfail(reason=reason, strict="*" not in pattern.pattern))
