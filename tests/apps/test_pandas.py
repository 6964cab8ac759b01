"""pandas reads and writes through a URL, an engine and a connection inside a transaction."""

from __future__ import annotations

import datetime

import pytest
import sqlalchemy as sa

from tests.support.components import need


@pytest.fixture
def pandas():
    return need("pandas", "'pandas>=2.2'")


@pytest.fixture
def frame(pandas):
    """Every kind of column, and a gap in most of them."""
    return pandas.DataFrame(
        {
            "number": [1, 2, 3],
            "name": ["a", "ü", None],
            "share": [0.5, None, 2.0],
            "at": pandas.to_datetime(["2026-11-24 10:00", "2026-11-25 00:00", None]),
            "day": [datetime.date(2026, 11, 24)] * 3,
            "flag": [True, False, True],
            "maybe": [True, None, False],
            "data": [b"x", b"\0", b""],
        }
    )


@pytest.fixture
def made_engine(url):
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def file_engine(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'file.db'}")
    yield engine
    engine.dispose()


def test_a_frame_comes_back_as_from_a_file(pandas, frame, made_engine, file_engine):
    found = []
    for each in (made_engine, file_engine):
        assert frame.to_sql("frames", each, index=False) == 3
        found.append(pandas.read_sql_table("frames", each))
    pandas.testing.assert_frame_equal(*found)
    assert list(found[0]["at"])[:2] == list(frame["at"])[:2]
    assert list(found[0]["maybe"]) == [True, None, False]


def test_nothing_but_a_url(pandas, frame, url):
    assert frame.to_sql("frames", url, index=False) == 3
    assert len(pandas.read_sql("SELECT name FROM frames WHERE number < 3", url)) == 2
    assert pandas.read_sql_table("frames", url, columns=["share"])["share"][0] == 0.5


def test_chunks(pandas, made_engine):
    frame = pandas.DataFrame({"n": range(5000)})
    multi = {"index_label": "i", "chunksize": 127}  # 254 values: libdqlite 1.11 takes 255
    frame.to_sql("numbers", made_engine, index_label="i", chunksize=700)
    frame.to_sql("numbers", made_engine, method="multi", if_exists="append", **multi)
    chunks = list(pandas.read_sql("SELECT n FROM numbers", made_engine, chunksize=999))
    assert len(chunks) == 11
    assert pandas.concat(chunks)["n"].sum() == 2 * sum(range(5000))
    with made_engine.connect() as connection:
        assert sa.inspect(connection).get_indexes("numbers")[0]["column_names"] == ["i"]


@pytest.mark.parametrize(("mode", "count"), [("append", 6), ("replace", 3)])
def test_a_table_that_exists(pandas, frame, made_engine, mode, count):
    frame.to_sql("frames", made_engine, index=False)
    with pytest.raises(ValueError, match="exists"):
        frame.to_sql("frames", made_engine)
    frame.to_sql("frames", made_engine, index=False, if_exists=mode)
    assert len(pandas.read_sql_table("frames", made_engine)) == count


def test_in_a_transaction_of_the_caller(pandas, frame, made_engine):
    with made_engine.connect() as connection:
        connection.begin()
        frame.to_sql("frames", connection, index=False)
        assert len(pandas.read_sql("SELECT * FROM frames", connection)) == 3
        connection.rollback()
        assert not sa.inspect(connection).has_table("frames")
        frame.to_sql("frames", connection, index=False)
        connection.commit()
    assert len(pandas.read_sql_table("frames", made_engine)) == 3


def test_statements_parameters_and_types(pandas, frame, made_engine):
    frame.to_sql(
        "frames", made_engine, dtype={"number": sa.BigInteger(), "share": sa.Numeric(9, 2)}
    )
    table = sa.Table("frames", sa.MetaData(), autoload_with=made_engine)
    query = sa.select(table.c.index, table.c.share).where(table.c.number >= sa.bindparam("least"))
    found = pandas.read_sql(query, made_engine, params={"least": 2}, index_col="index")
    assert list(found.index) == [1, 2]
    assert isinstance(table.c.number.type, sa.BigInteger)
    text = sa.text("SELECT at FROM frames WHERE number = :n")
    assert pandas.read_sql(text, made_engine, params={"n": 1}, parse_dates=["at"])["at"][0] == (
        pandas.Timestamp("2026-11-24 10:00")
    )
