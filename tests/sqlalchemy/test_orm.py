"""The unit of work: single rows, bulk, relationships."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list[Book]] = relationship(back_populates="author", cascade="all")


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    added: Mapped[datetime] = mapped_column(server_default=sa.func.current_timestamp())
    lent: Mapped[bool | None]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="books")


class Ticket(Base):
    """Without RETURNING, whatever the db can do."""

    __tablename__ = "tickets"
    __table_args__ = {"implicit_returning": False}  # noqa: RUF012 - SQLAlchemy's own idiom
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
def session(db):
    Base.metadata.create_all(db)
    with Session(db) as session:
        yield session


def test_create_read_update_delete(session):
    session.add(Author(name="Lem", books=[Book(title="Solaris"), Book(title="Eden", lent=True)]))
    session.commit()
    author = session.scalars(sa.select(Author).where(Author.name == "Lem")).one()
    solaris, eden = author.books
    assert (solaris.lent, eden.lent) == (None, True)
    assert isinstance(solaris.added, datetime)
    eden.lent = False
    session.commit()
    assert session.scalars(sa.select(Book.lent).order_by(Book.id)).all() == [None, False]
    session.delete(author)
    session.commit()
    assert session.scalar(sa.select(sa.func.count(Book.id))) == 0


@pytest.mark.parametrize("kind", [Author, Ticket])
def test_bulk_add_knows_its_keys(session, kind):
    rows = [kind(name=f"row {number}") for number in range(300)]
    session.add_all(rows)
    session.flush()
    keys = [row.id for row in rows]
    assert len(set(keys)) == 300
    session.commit()
    stored = session.execute(sa.select(kind.id, kind.name)).all()
    assert {(row.id, row.name) for row in rows} == {tuple(row) for row in stored}


@pytest.fixture
def statements(db):
    """Texts of the INSERT statements that the engine has sent."""
    sent = []

    @sa.event.listens_for(db, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith("INSERT"):
            sent.append(statement)

    return sent


def test_a_flush_of_many_rows_is_few_statements(db, session, statements):
    rows = [Author(name=f"row {number}") for number in range(1000)]
    session.add_all(rows)
    session.flush()
    if db.dialect.insert_executemany_returning:
        limit = db.dialect.insertmanyvalues_max_parameters
        assert len(statements) == -(-len(rows) // min(limit, 1000))
    keys = [row.id for row in rows]
    assert keys == sorted(set(keys))
    stored = session.execute(sa.select(Author.id, Author.name)).all()
    assert [(row.id, row.name) for row in rows] == [tuple(row) for row in stored]


@pytest.mark.parametrize("known_keys", [True, False])
def test_inserts_without_returning_are_few_statements(session, statements, known_keys):
    rows = [{"name": f"row {number}"} for number in range(500)]
    if known_keys:
        session.add_all(Ticket(id=number, **row) for number, row in enumerate(rows, 1))
        session.flush()
    else:
        session.execute(sa.insert(Ticket), rows)
    assert len(statements) <= 4
    assert session.scalar(sa.select(sa.func.count(Ticket.id))) == 500


def test_keys_made_by_chance_are_not_given_to_the_wrong_rows(db, session):
    session.add(Author(id=2**63 - 1, name="the largest key"))
    session.flush()
    if not db.dialect.insert_executemany_returning:
        return
    several = [Author(name=f"row {number}") for number in range(20)]
    session.add_all(several)
    with pytest.raises(sa.exc.InvalidRequestError):
        session.flush()
    session.rollback()
    session.connection(execution_options={"insertmanyvalues_page_size": 1})
    session.add(Author(id=2**63 - 1, name="the largest key"))
    session.flush()
    session.add_all([Author(name=f"row {number}") for number in range(20)])
    session.flush()
    assert session.scalar(sa.select(sa.func.count(Author.id))) == 21


def test_rollback_forgets_the_unit_of_work(session):
    session.add(Author(name="Lem"))
    session.flush()
    session.rollback()
    assert session.scalar(sa.select(sa.func.count(Author.id))) == 0


def test_server_defaults_are_fetched(session):
    book = Book(title="Fiasco", author=Author(name="Lem"))
    session.add(book)
    session.flush()
    assert isinstance(book.added, datetime)


def test_streaming_many_rows(session):
    session.execute(sa.insert(Ticket), [{"name": "x" * 50} for _ in range(2000)])
    session.commit()
    result = session.scalars(sa.select(Ticket.id).execution_options(yield_per=100))
    assert sum(1 for _ in result) == 2000
