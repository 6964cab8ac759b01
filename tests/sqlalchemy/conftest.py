"""Engines on a fresh database of the session's cluster."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine


@pytest.fixture
def url_for(database):
    """Make the documented form of URL: one host, the others as query items."""

    def make(addresses):
        first, *others = addresses
        return f"dqlite://{first}/{database}?" + "&".join(f"host={other}" for other in others)

    return make


@pytest.fixture
def url(cluster, url_for):
    return url_for(cluster.addresses)


@pytest.fixture
def make_engine(url):
    """Make engines for the test's database, disposed of when the test ends."""
    engines = []

    def make(suffix="", **options):
        engines.append(create_engine(url + suffix, **options))
        return engines[-1]

    yield make
    for each in engines:
        each.dispose()


@pytest.fixture
def engine(make_engine):
    return make_engine()
