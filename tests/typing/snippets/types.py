"""Types as a user's type checker sees them. Never run: mypy reads it (test_typing.py)."""

from __future__ import annotations

import datetime
from decimal import Decimal

from typing_extensions import assert_type

import dqlite_dbapi
from dqlite_dbapi.types import Adapters, Converters

assert_type(dqlite_dbapi.Timestamp(2026, 11, 24), datetime.datetime)
assert_type(dqlite_dbapi.Date(2026, 11, 24), datetime.date)
assert_type(dqlite_dbapi.DateFromTicks(0), datetime.date)
assert_type(dqlite_dbapi.Binary(b"x"), memoryview[int])
assert_type(dqlite_dbapi.NUMBER == 1, bool)

adapters = Adapters({Decimal: str})
adapters.register(Decimal, lambda value: format(value, "f"))
adapters.register("decimal", str)  # type: ignore[arg-type]

converters = Converters()
converters.register("decimal", lambda raw: Decimal(raw.decode()))
converters.register(Decimal, Decimal)  # type: ignore[arg-type]
