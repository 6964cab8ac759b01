"""A catalogue of books on three machines, each with a copy of the data: see README.md."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from models import Book
from pydantic import BaseModel
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from dqlite_node import App
from sqlalchemy_dqlite import run_transaction

sessions = sessionmaker()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Be a member of the cluster for as long as the service runs."""
    addresses = os.environ["CLUSTER"].split(",")
    with App(os.environ["DATA_DIR"], os.environ["ADDRESS"], addresses) as member:
        member.ready()
        engine = member.engine("catalogue")
        migrate(engine)
        sessions.configure(bind=engine)
        yield {"member": member}
        engine.dispose()


def migrate(engine: Engine) -> None:
    """Bring the schema up to date; of instances that start together one does it, the rest wait."""
    config = Config(Path(__file__).with_name("alembic.ini"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


app = FastAPI(title="Catalogue", lifespan=lifespan)


class Entry(BaseModel):
    """A book as clients see it."""

    title: str
    author: str


@app.put("/books/{isbn}", status_code=204)
def put(isbn: str, entry: Entry) -> None:
    """Add a book or replace it. Clients may repeat it when an instance dies on them."""

    def work(session: Session) -> None:
        session.merge(Book(isbn=isbn, **entry.model_dump()))

    run_transaction(sessions, work)


@app.get("/books/{isbn}")
def get(isbn: str) -> Entry:
    """Show one book."""

    def work(session: Session) -> Entry | None:
        book = session.get(Book, isbn)
        return Entry(title=book.title, author=book.author) if book else None

    entry = run_transaction(sessions, work, exactly_once=False, begin="deferred")
    if entry is None:
        raise HTTPException(404)
    return entry


@app.get("/books")
def catalogue() -> list[str]:
    """List all ISBNs."""

    def work(session: Session) -> list[str]:
        return list(session.scalars(select(Book.isbn).order_by(Book.isbn)))

    return run_transaction(sessions, work, exactly_once=False, begin="deferred")


@app.get("/members")
def members(request: Request) -> dict[str, str]:
    """Role of each member, as this instance saw it last."""
    member: App = request.state.member
    return {each.address: each.role_name for each in member.members}


@app.exception_handler(OperationalError)
def unavailable(_request: Request, error: OperationalError) -> JSONResponse:
    """Tell the client to come again: for a minute there was no majority."""
    return JSONResponse({"detail": str(error.orig)}, 503, {"Retry-After": "5"})
