"""Engines on a fresh database of the session's cluster, of the blocking and the asyncio dialect."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from _pytest.runner import runtestprotocol
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn

from dqlite_node.pytest_plugin import url_of


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Run a test of an asyncio dialect in a greenlet, so that its body may be the blocking one."""
    parameters = getattr(item, "callspec", None)
    if parameters is None or "aio" not in str(parameters.params.get("scheme")):
        return None
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    asyncio.run(greenlet_spawn(runtestprotocol, item, nextitem=nextitem))
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(params=["dqlite", "dqlite+aio"])
def scheme(request):
    """The URL scheme of a test's engines."""
    return request.param


@pytest.fixture
def url_for(database):
    """Make the documented form of URL: one host, the others as query items."""

    def make(addresses, scheme="dqlite"):
        return url_of(addresses, database, scheme)

    return make


@pytest.fixture
def url(cluster, url_for):
    return url_for(cluster.addresses)


@pytest.fixture
def create(scheme):
    """`create_engine` for URLs of `scheme`, disposed of when the test ends."""
    engines = []

    def make(url, **options):
        if "aio" in scheme:
            engines.append(create_async_engine(url, **options).sync_engine)
        else:
            engines.append(sa.create_engine(url, **options))
        return engines[-1]

    yield make
    for each in engines:
        each.dispose()


@pytest.fixture
def make_engine(cluster, url_for, scheme, create):
    """Make engines for the test's database."""

    def make(suffix="", **options):
        return create(url_for(cluster.addresses, scheme) + suffix, **options)

    return make


@pytest.fixture
def db(make_engine):
    """An engine; not named so, since that is what members run on."""
    return make_engine()
