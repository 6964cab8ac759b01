"""What only `create_async_engine` has: sessions, streams, cancelled tasks, event loops."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, selectinload

import dqlite_dbapi.aio


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list[Book]] = sa.orm.relationship(cascade="all")


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id"))


#: Keeps the member busy for a moment, and so it must not be one of several, which would elect anew.
SLOW = sa.text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)"
    " SELECT max(i) FROM n"
)


@pytest.fixture(params=["dqlite+aio", "sqlite+aiodqlite"])
def run(request, single, url_for):
    """Run `test(engine)` on a loop of its own, with the tables made."""

    def run(test, **options):
        async def main():
            engine = create_async_engine(url_for(single.addresses, request.param), **options)
            try:
                async with engine.begin() as connection:
                    await connection.run_sync(Base.metadata.create_all)
                return await test(engine)
            finally:
                await engine.dispose()

        return asyncio.run(main())

    return run


def test_sessions(run):
    async def test(engine):
        async with AsyncSession(engine) as session, session.begin():
            session.add(Author(name="Lem", books=[Book(title="Solaris"), Book(title="Eden")]))
        async with AsyncSession(engine) as session:
            query = sa.select(Author).options(selectinload(Author.books))
            author = (await session.scalars(query)).one()
            assert [book.title for book in author.books] == ["Solaris", "Eden"]
            await session.delete(author)
            await session.commit()
            assert await session.scalar(sa.select(sa.func.count(Book.id))) == 0

    run(test)


def test_streams(run):
    async def test(engine):
        async with engine.begin() as connection:
            rows = [{"name": "x" * 50} for _ in range(2000)]
            await connection.execute(sa.insert(Author), rows)
        async with engine.connect() as connection:
            count = 0
            async with connection.stream(sa.select(Author.id)) as result:
                async for _ in result:
                    count += 1
            assert count == 2000
            async with connection.stream(sa.select(Author.id)) as result:
                assert await result.fetchone() == (1,)
            assert await connection.scalar(sa.select(sa.func.count(Author.id))) == 2000

    run(test)


def test_many_tasks_share_the_pool(run):
    async def test(engine):
        async def add(number):
            async with engine.begin() as connection:
                await connection.execute(sa.insert(Author), {"name": str(number)})

        await asyncio.gather(*(add(number) for number in range(20)))
        async with engine.connect() as connection:
            names = (await connection.scalars(sa.select(Author.name))).all()
        assert sorted(names, key=int) == [str(number) for number in range(20)]

    run(test, pool_size=3)


def test_a_cancelled_task_gives_up_its_connection(run):
    async def test(engine):
        async def work():
            async with engine.begin() as connection:
                await connection.execute(sa.insert(Author), {"name": "never"})
                await connection.execute(SLOW)

        for _ in range(3):
            task = asyncio.ensure_future(work())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert engine.pool.checkedout() == 0
        async with engine.begin() as connection:
            await connection.execute(sa.insert(Author), {"name": "next"})
            assert (await connection.scalars(sa.select(Author.name))).all() == ["next"]

    run(test, pool_size=1, max_overflow=0)


def test_a_timeout_gives_up_the_connection(run):
    async def test(engine):
        async with engine.connect() as connection:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.execute(SLOW), 0.05)
        async with engine.connect() as connection:
            assert await connection.scalar(sa.text("SELECT 1")) == 1

    run(test, pool_size=1, max_overflow=0)


def test_the_driver_connection(run):
    async def test(engine):
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver = raw.driver_connection
            assert isinstance(driver, dqlite_dbapi.aio.AsyncConnection)
            cursor = await driver.execute("SELECT 1")
            assert await cursor.fetchall() == [(1,)]

    run(test)


def test_a_creator_of_ones_own(run, single, database):
    async def test(_):
        async def connect():
            return await dqlite_dbapi.aio.connect(single.addresses, database)

        engine = create_async_engine("dqlite+aio://", async_creator=connect)
        async with engine.connect() as connection:
            assert await connection.scalar(sa.text("SELECT 42")) == 42
        await engine.dispose()

    run(test)


def test_a_connection_left_to_the_collector_is_dropped(run):
    async def test(engine):
        connection = await engine.raw_connection()
        driver = connection.driver_connection
        connection.dbapi_connection.terminate()
        assert driver.closed
        connection.invalidate()

    run(test)
