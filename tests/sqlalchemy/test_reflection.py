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
def inspector(engine, metadata):
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW names AS SELECT name FROM children")
    return sa.inspect(engine)


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


def test_reflected_tables_can_be_made_again(engine, inspector, make_engine):
    reflected = sa.MetaData()
    reflected.reflect(engine)
    for table in reversed(reflected.sorted_tables):
        table.drop(engine)
    assert sa.inspect(engine).get_table_names() == []
    reflected.create_all(engine)
    assert set(sa.inspect(engine).get_table_names()) == {"children", "parents"}


def test_temporary_tables(engine):
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE mine (n INTEGER)")
        assert sa.inspect(connection).get_temp_table_names() == ["mine"]
