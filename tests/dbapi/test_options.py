"""The one option parser."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from dqlite_dbapi.errors import InterfaceError
from dqlite_dbapi.options import Options, parse


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("DQLITE_URL", "DQLITE_CLUSTER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("target", "addresses", "database"),
    [
        (None, ("127.0.0.1:9001",), "main"),
        ("h1", ("h1:9001",), "main"),
        ("h1:9, h2:10", ("h1:9", "h2:10"), "main"),
        (["h1:9", "h2:10", "h1:9"], ("h1:9", "h2:10"), "main"),
        ("dqlite://h1:9,h2/app", ("h1:9", "h2:9001"), "app"),
        ("dqlite://[h1:9,h2:10]/app", ("h1:9", "h2:10"), "app"),
        ("dqlite://h1:9/app?host=h2:9&host=h3:9", ("h1:9", "h2:9", "h3:9"), "app"),
        ("dqlite:///app?host=h2:9", ("h2:9",), "app"),
        ("dqlite:///my%20app", ("127.0.0.1:9001",), "my app"),
        ("dqlite://[::1]:9/app", ("[::1]:9",), "app"),
        ("::1", ("[::1]:9001",), "main"),
        ("@sock", ("@sock",), "main"),
    ],
)
def test_targets(target, addresses, database):
    options = parse(target)
    assert (options.addresses, options.database) == (addresses, database)


def test_the_environment_is_used_without_a_target(monkeypatch):
    monkeypatch.setenv("DQLITE_CLUSTER", "h1:9,h2:9")
    assert parse().addresses == parse("dqlite:///x").addresses == ("h1:9", "h2:9")
    monkeypatch.setenv("DQLITE_URL", "dqlite://h3:9/app?timeout=3")
    assert parse() == Options(("h3:9",), "app", timeout=3.0)
    assert parse("h4").addresses == ("h4:9001",)


def test_keywords_and_url_items_are_converted_alike():
    url = "dqlite://h/d?timeout=2.5&autocommit=yes&foreign_keys=off&begin=IMMEDIATE&guard=off"
    by_keyword = parse("h", "d", timeout="2.5", autocommit=True, foreign_keys=0,
                       begin="immediate", guard="off")  # fmt: skip
    assert parse(url) == by_keyword
    assert (by_keyword.timeout, by_keyword.autocommit) == (2.5, True)


def test_keywords_win_over_the_url():
    assert parse("dqlite://h/one?timeout=2", "two", timeout=3).timeout == 3
    assert parse("dqlite://h/one", "two").database == "two"


@pytest.mark.parametrize(
    "keywords",
    [{"timeut": 3}, {"timeout": "soon"}, {"timeout": -1}, {"timeout": "nan"}, {"begin": "later"},
     {"autocommit": "maybe"}, {"guard": None}, {"foreign_keys": 2}],
)  # fmt: skip
def test_bad_options(keywords):
    with pytest.raises(InterfaceError) as caught:
        parse("h", **keywords)
    assert next(iter(keywords)) in str(caught.value)


def test_a_bad_value_is_refused_though_a_good_one_equals_it():
    assert parse("h1", autocommit=True).autocommit is True
    with pytest.raises(InterfaceError):
        parse("h1", autocommit=1.0)
    assert parse("h1", autocommit=True) == parse(["h1"], autocommit="on")


def test_an_unknown_option_names_the_nearest_one():
    with pytest.raises(InterfaceError) as caught:
        parse("dqlite://h/d?busy_timeot=3")
    assert "busy_timeout" in str(caught.value.hint)


@pytest.mark.parametrize(
    "address", ["h:x", "h:0", "h:70000", ":9001", "[::1", "[::1]x", "h:9999999999999", "h:09001000"]
)
def test_bad_addresses(address):
    with pytest.raises(InterfaceError):
        parse([address])


@pytest.mark.parametrize("target", ["postgresql://h/d", "sqlite+dqlite://h/d", "dqlite://u:p@h/d"])
def test_bad_urls(target):
    with pytest.raises(InterfaceError):
        parse(target)


@pytest.mark.parametrize(
    "name", [":memory:", "file:x", "a-wal", "a-journal", "a\0b", "x" * 256, "é" * 128]
)
def test_database_names_that_crash_members(name):
    with pytest.raises(InterfaceError):
        parse("h", name)


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse("h").timeout = 3


def test_every_option_is_documented():
    page = Path(__file__).parents[2] / "docs" / "reference" / "options.md"
    listed = set(re.findall(r"`(\w+)`", page.read_text(encoding="utf-8")))
    assert {field.name for field in dataclasses.fields(Options)} <= listed


@pytest.mark.parametrize("name", ["events", "row_factory"])
def test_functions_do_not_come_from_a_url(name):
    with pytest.raises(InterfaceError):
        parse(f"dqlite://h/d?{name}=print")
    assert getattr(parse("h", **{name: print}), name) is print


def test_secrets_are_not_shown():
    options = parse("h", tls_key="/etc/key.pem", tls_key_password="hunter2")
    assert "hunter2" not in repr(options)
    with pytest.raises(InterfaceError) as caught:
        parse("h", tls_key_pasword="hunter2")
    assert "hunter2" not in str(caught.value)


def test_options_may_be_the_target():
    options = parse("dqlite://h1/app?timeout=3", isolation_level="immediate")
    assert parse(options) == options
    assert parse(options, "other", timeout=4) == dataclasses.replace(
        options, database="other", timeout=4.0
    )


@pytest.mark.parametrize(
    ("given", "begin", "autocommit"),
    [
        ({"isolation_level": None}, "deferred", True),
        ({"isolation_level": "IMMEDIATE"}, "immediate", False),
        ({"isolation_level": ""}, "deferred", False),
        ({"autocommit": -1}, "deferred", -1),
    ],
)
def test_isolation_level_decides_begin_and_autocommit(given, begin, autocommit):
    for options in (parse("h", **given), parse(parse("h"), **given)):
        assert (options.begin, options.autocommit) == (begin, autocommit)
