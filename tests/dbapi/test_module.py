"""PEP 249's module interface, and what an import costs."""

from __future__ import annotations

import datetime
import pickle
import subprocess
import sys

import pytest

import dqlite_dbapi
from dqlite_dbapi.wire.constants import ValueType


def test_globals():
    assert dqlite_dbapi.apilevel == "2.0"
    assert dqlite_dbapi.threadsafety == 2
    assert dqlite_dbapi.paramstyle == "qmark"
    assert dqlite_dbapi.sqlite_version_info >= (3, 40)


def test_the_error_tree_is_pep_249_s():
    d = dqlite_dbapi
    assert issubclass(d.Warning, Exception)
    assert issubclass(d.InterfaceError, d.Error)
    for kind in (d.DataError, d.OperationalError, d.IntegrityError, d.InternalError,
                 d.ProgrammingError, d.NotSupportedError):  # fmt: skip
        assert issubclass(kind, d.DatabaseError)
    for kind in (d.ConnectionLost, d.NotLeader, d.NoLeader, d.Busy, d.BusySnapshot, d.Timeout,
                 d.CommitUnknown):  # fmt: skip
        assert issubclass(kind, d.OperationalError)
        assert not (kind.is_retryable and kind.is_ambiguous)


def test_errors_survive_pickling():
    error = dqlite_dbapi.Busy("locked", code=5, address="h:1", hint="wait")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copy), str(copy), copy.code) == (type(error), str(error), 5)


def test_constructors():
    assert dqlite_dbapi.Date(2026, 11, 24) == datetime.date(2026, 11, 24)
    assert dqlite_dbapi.Time(1, 2, 3) == datetime.time(1, 2, 3)
    assert dqlite_dbapi.Timestamp(2026, 11, 24, 1, 2, 3).hour == 1
    assert dqlite_dbapi.DateFromTicks(0) == datetime.date.fromtimestamp(0)
    assert dqlite_dbapi.TimestampFromTicks(5).second == 5
    assert dqlite_dbapi.TimeFromTicks(5).second == 5
    assert bytes(dqlite_dbapi.Binary(b"ab")) == b"ab"


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("STRING", {ValueType.TEXT}),
        ("BINARY", {ValueType.BLOB}),
        ("NUMBER", {ValueType.INTEGER, ValueType.FLOAT, ValueType.BOOLEAN}),
        ("DATETIME", {ValueType.ISO8601, ValueType.UNIXTIME}),
    ],
)
def test_type_objects_equal_their_codes(name, codes):
    type_object = getattr(dqlite_dbapi, name)
    assert {code for code in ValueType if code == type_object} == codes


def test_an_import_loads_little():
    check = "import sys, dqlite_dbapi; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert not {"asyncio", "ssl", "sqlalchemy", "cffi"} & set(done.stdout.split())


@pytest.mark.parametrize("wanted", ["c", "python"])
def test_the_accelerator_can_be_chosen(wanted):
    check = "import dqlite_dbapi; print(dqlite_dbapi.accelerator)"
    environment = {"DQLITE_DBAPI_ACCEL": wanted, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", check], env=environment,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.split() == [wanted]
