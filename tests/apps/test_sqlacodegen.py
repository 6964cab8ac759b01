"""sqlacodegen reads a schema from the cluster and writes models that work on it."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.support.components import need

metadata = sa.MetaData()
shelf = sa.Table(
    "shelf",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), nullable=False, unique=True),
    sa.Column("made", sa.DateTime, server_default=sa.func.current_timestamp()),
    sa.Column("is_full", sa.Boolean),
    sa.Column("extra", sa.JSON),
    sa.CheckConstraint("length(name) > 1", name="named"),
)
book = sa.Table(
    "book",
    metadata,
    sa.Column("isbn", sa.String(13), primary_key=True),
    sa.Column("price", sa.Numeric(8, 2)),
    sa.Column("kind", sa.Enum("novel", "poem", name="kinds", create_constraint=True)),
    sa.Column("shelf_id", sa.ForeignKey("shelf.id", ondelete="CASCADE"), index=True),
    sa.Column("day", sa.Date),
)
tag = sa.Table(
    "book_tag",
    metadata,
    sa.Column("isbn", sa.ForeignKey("book.isbn"), primary_key=True),
    sa.Column("shelf", sa.ForeignKey("shelf.id"), primary_key=True),
)


@pytest.fixture
def made_engine(url):
    engine = sa.create_engine(url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def generate(url, database, made_engine, tmp_path, monkeypatch):
    """Run the tool as a user does, and the module that it wrote."""
    need("sqlacodegen", "'sqlacodegen>=4.0'")

    def run(generator, *options):
        command = [sys.executable, "-m", "sqlacodegen", "--generator", generator, *options, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        name = f"generated_{database}"
        (tmp_path / f"{name}.py").write_text(done.stdout, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(name)

    return run


def assert_same_schema(copy, dialect):
    """Compare what was generated with what the tables were made of."""
    assert set(copy.tables) == set(metadata.tables)
    for name, table in metadata.tables.items():
        one, two = (
            {
                "types": [column.type.compile(dialect) for column in each.columns],
                "nullable": [column.nullable for column in each.columns],
                "parents": {key.target_fullname for key in each.foreign_keys},
                "indexes": {index.name for index in each.indexes},
                "actions": {key.ondelete for key in each.foreign_keys},
            }
            for each in (table, copy.tables[name])
        )
        assert one == two
    assert "named" in {each.name for each in copy.tables["shelf"].constraints}


def test_tables(generate, made_engine):
    assert_same_schema(generate("tables").metadata, made_engine.dialect)


def test_models_work(generate, made_engine):
    made = generate("declarative")
    assert_same_schema(made.Base.metadata, made_engine.dialect)
    with Session(made_engine) as session:
        shelf = made.Shelf(name="top", extra={"a": [1]})
        shelf.book = [made.Book(isbn="1", kind="novel", price=2), made.Book(isbn="2")]
        session.add(shelf)
        session.commit()
    with Session(made_engine) as session:
        stored = session.scalars(sa.select(made.Shelf)).one()
        assert (stored.is_full, stored.extra, stored.made.year > 2000) == (None, {"a": [1]}, True)
        assert [str(one.price) for one in stored.book] == ["2.00", "None"]
