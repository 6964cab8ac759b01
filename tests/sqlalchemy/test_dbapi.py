"""How a URL becomes the driver's arguments."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, InterfaceError
from sqlalchemy.pool import QueuePool

A, B, C = "h1:9001", "h2:9002", "h3:9003"


def arguments(url):
    url = make_url(url)
    positional, options = url.get_dialect()().create_connect_args(url)
    assert positional == []
    assert options.pop("foreign_keys") is False
    return options


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"dqlite://{A}/db?host={B}&host={C}", {"target": [A, B, C], "database": "db"}),
        (f"dqlite://{A}/db?host={B}", {"target": [A, B], "database": "db"}),
        (f"dqlite:///db?host={A}&host={B}", {"target": [A, B], "database": "db"}),
        (f"dqlite://[{A},{B}]/db", {"target": [A, B], "database": "db"}),
        (f"dqlite://[{A}]/db", {"target": [A], "database": "db"}),
        ("dqlite://h1,h2:9001/db", {"target": ["h1:9001", "h2:9001"], "database": "db"}),
        (f"dqlite://{A}/db", {"target": [A], "database": "db"}),
        ("dqlite://h1/db", {"target": ["h1"], "database": "db"}),
        ("dqlite://[::1]:9001/db", {"target": ["[::1]:9001"], "database": "db"}),
        ("dqlite://[fe80::1]/db", {"target": ["[fe80::1]"], "database": "db"}),
        ("dqlite://h1:9001/db?host=[::1]:9002", {"target": [A, "[::1]:9002"], "database": "db"}),
        ("dqlite:///db", {"database": "db"}),
        ("dqlite://", {}),
        (f"dqlite+dbapi://{A}", {"target": [A]}),
        (f"dqlite://{A}?timeout=5&begin=immediate", {
            "target": [A], "timeout": "5", "begin": "immediate",
        }),
    ],
)  # fmt: skip
def test_url_forms(url, expected):
    assert arguments(url) == expected
    assert arguments(make_url(url).render_as_string()) == expected


def test_users_are_refused():
    with pytest.raises(ArgumentError):
        arguments("dqlite://user:secret@h1:9001/db")


def test_foreign_keys_option_wins_over_the_default():
    url = make_url("dqlite://h1/db?foreign_keys=true")
    _, options = url.get_dialect()().create_connect_args(url)
    assert options["foreign_keys"] == "true"


def test_the_driver_checks_options():
    engine = create_engine("dqlite://127.0.0.1:1/db?busy_timeot=1")
    with pytest.raises(InterfaceError):
        engine.connect()


def test_pool_and_names():
    engine = create_engine("dqlite://h1/db")
    assert isinstance(engine.pool, QueuePool)
    assert (engine.name, engine.driver, engine.dialect.is_dqlite) == ("dqlite", "dbapi", True)


@pytest.mark.parametrize("form", ["dqlite://[{}]/{}", "dqlite:///{1}?host={0}"])
def test_other_forms_connect(cluster, database, form):
    engine = create_engine(form.format(",".join(cluster.addresses[:1]), database))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 42")) == 42
    engine.dispose()
