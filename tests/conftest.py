"""The clusters that tests run against: members of the installed engine, kept for the session."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from dqlite_node import LocalCluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Three voters; a test that hurts members makes a `LocalCluster` of its own instead."""
    with LocalCluster(3) as members:
        yield members


@pytest.fixture(scope="session")
def single() -> Iterator[LocalCluster]:
    """One member that is a cluster of its own."""
    with LocalCluster(1) as member:
        yield member


@pytest.fixture
def database() -> str:
    """A database name that no other test uses, nor a prefix of one (libdqlite 1.11 mixes those)."""
    return f"test_{uuid.uuid4().hex}"
