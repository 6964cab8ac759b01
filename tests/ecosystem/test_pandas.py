"""pandas reads from and writes to a connection of ours by its code for `sqlite3` connections."""

from __future__ import annotations

import datetime
import sqlite3

import pytest

from dqlite_dbapi import OperationalError
from tests.support.components import need

pytestmark = pytest.mark.filterwarnings(
    "ignore:pandas only supports SQLAlchemy connectable:UserWarning"
)


@pytest.fixture
def pandas():
    return need("pandas", "'pandas>=2.2'")


@pytest.fixture
def frame(pandas):
    """Three rows with every kind of column, and a gap in most of them."""
    return pandas.DataFrame(
        {
            "number": [1, 2, 3],
            "name": ["a", "ü", None],
            "share": [0.5, None, 2.0],
            "at": pandas.to_datetime(["2026-11-24 10:00", "2026-11-25 00:00", None]),
            "day": [datetime.date(2026, 11, 24)] * 3,
            "flag": [True, False, True],
            "data": [b"x", b"\0", b""],
        }
    )


@pytest.fixture
def theirs():
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


def test_a_frame_goes_and_comes_as_with_sqlite3(pandas, frame, connection, theirs):
    found = []
    for each in (connection, theirs):
        assert frame.to_sql("frames", each, index=False) == 3
        found.append(pandas.read_sql_query("SELECT * FROM frames", each, parse_dates=["at"]))
    pandas.testing.assert_frame_equal(*found)
    assert list(found[0]["at"])[:2] == list(frame["at"])[:2]
    assert connection.execute("SELECT sql FROM sqlite_schema").fetchone() == (
        theirs.execute("SELECT sql FROM sqlite_schema").fetchone()
    )


def test_others_see_the_frame(frame, connect):
    frame.to_sql("frames", connect())
    assert connect().execute("SELECT count(*) FROM frames").fetchone() == (3,)


def test_chunks(pandas, connection):
    frame = pandas.DataFrame({"n": range(1000)})
    assert frame.to_sql("numbers", connection, index=False, chunksize=300) == 1000
    chunks = list(pandas.read_sql_query("SELECT n FROM numbers", connection, chunksize=400))
    assert [len(chunk) for chunk in chunks] == [400, 400, 200]
    assert pandas.concat(chunks)["n"].sum() == 499500


@pytest.mark.parametrize(("mode", "count"), [("append", 6), ("replace", 3), ("delete_rows", 3)])
def test_a_table_that_exists(pandas, frame, connection, mode, count):
    frame.to_sql("frames", connection, index=False)
    with pytest.raises(ValueError, match="exists"):
        frame.to_sql("frames", connection)
    frame.to_sql("frames", connection, index=False, if_exists=mode)
    assert len(pandas.read_sql("SELECT * FROM frames", connection)) == count


def test_parameters_index_and_types(pandas, frame, connection):
    frame.to_sql("frames", connection, index_label="i", method="multi")
    found = pandas.read_sql_query(
        "SELECT i, share FROM frames WHERE number >= ?",
        connection,
        params=(2,),
        index_col="i",
        dtype={"share": "float32"},
    )
    assert list(found.index) == [1, 2]
    assert found["share"].dtype == "float32"


def test_an_empty_result_keeps_its_columns(pandas, frame, connection):
    frame.to_sql("frames", connection, index=False)
    found = pandas.read_sql_query("SELECT * FROM frames WHERE 0", connection)
    assert list(found.columns) == list(frame.columns)


def test_pandas_own_scalars_as_parameters(pandas, connection):
    row = connection.execute("SELECT ?, ?", (pandas.Timestamp("2026-11-24 10:00"), pandas.NaT))
    assert row.fetchone() == ("2026-11-24 10:00:00", None)


def test_errors_are_ours(pandas, connection):
    with pytest.raises(OperationalError):
        pandas.read_sql_query("SELECT * FROM nothing", connection)
    assert len(pandas.read_sql_query("SELECT 1", connection)) == 1
