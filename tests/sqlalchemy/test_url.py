"""How a URL becomes the driver's arguments, for all four names."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

A, B, C = "h1:9001", "h2:9002", "h3:9003"
AB = [A, B]
SCHEMES = {
    "dqlite": ("dqlite", "dbapi", QueuePool),
    "dqlite+dbapi": ("dqlite", "dbapi", QueuePool),
    "dqlite+aio": ("dqlite", "aio", AsyncAdaptedQueuePool),
    "sqlite+dqlite": ("sqlite", "dqlite", QueuePool),
    "sqlite+aiodqlite": ("sqlite", "aiodqlite", AsyncAdaptedQueuePool),
}


def arguments(url):
    url = make_url(url)
    positional, options = url.get_dialect()().create_connect_args(url)
    assert positional == []
    assert options.pop("foreign_keys") is False
    return options


@pytest.mark.parametrize("scheme", ["dqlite", "sqlite+aiodqlite"])
@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (f"{A}/db?host={B}&host={C}", {"target": [A, B, C], "database": "db"}),
        (f"{A}/db?host={B}", {"target": AB, "database": "db"}),
        (f"/db?host={A}&host={B}", {"target": AB, "database": "db"}),
        (f"/db?host={A},{B}", {"target": AB, "database": "db"}),
        (f"[{A},{B}]/db", {"target": AB, "database": "db"}),
        (f"[{A}]/db", {"target": [A], "database": "db"}),
        ("[[::1]:9001,[::2]:9002]/db", {"target": ["[::1]:9001", "[::2]:9002"], "database": "db"}),
        ("h1,h2:9001/db", {"target": ["h1:9001", "h2:9001"], "database": "db"}),
        (f"{A}/db", {"target": [A], "database": "db"}),
        ("h1/db", {"target": ["h1"], "database": "db"}),
        ("[::1]:9001/db", {"target": ["[::1]:9001"], "database": "db"}),
        ("[fe80::1]/db", {"target": ["[fe80::1]"], "database": "db"}),
        (f"{A}/db?host=[::1]:9002", {"target": [A, "[::1]:9002"], "database": "db"}),
        ("/db?host=@socket", {"target": ["@socket"], "database": "db"}),
        ("/db", {"database": "db"}),
        ("", {}),
        (f"{A}?timeout=5&begin=immediate&vacuum=yes", {
            "target": [A], "timeout": 5.0, "begin": "immediate", "vacuum": True,
        }),
        (f"{A}?consistency=stale&staleness=2.5", {
            "target": [A], "consistency": "stale", "staleness": 2.5,
        }),
    ],
)  # fmt: skip
def test_forms(scheme, rest, expected):
    url = f"{scheme}://{rest}"
    assert arguments(url) == expected
    assert arguments(make_url(url).render_as_string()) == expected


@pytest.mark.parametrize(
    "rest",
    [
        "user:secret@h1:9001/db",
        "h1/db?busy_timeot=1",
        "h1/db?timeout=soon",
        "h1/db?timeout=1&timeout=2",
        "h1/db?begin=later",
        "h1/db?events=print",
        "h1/:memory:",
        "h1/db?host=h2:port",
    ],
)
def test_what_is_refused_before_anything_is_sent(rest):
    with pytest.raises(ArgumentError):
        create_engine(f"dqlite://{rest}")


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ArgumentError) as caught:
        create_engine("dqlite://h1/db?busy_timeot=1")
    assert "busy_timeout" in str(caught.value)


def test_hosts_separated_by_comma_with_ports_are_for_the_driver_alone():
    with pytest.raises(ValueError, match="9001,h2:9002"):
        make_url(f"dqlite://{A},{B}/db")


def test_foreign_keys_option_wins_over_the_default():
    url = make_url("dqlite://h1/db?foreign_keys=true")
    _, options = url.get_dialect()().create_connect_args(url)
    assert options["foreign_keys"] is True


@pytest.mark.parametrize("scheme", SCHEMES)
def test_names(scheme):
    name, driver, pool = SCHEMES[scheme]
    engine = create_engine(f"{scheme}://h1/db")
    assert (engine.name, engine.driver) == (name, driver)
    assert engine.dialect.is_dqlite
    assert isinstance(engine.pool, pool)


@pytest.mark.parametrize("form", ["[{}]/{}", "/{1}?host={0}"])
def test_other_forms_connect(scheme, create, cluster, database, form):
    engine = create(f"{scheme}://" + form.format(",".join(cluster.addresses), database))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 42")) == 42


def test_the_environment_names_the_cluster(scheme, create, cluster, database, monkeypatch):
    monkeypatch.delenv("DQLITE_URL", raising=False)
    monkeypatch.setenv("DQLITE_CLUSTER", ",".join(cluster.addresses))
    with create(f"{scheme}:///{database}").connect() as connection:
        assert connection.scalar(text("SELECT 42")) == 42
