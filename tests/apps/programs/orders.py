"""FastAPI on a cluster: each request is a transaction, run again when the leader changes."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import create_engine, func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from sqlalchemy_dqlite import run_transaction


class Base(DeclarativeBase):
    """Holds the tables."""


class Order(Base):
    """What was ordered; nothing in the schema forbids to have it twice."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    client: Mapped[int]
    number: Mapped[int]


class Account(Base):
    """Orders that were counted when they came."""

    __tablename__ = "accounts"
    client: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[int] = mapped_column(default=0)


class OrderIn(BaseModel):
    """What a client sends."""

    client: int
    number: int


def get_state(request: Request) -> Any:
    """Lend what the application holds."""
    return request.app.state


StateDep = Annotated[Any, Depends(get_state)]
COUNT = select(func.count()).select_from(Order)

blocking, waiting = APIRouter(), APIRouter()


@blocking.post("/orders", status_code=201)
def add(order: OrderIn, state: StateDep) -> int:
    """Add an order, count it, and return its number in the table."""

    def work(session: Any) -> int:
        row = Order(**order.model_dump())
        session.add(row)
        account = session.get(Account, order.client) or Account(client=order.client, orders=0)
        account.orders += 1
        session.add(account)
        session.flush()
        return row.id

    return run_transaction(state.maker, work, on_retry=state.told)


@blocking.get("/orders/{client}")
def count(client: int, state: StateDep) -> int:
    """How many orders a client has."""
    query = COUNT.where(Order.client == client)
    return run_transaction(
        state.maker, lambda session: session.scalar(query), exactly_once=False, begin="deferred"
    )


@waiting.post("/orders", status_code=201)
async def add_aio(order: OrderIn, state: StateDep) -> int:
    """The same with asyncio."""

    async def work(session: Any) -> int:
        row = Order(**order.model_dump())
        session.add(row)
        account = await session.get(Account, order.client)
        account = account or Account(client=order.client, orders=0)
        account.orders += 1
        session.add(account)
        await session.flush()
        return row.id

    return await run_transaction(state.maker, work, on_retry=state.told)


@waiting.get("/orders/{client}")
async def count_aio(client: int, state: StateDep) -> int:
    """The same with asyncio."""
    query = COUNT.where(Order.client == client)
    return await run_transaction(
        state.maker, lambda session: session.scalar(query), exactly_once=False, begin="deferred"
    )


def create_app(url: str) -> FastAPI:
    """Make the application, with asyncio if the URL's driver is."""
    is_aio = "aio" in url.partition(":")[0]
    retries = Counter[str]()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.retries = retries
        app.state.told = lambda error, failures: retries.update([type(error.orig).__name__])
        engine: Any = create_async_engine(url) if is_aio else create_engine(url)
        if is_aio:
            app.state.maker = async_sessionmaker(engine)
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
        else:
            app.state.maker = sessionmaker(engine)
            Base.metadata.create_all(engine)
        yield
        if is_aio:
            await engine.dispose()
        else:
            engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.include_router(waiting if is_aio else blocking)
    return app
