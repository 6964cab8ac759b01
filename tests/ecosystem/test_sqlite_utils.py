"""sqlite-utils on a connection of ours that controls transactions as `sqlite3` does by default."""

from __future__ import annotations

import pytest

from dqlite_dbapi import LEGACY_TRANSACTION_CONTROL
from tests.support.components import need

DOGS = [{"id": number, "name": f"dog {number}", "age": number / 2} for number in range(1, 51)]


@pytest.fixture
def library():
    return need("sqlite_utils", "'sqlite-utils>=4.2'")


@pytest.fixture
def db(library, connect):
    return library.Database(connect(autocommit=LEGACY_TRANSACTION_CONTROL))


@pytest.fixture
def dogs(db):
    table = db["dogs"]
    table.create({"id": int, "name": str, "age": float}, pk="id")
    table.insert_all(DOGS)
    return table


@pytest.fixture
def elsewhere(connect, dogs):
    """Another connection, which sees only what was committed."""
    other = connect()
    return lambda sql: other.execute(sql).fetchall()


def test_rows_are_committed(db, dogs, elsewhere):
    assert dogs.count == len(DOGS)
    assert elsewhere("SELECT count(*) FROM dogs") == [(len(DOGS),)]
    assert not db.conn.in_transaction


def test_schema(db, dogs):
    assert db.table_names() == ["dogs"]
    assert [(column.name, column.type, column.is_pk) for column in dogs.columns] == [
        ("id", "INTEGER", 1),
        ("name", "TEXT", 0),
        ("age", "REAL", 0),
    ]
    assert db.schema.startswith('CREATE TABLE "dogs"')
    dogs.create_index(["name"])
    assert [index.columns for index in dogs.indexes] == [["name"]]
    assert db.sqlite_version >= (3, 37)
    assert db.journal_mode == "wal"
    assert db.supports_strict


def test_upsert_update_delete(dogs, elsewhere):
    dogs.upsert({"id": 3, "name": "Cleo"}, pk="id")
    dogs.upsert_all([{"id": 60, "name": "Pancakes"}, {"id": 4, "name": "Marnie"}], pk="id")
    dogs.update(5, {"name": "Azi"})
    dogs.delete(6)
    dogs.delete_where("id between ? and ?", [7, 40])
    assert dogs.get(3) == {"id": 3, "name": "Cleo", "age": 1.5}
    assert elsewhere("SELECT id, name FROM dogs WHERE id < 8") == [
        *((1, "dog 1"), (2, "dog 2"), (3, "Cleo"), (4, "Marnie"), (5, "Azi"))
    ]
    assert elsewhere("SELECT count(*) FROM dogs") == [(16,)]


def test_queries(db, dogs):
    assert [row["id"] for row in dogs.rows_where("age > :age", {"age": 24})] == [49, 50]
    assert list(db.query("SELECT count(*) AS n FROM dogs WHERE id < ?", [4])) == [{"n": 3}]
    assert not db.conn.in_transaction
    with pytest.raises(ValueError, match="rows"):
        db.query("UPDATE dogs SET name = 'gone'")
    assert dogs.get(1)["name"] == "dog 1"


def test_full_text_search(dogs):
    dogs.enable_fts(["name"], create_triggers=True)
    dogs.insert({"id": 99, "name": "pancakes the corgi"})
    assert [row["id"] for row in dogs.search("corgi")] == [99]
    dogs.disable_fts()


def test_transform(db, dogs, elsewhere):
    dogs.transform(rename={"age": "years"}, not_null={"name"}, drop={"nothing"})
    assert [column.name for column in dogs.columns] == ["id", "name", "years"]
    assert elsewhere("SELECT name, years FROM dogs WHERE id = 2") == [("dog 2", 1.0)]


def test_foreign_keys_and_extract(db, elsewhere):
    trees = db["trees"]
    trees.insert_all([{"id": 1, "species": "oak"}, {"id": 2, "species": "elm"}], pk="id")
    trees.extract("species")
    assert [key.other_table for key in trees.foreign_keys] == ["species"]
    assert elsewhere("SELECT species FROM species ORDER BY id") == [("oak",), ("elm",)]
    assert db["species"].lookup({"species": "oak"}) == 1


def test_atomic_blocks(db, dogs, elsewhere):
    def fail():
        with db.atomic():
            dogs.insert({"id": 70, "name": "lost"})
            with db.atomic():
                dogs.insert({"id": 71, "name": "lost too"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with db.atomic():
        dogs.insert({"id": 72, "name": "kept"})
    assert elsewhere("SELECT id FROM dogs WHERE id >= 70") == [(72,)]


def test_dump(db, dogs):
    lines = list(db.iterdump())
    assert (lines[0], lines[-1]) == ("BEGIN TRANSACTION;", "COMMIT;")
    assert sum(line.startswith('INSERT INTO "dogs"') for line in lines) == len(DOGS)


def test_other_kinds_of_control_are_refused_by_the_library(library, connect):
    for mode in (False, True):
        with pytest.raises(library.db.TransactionError):
            library.Database(connect(autocommit=mode))
