"""What SQLAlchemy's pool and transactions do when the leader dies."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from dqlite_node import LocalCluster

ITEMS = sa.Table("items", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))


@pytest.fixture(scope="module")
def own_cluster():
    with LocalCluster(3) as cluster:
        yield cluster


@pytest.fixture
def kill_leader(own_cluster):
    """Kill the leader when called; the member is back when the test ends."""
    killed = []

    def kill():
        leader = own_cluster.wait_leader(20)
        killed.append(list(own_cluster.addresses).index(leader))
        own_cluster.kill(killed[-1])
        return leader

    yield kill
    for member in killed:
        own_cluster.restart(member)


@pytest.fixture
def make_items(own_cluster, url_for):
    engines = []

    def make(**options):
        engine = sa.create_engine(url_for(own_cluster.addresses), **options)
        engines.append(engine)
        ITEMS.metadata.create_all(engine)
        return engine

    yield make
    for engine in engines:
        engine.dispose()


def leader_of(connection):
    return connection.connection.dbapi_connection.server.address


def stored(engine):
    with engine.connect() as connection:
        return connection.scalars(sa.select(ITEMS.c.id).order_by(ITEMS.c.id)).all()


def test_an_open_transaction_is_lost_and_the_pool_emptied(make_items, kill_leader):
    engine = make_items()
    with engine.connect() as idle, engine.connect() as connection:
        idle.execute(sa.text("SELECT 1"))
        connection.execute(ITEMS.insert(), {"id": 1})
        dead = kill_leader()
        with pytest.raises(DBAPIError) as caught:
            connection.execute(ITEMS.insert(), {"id": 2})
        assert caught.value.connection_invalidated
        assert caught.value.orig.is_disconnect
        connection.rollback()
        connection.execute(ITEMS.insert(), {"id": 3})
        connection.commit()
        assert leader_of(connection) != dead
    assert stored(engine) == [3]


def test_pre_ping_hides_the_change(make_items, kill_leader):
    engine = make_items(pool_pre_ping=True)
    with engine.begin() as connection:
        connection.execute(ITEMS.insert(), {"id": 1})
    kill_leader()
    with engine.begin() as connection:
        connection.execute(ITEMS.insert(), {"id": 2})
    assert stored(engine) == [1, 2]


def test_every_pooled_connection_recovers(make_items, kill_leader):
    engine = make_items()
    connections = [engine.connect() for _ in range(4)]
    for connection in connections:
        connection.execute(sa.text("SELECT 1"))
        connection.close()
    kill_leader()
    failures = []
    for number in range(1, 5):
        for _ in range(2):
            try:
                with engine.begin() as connection:
                    connection.execute(ITEMS.insert(), {"id": number})
                break
            except DBAPIError as error:
                failures.append(error.orig)
    assert stored(engine) == [1, 2, 3, 4]
    assert all(failure.is_retryable for failure in failures)
