"""What the inspector says about tables made by the dialect."""

from __future__ import annotations

import pytest
import sqlalchemy as sa


@pytest.fixture
def metadata():
    metadata = sa.MetaData()
    sa.Table(
        "parents",
        metadata,
        sa.Column("area", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("active", sa.Boolean, server_default=sa.true()),
        sa.Column("born", sa.Date),
        sa.Column("seen", sa.DateTime, nullable=False),
        sa.Column("stamp", sa.TIMESTAMP, server_default=sa.func.current_timestamp()),
        sa.Column("double", sa.Integer, sa.Computed("number * 2")),
        sa.CheckConstraint("number > 0", name="ck_number"),
    )
    children = sa.Table(
        "children",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("area", sa.Integer),
        sa.Column("number", sa.Integer),
        sa.Column("name", sa.String(40)),
        sa.ForeignKeyConstraint(
            ["area", "number"],
            ["parents.area", "parents.number"],
            name="fk_parent",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("name", name="uq_name"),
    )
    sa.Index("ix_area", children.c.area, sqlite_where=children.c.area > 5)
    return metadata


@pytest.fixture
def inspector(db, metadata):
    metadata.create_all(db)
    with db.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW names AS SELECT name FROM children")
    return sa.inspect(db)


def test_tables_and_views(inspector):
    assert inspector.get_table_names() == ["children", "parents"]
    assert inspector.get_view_names() == ["names"]
    assert inspector.has_table("parents")
    assert not inspector.has_table("nothing")
    with pytest.raises(sa.exc.NoSuchTableError):
        inspector.get_columns("nothing")


def test_columns(inspector, metadata):
    columns = {column["name"]: column for column in inspector.get_columns("parents")}
    for made in metadata.tables["parents"].columns:
        found = columns[made.name]
        assert isinstance(found["type"], made.type.as_generic().__class__)
        assert found["nullable"] == made.nullable
    assert columns["active"]["default"] == "1"
    assert columns["stamp"]["default"] == "CURRENT_TIMESTAMP"
    assert columns["double"]["computed"]["sqltext"] == "number * 2"
    assert isinstance(columns["stamp"]["type"], sa.TIMESTAMP)


def test_keys_and_constraints(inspector):
    assert inspector.get_pk_constraint("parents")["constrained_columns"] == ["area", "number"]
    (key,) = inspector.get_foreign_keys("children")
    assert key["name"] == "fk_parent"
    assert key["referred_table"] == "parents"
    assert key["constrained_columns"] == key["referred_columns"] == ["area", "number"]
    assert key["options"] == {"ondelete": "CASCADE"}
    (unique,) = inspector.get_unique_constraints("children")
    assert (unique["name"], unique["column_names"]) == ("uq_name", ["name"])
    (check,) = inspector.get_check_constraints("parents")
    assert (check["name"], check["sqltext"]) == ("ck_number", "number > 0")


def test_indexes(inspector):
    (index,) = inspector.get_indexes("children")
    assert (index["name"], index["column_names"], index["unique"]) == ("ix_area", ["area"], 0)
    assert "area > 5" in str(index["dialect_options"]["sqlite_where"])


def test_reflected_tables_can_be_made_again(db, inspector, make_engine):
    reflected = sa.MetaData()
    reflected.reflect(db)
    for table in reversed(reflected.sorted_tables):
        table.drop(db)
    assert sa.inspect(db).get_table_names() == []
    reflected.create_all(db)
    assert set(sa.inspect(db).get_table_names()) == {"children", "parents"}


def test_temporary_tables(db):
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE mine (n INTEGER)")
        assert sa.inspect(connection).get_temp_table_names() == ["mine"]


CHECKED = """
CREATE TABLE checked (
    id INTEGER PRIMARY KEY,
    low INTEGER CHECK (low > 0),
    high INTEGER,
    "odd name" TEXT DEFAULT 'x, y',
    total INTEGER GENERATED ALWAYS AS (low + high) STORED,
    twice INTEGER GENERATED ALWAYS AS (low * 2) VIRTUAL,
    CONSTRAINT ck_order CHECK (low < high AND "odd name" <> '(')
)
"""


@pytest.fixture
def checked(db):
    with db.begin() as connection:
        connection.exec_driver_sql(CHECKED)
        connection.exec_driver_sql("CREATE INDEX ix_sum ON checked (low + high)")
        connection.exec_driver_sql("CREATE INDEX ix_part ON checked (low) WHERE high IS NOT NULL")
        connection.exec_driver_sql("CREATE UNIQUE INDEX uq_low ON checked (low DESC)")
    return sa.inspect(db)


def test_checks(checked):
    found = {check["name"]: check["sqltext"] for check in checked.get_check_constraints("checked")}
    assert found == {None: "low > 0", "ck_order": "low < high AND \"odd name\" <> '('"}


def test_generated_columns(checked):
    columns = {column["name"]: column for column in checked.get_columns("checked")}
    assert columns["total"]["computed"] == {"sqltext": "low + high", "persisted": True}
    assert columns["twice"]["computed"] == {"sqltext": "low * 2", "persisted": False}
    assert columns["odd name"]["default"] == "'x, y'"


def test_partial_indexes(checked):
    with pytest.warns(sa.exc.SAWarning):
        found = {index["name"]: index for index in checked.get_indexes("checked")}
    assert str(found["ix_part"]["dialect_options"]["sqlite_where"]) == "high IS NOT NULL"
    assert found["uq_low"]["unique"]
    assert "ix_sum" not in found or found["ix_sum"]["column_names"] == [None]


def test_table_options(db):
    made = sa.Table(
        "made",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.TEXT),
        dqlite_strict=True,
        dqlite_with_rowid=False,
    )
    made.create(db)
    options = sa.inspect(db).get_table_options("made")
    if sa.__version__ >= "2.1":
        assert options == {"sqlite_with_rowid": False, "sqlite_strict": True}
    with db.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.execute(made.insert(), {"id": "not a number"})


def test_a_table_is_reflected_with_all_of_it(db, checked):
    with pytest.warns(sa.exc.SAWarning):
        table = sa.Table("checked", sa.MetaData(), autoload_with=db)
    assert table.c.total.computed is not None
    assert {check.name for check in table.constraints if check.name} == {"ck_order"}
    with db.connect() as connection:
        connection.execute(table.insert(), {"low": 1, "high": 2})
        assert connection.execute(sa.select(table.c.total, table.c.twice)).one() == (3, 2)


def test_full_text_tables(db):
    documents = sa.table("documents", sa.column("title"), sa.column("body"))
    with db.begin() as connection:
        connection.exec_driver_sql("CREATE VIRTUAL TABLE documents USING fts5 (title, body)")
        rows = [{"title": "one", "body": "a quick fox"}, {"title": "two", "body": "a slow dog"}]
        connection.execute(documents.insert(), rows)
        match = sa.literal_column("documents").match("quick OR none")
        assert connection.scalars(sa.select(documents.c.title).where(match)).all() == ["one"]
    inspector = sa.inspect(db)
    assert "documents" in inspector.get_table_names()
    assert [column["name"] for column in inspector.get_columns("documents")] == ["title", "body"]
