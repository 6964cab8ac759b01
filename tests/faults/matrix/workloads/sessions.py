"""SQLAlchemy's ORM: orders with lines, taken out of a stock, by sessions of one engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
    sessionmaker,
)

from dqlite_node.pytest_plugin import url_of
from sqlalchemy_dqlite import run_transaction
from tests.faults.matrix.checkers import Findings
from tests.faults.matrix.checkers.orders import STOCK, check_orders
from tests.faults.matrix.workloads.base import Workload
from tests.faults.matrix.workloads.clients import PATIENCE, Target

T = TypeVar("T")
ITEMS = 4


class Base(DeclarativeBase):
    """The tables of this workload."""


class Item(Base):
    """What is left of a thing in stock."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    left: Mapped[int]


class Order(Base):
    """An order of a client, which has as many lines as `size` says."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    process: Mapped[int]
    number: Mapped[int]
    size: Mapped[int]
    lines: Mapped[list[Line]] = relationship()


class Line(Base):
    """One piece of an item."""

    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey("orders.id"))
    item_id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"))


class OrmClient:
    """What the dialect's guide recommends: functions of a session, repeated as a whole."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def transaction(self, function: Callable[[Session], T]) -> T:
        """Apply `function` exactly once, and return what it returned."""
        return run_transaction(self._sessions, function, deadline=PATIENCE)

    def close(self) -> None:
        """Do nothing: connections belong to the engine."""


class SessionsWorkload(Workload):
    """Each order is there once with all its lines, and stock and lines add up in every read."""

    name = "sessions"
    default_client = OrmClient

    def __init__(self, target: Target, **options: Any) -> None:
        super().__init__(target, **options)
        url = url_of(target.addresses, target.database)
        self._engine = sa.create_engine(url, connect_args=target.patient, pool_size=self.clients)
        self._sessions = sessionmaker(self._engine)

    def setup(self) -> None:
        """Make the tables and fill the stock."""
        Base.metadata.create_all(self._engine)
        stock = [Item(id=each, left=STOCK) for each in range(ITEMS)]
        run_transaction(self._sessions, lambda session: session.add_all(stock))

    def make_client(self) -> Any:
        """A client of the one engine."""
        return self._client_class(self._sessions)

    def stop(self) -> None:
        """Wait for the clients and close the engine's connections."""
        super().stop()
        self._engine.dispose()

    def step(self, process: int, client: Any, chance: random.Random) -> None:
        """Place an order, or read one of the client's own and add up the stock."""
        number = self.next_number(process)
        if chance.random() < 0.2:
            value: dict[str, Any] = {"left": None, "lines": None, "uneven": None}
            self.attempt(process, "read", value, lambda: value.update(client.transaction(_add_up)))
            return
        things = [chance.randrange(ITEMS) for _ in range(chance.randint(1, 4))]

        def place(session: Session) -> None:
            lines = [Line(item_id=each) for each in things]
            session.add(Order(process=process, number=number, size=len(things), lines=lines))
            for each in things:
                item = session.get_one(Item, each)
                item.left -= 1

        add = [process, number, len(things)]
        self.attempt(process, "add", add, lambda: client.transaction(place))

    def judge(self) -> Findings:
        """Compare with the orders, lines and stock in the end."""
        orders = self.stored(
            "SELECT process, number, size, (SELECT count(*) FROM lines WHERE order_id = orders.id)"
            " FROM orders"
        )
        [(left, lines)] = self.stored(
            "SELECT (SELECT sum(left) FROM items), (SELECT count(*) FROM lines)"
        )
        return check_orders(self.history.operations, orders, left + lines, ITEMS * STOCK)


def _add_up(session: Session) -> dict[str, int]:
    """What is left, the number of lines, and how many of the latest orders lack some."""
    latest = sa.select(Order).order_by(Order.id.desc()).limit(5).options(selectinload(Order.lines))
    return {
        "left": session.scalars(sa.select(sa.func.sum(Item.left))).one(),
        "lines": session.scalars(sa.select(sa.func.count(Line.id))).one(),
        "uneven": sum(len(order.lines) != order.size for order in session.scalars(latest)),
    }
