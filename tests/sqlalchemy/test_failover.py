"""What SQLAlchemy's pool and transactions do when the leader dies."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, registry, sessionmaker

import dqlite_dbapi
from dqlite_node import LocalCluster
from sqlalchemy_dqlite import run_transaction
from tests.support import engines

ITEMS = sa.Table("items", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))


class Item:
    """Mapped to `items`."""


registry().map_imperatively(Item, ITEMS)


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
def make_items(own_cluster, url_for, scheme, create):
    def make(**options):
        engine = create(url_for(own_cluster.addresses, scheme), **options)
        ITEMS.metadata.create_all(engine)
        return engine

    return make


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


def test_savepoints_are_lost_with_their_transaction(make_items, kill_leader):
    engine = make_items()
    with engine.connect() as connection:
        connection.execute(ITEMS.insert(), {"id": 1})
        outer = connection.begin_nested()
        connection.execute(ITEMS.insert(), {"id": 2})
        inner = connection.begin_nested()
        kill_leader()
        with pytest.raises(DBAPIError):
            connection.execute(ITEMS.insert(), {"id": 3})
        inner.rollback()
        outer.rollback()
        connection.rollback()
        with connection.begin_nested():
            connection.execute(ITEMS.insert(), {"id": 4})
        connection.commit()
    assert stored(engine) == [4]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_savepoint_cannot_outlive_its_transaction(make_items, kill_leader, end):
    engine = make_items()
    with engine.connect() as connection:
        connection.execute(ITEMS.insert(), {"id": 1})
        lost = connection.begin_nested()
        connection.execute(ITEMS.insert(), {"id": 2})
        kill_leader()
        if end == "commit":
            with pytest.raises(DBAPIError) as caught:
                lost.commit()
            assert caught.value.orig.is_retryable
        else:
            with suppress(DBAPIError):
                lost.rollback()
        connection.rollback()
        kept = connection.begin_nested()
        connection.execute(ITEMS.insert(), {"id": 3})
        with connection.begin_nested() as undone:
            connection.execute(ITEMS.insert(), {"id": 4})
            undone.rollback()
        with connection.begin_nested():
            connection.execute(ITEMS.insert(), {"id": 5})
        kept.commit()
        connection.commit()
    assert stored(engine) == [3, 5]


def test_a_session_starts_again(make_items, kill_leader):
    engine = make_items()
    with Session(engine) as session:
        session.add(Item(id=1))
        session.flush()
        kill_leader()
        session.add(Item(id=2))
        with pytest.raises(DBAPIError):
            session.commit()
        session.rollback()
        session.add(Item(id=3))
        session.commit()
    assert stored(engine) == [3]


def test_run_transaction_under_load(own_cluster, url_for, kill_leader):
    engine = sa.create_engine(url_for(own_cluster.addresses), pool_size=4)
    ITEMS.metadata.create_all(engine)
    maker = sessionmaker(engine)
    is_over = threading.Event()
    done = []

    def work(first):
        for number in range(first, 10**9, 4):
            run_transaction(maker, lambda session, key=number: session.add(Item(id=key)))
            done.append(number)
            if is_over.is_set():
                return

    threads = [threading.Thread(target=work, args=(first,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    kill_leader()
    before = len(done)
    while len(done) < before + 20 and any(thread.is_alive() for thread in threads):
        time.sleep(0.05)
    is_over.set()
    for thread in threads:
        thread.join()
    assert stored(engine) == sorted(done)
    engine.dispose()


@pytest.fixture(scope="module")
def mixed_cluster():
    """Members of every engine at hand, three at least: some can do RETURNING, others cannot."""
    found = list(engines.at_hand().values())
    cluster = engines.mixed(*found, *found[-1:] * (3 - len(found)))
    cluster.start()
    yield cluster
    cluster.close()


@pytest.fixture
def lead(mixed_cluster):
    """Have a member lead, by its number."""
    client = dqlite_dbapi.Client(mixed_cluster.addresses)

    def transfer(number):
        address = mixed_cluster.addresses[number]
        if client.leader() != address:
            client.transfer(next(m.id for m in client.cluster() if m.address == address))
        while client.leader() != address:
            time.sleep(0.05)

    yield transfer
    client.close()


def add_three(session):
    items = [Item() for _ in range(3)]
    session.add_all(items)
    session.flush()
    keys = [item.id for item in items]
    moved = sa.update(Item).where(Item.id == keys[0]).values(id=keys[0] + 1000)
    session.execute(moved, execution_options={"synchronize_session": "fetch"})
    session.execute(sa.delete(Item).where(Item.id == keys[0] + 1000))
    return keys[1:]


@pytest.mark.parametrize("pre_ping", [True, False])
def test_returning_follows_the_leader(mixed_cluster, lead, url_for, scheme, create, pre_ping):
    engine = create(url_for(mixed_cluster.addresses, scheme), pool_pre_ping=pre_ping)
    lead(0)
    ITEMS.metadata.create_all(engine)
    added, failures = [], []
    turns = [*range(len(mixed_cluster.members)), 1, 0]
    for number in turns:
        lead(number)
        with dqlite_dbapi.connect(mixed_cluster.addresses, "probe") as probe:
            is_able = probe.server.flavour.returning != "refused"
        probe.close()
        for _ in range(2):
            try:
                with Session(engine) as session, session.begin():
                    keys = add_three(session)
                added += keys
            except DBAPIError as error:
                failures.append(error.orig)
        with engine.connect() as connection:
            assert connection.dialect.insert_returning is is_able
            assert connection.dialect is engine.dialect
    assert sorted(stored(engine)) == sorted(added)
    assert all(failure.is_retryable for failure in failures)
    assert len(failures) <= (0 if pre_ping else len(turns))
