"""URLs for applications: each test has a database of its own on one member, under both names."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", params=["dqlite", "sqlite+dqlite"])
def scheme(request):
    """What an application is told to use: our name, and SQLite's for closed lists."""
    return request.param


@pytest.fixture(scope="session")
def make_url(scheme, single):
    """Make the URL of a database."""
    return lambda database: f"{scheme}://{single.addresses[0]}/{database}"


@pytest.fixture
def url(make_url, database):
    """The URL of the test's database."""
    return make_url(database)
