"""SQLAlchemy on three drivers. Usage: alchemy.py driver|peer|sqlite3 ADDRESSES DATABASE."""

from __future__ import annotations

import sys
from typing import Any

import harness
import sqlalchemy as sa
from harness import Reply, once
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """Of the two mapped tables."""


class Thing(Base):
    """What is inserted; the server gives the key."""

    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[float]
    stock: Mapped[int]


class Big(Base):
    """What is read."""

    __tablename__ = "big"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[float]
    stock: Mapped[int]


def values(count: int) -> list[dict[str, Any]]:
    """Columns of `count` rows of `thing`, without keys."""
    return [{"name": f"item number {i}", "price": i * 0.5, "stock": i % 100} for i in range(count)]


class Contestant:
    """One engine, and an operation a method; every operation is one transaction."""

    def __init__(self, kind: str, addresses: list[str], database: str) -> None:
        if kind == "sqlite3":
            self._engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
        else:
            self._engine = sa.create_engine(f"dqlite://{addresses[0]}/{database}")
        self._is_local = kind == "sqlite3"

    def prepare(self, n: int, m: int) -> Reply:
        """Make the tables where they are this process's own: `n` rows, a blob of `m` bytes."""
        with self._engine.begin() as connection:
            for sql in harness.tables(n, m) if self._is_local else ():
                connection.exec_driver_sql(sql)
        return {}

    def select1(self, n: int, _: int) -> Reply:
        """SELECT 1 on a connection that stays checked out."""
        with self._engine.connect() as connection:
            query = sa.text("SELECT 1")
            return harness.repeat(lambda: connection.execute(query).all(), n)

    def core_select(self, n: int, _: int) -> Reply:
        """Select `n` rows of `big` with Core, into a list."""
        table = Big.__table__

        def select() -> None:
            with self._engine.connect() as connection:
                assert len(connection.execute(sa.select(table).limit(n)).all()) == n

        return once(select, n)

    def core_insert(self, n: int, _: int) -> Reply:
        """Insert `n` rows into `thing` with Core: one call, a list of dictionaries."""
        rows = values(n)

        def insert() -> None:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(Thing), rows)

        return once(insert, n)

    def orm_insert(self, n: int, _: int) -> Reply:
        """Add `n` objects whose keys the server gives, flush and commit."""
        things = [Thing(**each) for each in values(n)]

        def flush() -> None:
            with Session(self._engine) as session:
                session.add_all(things)
                session.commit()

        return once(flush, n)

    def orm_load(self, n: int, _: int) -> Reply:
        """Load `n` objects into a new session."""

        def load() -> None:
            with Session(self._engine) as session:
                assert len(session.scalars(sa.select(Big).limit(n)).all()) == n

        return once(load, n)

    def reflect(self, n: int, _: int) -> Reply:
        """Reflect the whole schema: `n` tables of 3 columns with a foreign key and an index."""
        with self._engine.begin() as connection:
            for i in range(n):
                connection.exec_driver_sql(
                    f"CREATE TABLE IF NOT EXISTS t{i} (id INTEGER PRIMARY KEY, name TEXT, "
                    f"thing INTEGER REFERENCES thing (id))"
                )
                connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS i{i} ON t{i} (name)")
        schema = sa.MetaData()
        reply = once(lambda: schema.reflect(self._engine), n)
        assert len(schema.tables) >= n
        return reply


if __name__ == "__main__":
    harness.serve(Contestant(sys.argv[1], sys.argv[2].split(","), sys.argv[3]))
