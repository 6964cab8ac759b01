"""Fixtures of pytest: clusters of real members, started when a test asks for one.

pytest loads this module in every session, so it imports nothing else before that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from dqlite_node import LocalCluster, Node


@pytest.fixture(scope="session")
def dqlite_options() -> dict[str, Any]:
    """Keywords of `LocalCluster` for all members; override it in a conftest."""
    return {}


@pytest.fixture(scope="session")
def dqlite_session_cluster(dqlite_options: dict[str, Any]) -> Iterator[LocalCluster]:
    """Three voters for the session (of each worker); for fixtures that live as long.

    Tests use `dqlite_cluster`, which repairs what they do.
    """
    from dqlite_node import LocalCluster

    with LocalCluster(**{"n": 3, **dqlite_options}) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def dqlite_session_node(dqlite_options: dict[str, Any]) -> Iterator[LocalCluster]:
    """One member that is a cluster of its own, for the session; tests use `dqlite_node`."""
    from dqlite_node import LocalCluster

    with LocalCluster(**{**dqlite_options, "n": 1}) as cluster:
        yield cluster


@pytest.fixture
def dqlite_cluster(dqlite_session_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """Three voters that a test may kill, stop, pause and demote; they are healed after it."""
    yield dqlite_session_cluster
    dqlite_session_cluster.heal()


@pytest.fixture
def dqlite_node(dqlite_session_node: LocalCluster) -> Iterator[Node]:
    """One member, a cluster of its own; it is healed after the test."""
    yield dqlite_session_node.members[0]
    dqlite_session_node.heal()


@pytest.fixture
def dqlite_url(dqlite_cluster: LocalCluster) -> str:
    """URL of a new, empty database, for the driver's `connect` and for SQLAlchemy alike."""
    import uuid

    return url_of(dqlite_cluster.addresses, f"test_{uuid.uuid4().hex}")


def url_of(addresses: Sequence[str], database: str, scheme: str = "dqlite") -> str:
    """The documented form of URL: one host, the others as query items."""
    first, *others = addresses
    hosts = "&".join(f"host={address}" for address in others)
    return f"{scheme}://{first}/{database}?{hosts}".rstrip("?")


@pytest.fixture
def dqlite_engine(dqlite_url: str) -> Iterator[Engine]:
    """A SQLAlchemy engine for a new database."""
    _need_sqlalchemy()
    from sqlalchemy import create_engine

    engine = create_engine(dqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def dqlite_async_engine(dqlite_url: str) -> AsyncEngine:
    """An asyncio engine for a new database, with a connection for each checkout.

    So nothing of it outlives the event loop of the test.
    """
    _need_sqlalchemy()
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    return create_async_engine(dqlite_url.replace("dqlite", "dqlite+aio", 1), poolclass=NullPool)


def _need_sqlalchemy() -> None:
    from importlib.util import find_spec

    if find_spec("sqlalchemy") is None:
        install = "pip install 'dqlite-python[sqlalchemy]'"
        pytest.fail(f"SQLAlchemy is missing: {install}", pytrace=False)
