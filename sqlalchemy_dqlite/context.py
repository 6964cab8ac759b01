"""How one statement runs: rows that INSERT ... RETURNING gives back for many rows at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.sqlite.base import SQLiteExecutionContext
from sqlalchemy.exc import InvalidRequestError

#: Keys that SQLite counts up for one statement lie closer together, those made by chance do not.
_WIDEST = 2**32


class ExecutionContext(SQLiteExecutionContext):
    """Checks what the dialect relies on: that SQLite counts keys up in the order of VALUES."""

    def fetchall_for_returning(self, cursor: Any) -> list[Any]:
        """Rows of one INSERT of many; SQLAlchemy sorts them by a key that the database has made.

        `InvalidRequestError` where keys were not counted up, as in a table whose largest rowid is
        2**63 - 1: SQLite then takes any number from 1 to 2**62.
        """
        rows: list[Any] = cursor.fetchall()
        compiled: Any = self.compiled
        many = compiled._insertmanyvalues
        if rows and many is not None and many.implicit_sentinel:
            keys = [row[-1] for row in rows]
            if None in keys or max(keys) - min(keys) > _WIDEST:
                raise InvalidRequestError(
                    "the database did not count keys up, so it is not known which key belongs to"
                    " which row; use execution_options(insertmanyvalues_page_size=1)"
                )
        return rows
