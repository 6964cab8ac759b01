"""Statement cache: what `sql.classify` found out, by text, shared by all connections."""

from __future__ import annotations

from functools import lru_cache

from dqlite_dbapi.sql import Statement, classify

#: Longer texts, generated ones mostly, are classified anew so that the cache stays small.
_LONGEST = 16_384

_cached = lru_cache(maxsize=1024)(classify)


def lookup(sql: str) -> Statement:
    """The facts about `sql`; errors as those of `classify`."""
    return _cached(sql) if len(sql) <= _LONGEST else classify(sql)
