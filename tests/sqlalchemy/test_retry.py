"""`run_transaction` on engines and sessionmakers, blocking and asyncio by one body."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker
from sqlalchemy.util.concurrency import await_only

import dqlite_dbapi
from sqlalchemy_dqlite import run_transaction
from tests.support.swallow import SwallowingProxy


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


@pytest.fixture
def create(scheme):
    """Make engines that are still asyncio's where the dialect is."""
    engines = []

    def make(url, **options):
        maker = create_async_engine if "aio" in scheme else sa.create_engine
        engines.append(maker(url, **options))
        return engines[-1]

    yield make
    for each in engines:
        getattr(each, "sync_engine", each).dispose()


@pytest.fixture
def proxy(single):
    with SwallowingProxy(single.addresses[0]) as proxy:
        yield proxy


@pytest.fixture
def bind(create, url_for, scheme, proxy):
    """An engine whose connections go through the proxy, with the table made."""
    engine = create(
        url_for([proxy.address], scheme) + "?connect_timeout=0.7&timeout=0.7&busy_timeout=0.05"
    )
    Base.metadata.create_all(getattr(engine, "sync_engine", engine))
    return engine


@pytest.fixture(params=["engine", "sessions"])
def target(request, bind):
    if request.param == "engine":
        return bind
    return async_sessionmaker(bind) if isinstance(bind, AsyncEngine) else sessionmaker(bind)


@pytest.fixture
def run(target):
    """`run_transaction` of a blocking function on either kind of target."""
    is_async = isinstance(target, AsyncEngine | async_sessionmaker)

    def run(function, **bounds):
        if not is_async:
            return run_transaction(target, function, **bounds)

        async def awaited(given):
            return await given.run_sync(function)

        return await_only(run_transaction(target, awaited, **bounds))

    return run


def add(name):
    """Work for either target: a row, and the number of rows then."""

    def work(given):
        if hasattr(given, "add"):
            given.add(Item(name=name))
            given.flush()
        else:
            given.execute(sa.insert(Item), {"name": name})
        return given.scalar(sa.select(sa.func.count(Item.id)))

    return work


@pytest.fixture
def stored(bind):
    """Names that were committed."""

    def names():
        with getattr(bind, "sync_engine", bind).connect() as connection:
            return connection.scalars(sa.select(Item.name).order_by(Item.id)).all()

    return names


def test_commits_and_returns(run, stored):
    assert run(add("a")) == 1
    assert run(add("b")) == 2
    assert stored() == ["a", "b"]


@pytest.mark.parametrize("mishap", ["request", "answer"])
def test_a_lost_commit_is_settled(run, stored, proxy, mishap):
    calls, told = [], []
    work = add("once")

    def counted(given):
        calls.append(1)
        return work(given)

    proxy.mishaps.append(mishap)
    assert run(counted, on_retry=lambda error, failures: told.append(failures)) == 1
    assert stored() == ["once"]
    assert len(calls) == (2 if mishap == "request" else 1)
    assert len(told) == len(calls) - 1


def test_without_a_token_the_error_is_raised(run, proxy):
    proxy.mishaps.append("answer")
    with pytest.raises(OperationalError) as caught:
        run(add("x"), exactly_once=False)
    assert caught.value.orig.is_ambiguous


def test_what_cannot_be_settled_has_a_token(run, proxy, stored, database):
    def cut():
        proxy.is_cut = True

    proxy.mishaps.append(cut)
    with pytest.raises(OperationalError) as caught:
        run(add("x"), deadline=0.3)
    unknown = caught.value.orig
    assert unknown.is_ambiguous
    proxy.is_cut = False
    applied = stored() == ["x"]
    with dqlite_dbapi.connect(proxy.address, database) as connection:
        assert dqlite_dbapi.was_applied(connection, unknown.token) is applied
    connection.close()


def test_an_error_of_ones_own_rolls_back(run, stored):
    def work(given):
        add("x")(given)
        raise KeyError("mine")

    with pytest.raises(KeyError):
        run(work)
    assert stored() == []


def test_an_integrity_error_is_not_repeated(run, stored):
    run(add("x"))
    calls = []

    def work(given):
        calls.append(1)
        add("x")(given)

    with pytest.raises(IntegrityError):
        run(work)
    assert (len(calls), stored()) == (1, ["x"])


def test_bounds(run, url_for, single):
    locker = sa.create_engine(url_for(single.addresses))
    told = []
    with locker.connect().execution_options(dqlite_begin="immediate") as connection:
        connection.execute(sa.text("SELECT 1"))
        for bounds in ({"retries": 2}, {"deadline": 0.4}):
            with pytest.raises(OperationalError) as caught:
                run(add("x"), on_retry=lambda error, failures: told.append(failures), **bounds)
            assert caught.value.orig.is_retryable
    assert told[:3] == [1, 2, 1]
    locker.dispose()


def test_pauses_leave_the_application_its_random_numbers(run, proxy):
    before = random.getstate()
    proxy.mishaps.append("request")
    run(add("x"))
    assert random.getstate() == before


@pytest.mark.parametrize("bounds", [{"retries": -1}, {"deadline": 0}, {"begin": "later"}])
def test_bounds_that_make_no_sense(run, bounds):
    with pytest.raises(ArgumentError):
        run(add("x"), **bounds)


def test_read_modify_write_of_many(single, url_for):
    engine = sa.create_engine(url_for(single.addresses))
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Item), {"id": 1, "name": "0"})

    def count_up(session):
        item = session.get(Item, 1)
        item.name = str(int(item.name) + 1)

    maker = scoped_session(sessionmaker(engine))
    threads = [
        threading.Thread(target=lambda: [run_transaction(maker, count_up) for _ in range(5)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.scalar(sa.select(Item.name)) == "20"
    engine.dispose()


def test_other_back_ends_get_a_plain_transaction():
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    Base.metadata.create_all(engine)
    assert run_transaction(engine, add("a")) == 1
    assert run_transaction(sessionmaker(engine), add("b")) == 2
    with pytest.raises(DBAPIError):
        run_transaction(engine, lambda connection: connection.execute(sa.text("nonsense")))
    engine.dispose()


def test_only_engines_and_sessionmakers():
    with pytest.raises(ArgumentError):
        run_transaction(object(), print)


def test_a_cancelled_task_knows_its_token(single, database, url_for):
    async def main():
        with SwallowingProxy(single.addresses[0]) as proxy:
            engine = create_async_engine(url_for([proxy.address], "dqlite+aio"))
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)

            async def work(connection):
                await connection.execute(sa.insert(Item), {"name": "x"})

            reached = asyncio.Event()
            loop = asyncio.get_running_loop()
            proxy.mishaps.append(lambda: loop.call_soon_threadsafe(reached.set))
            task = asyncio.ensure_future(run_transaction(engine, work))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            await engine.dispose()
            return caught.value

    token = asyncio.run(main()).__cause__.token
    with dqlite_dbapi.connect(single.addresses, database) as connection:
        assert dqlite_dbapi.was_applied(connection, token)
    connection.close()
