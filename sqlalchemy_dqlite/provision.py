"""Hooks for SQLAlchemy's own test suites: how databases for tests are made on a cluster.

`sqlalchemy.testing` finds this module by its name and chooses hooks by the first part of a URL, so
what is registered for "sqlite" passes databases that are not ours to SQLite's own hooks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy.dialects.sqlite.provision  # noqa: F401 - registers SQLite's own hooks
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.testing import provision

_OWN, _SHARED = "dqlite", "sqlite"
_OBJECTS = (
    "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"
    " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type DESC"
)


def _for_dqlite(hook: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function for `hook` by both names; on real SQLite its own one runs."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        before = hook.fns.get(_SHARED, hook.fns["*"])

        def choose(first: Any, *others: Any, **options: Any) -> Any:
            chosen = function if _is_ours(first) else before
            return chosen(first, *others, **options)

        hook.for_db(_OWN, _SHARED)(choose)
        return function

    return register


def _is_ours(first: Any) -> bool:
    """`first`: a URL, an engine or a test configuration, whatever the hook is called with."""
    if isinstance(first, (str, URL)):
        url = make_url(first)
    else:
        url = getattr(first, "db", first).engine.url
    return bool(getattr(url.get_dialect(), "is_dqlite", False))


@_for_dqlite(provision.generate_driver_url)
def generate_driver_url(url: URL, driver: str, query: str | None) -> URL | None:
    """The URL with another driver of ours, None if there is no such one."""
    made = url.set(drivername=f"{url.get_backend_name()}+{driver}")
    return made if _known(made) else None


def _known(url: URL) -> bool:
    try:
        return _is_ours(url)
    except NoSuchModuleError:
        return False


@_for_dqlite(provision.follower_url_from_main)
def follower_url_from_main(url: URL | str, ident: str) -> URL:
    """A database for each process of a parallel run; databases are made when they are used."""
    return make_url(url).set(database=ident)


@_for_dqlite(provision.create_db)
def create_db(config: Any, engine: Any, ident: str) -> None:
    """Nothing: a database is made by the first write."""


@_for_dqlite(provision.drop_db)
def drop_db(config: Any, engine: Any, ident: str) -> None:
    """Empty a follower's database; the cluster keeps its name."""
    follower = create_engine(engine.url.set(drivername=_OWN, database=ident))
    empty(follower)
    follower.dispose()


@_for_dqlite(provision.run_reap_dbs)
def run_reap_dbs(url: Any, idents: Any) -> None:
    """Nothing: no process holds files of ours."""


@_for_dqlite(provision.post_configure_engine)
def post_configure_engine(url: Any, engine: Any, follower_ident: str | None) -> None:
    """Give each connection a schema `test_schema` of its own, which vanishes with it.

    On SQLite that is a file, which connections share. So the one used last is used next.
    """
    pool = engine.pool
    engine.pool = type(pool)(
        pool._creator, pool_size=pool.size(), max_overflow=pool._max_overflow,
        timeout=pool.timeout(), use_lifo=True, _dispatch=pool.dispatch, dialect=pool._dialect,
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def attach(dbapi_connection: Any, record: Any) -> None:
        dbapi_connection.execute("ATTACH '' AS test_schema").close()


@_for_dqlite(provision.post_configure_testing_engine)
def post_configure_testing_engine(url: Any, engine: Any, options: Any, scope: Any) -> None:
    """Nothing: the driver begins transactions itself, and connections are shared by the pool."""


@_for_dqlite(provision.stop_test_class_outside_fixtures)
def stop_test_class_outside_fixtures(config: Any, engine: Any, cls: Any) -> None:
    """Remove what a class of tests left behind; SQLite's own hook removes the file."""
    empty(engine)
    engine.dispose()


@_for_dqlite(provision.temp_table_keyword_args)
def temp_table_keyword_args(config: Any, engine: Any) -> dict[str, list[str]]:
    """How to make a temporary table."""
    return {"prefixes": ["TEMPORARY"]}


provision.upsert.for_db(_OWN)(provision.upsert.fns[_SHARED])


@_for_dqlite(provision.drop_all_schema_objects_pre_tables)
def drop_all_schema_objects_pre_tables(config: Any, engine: Any) -> None:
    """Empty the database before the first test, if that is asked for."""
    empty(engine)


def empty(engine: Engine) -> None:
    """Drop all tables and views, in any order."""
    with engine.connect() as connection:
        run = connection.exec_driver_sql
        enforced = run("PRAGMA foreign_keys").scalar()
        run("PRAGMA foreign_keys = 0")
        for name, kind in run(_OBJECTS).all():
            run(f"DROP {kind} IF EXISTS {connection.dialect.identifier_preparer.quote(name)}")
        connection.commit()
        run(f"PRAGMA foreign_keys = {enforced}")
