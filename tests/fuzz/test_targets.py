"""The fuzzers' targets as tests: what was found before, and a little that hypothesis makes up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqlite_dbapi import sql as sql_module
from dqlite_dbapi.sql import Kind
from tests.fuzz.fragments import APART, DERIVED, raw, sentence
from tests.fuzz.run import TARGETS as NAMES
from tests.fuzz.seeds import SEEDS
from tests.fuzz.statements import Judge
from tests.fuzz.targets import TARGETS


def test_every_target_can_be_run():
    assert TARGETS.keys() == NAMES.keys()


@pytest.mark.parametrize(
    ("target", "seed"),
    [
        pytest.param(target, seed, id=f"{target}-{name}")
        for target, seeds in SEEDS.items()
        for name, seed in seeds.items()
    ],
)
def test_what_was_found(target, seed):
    TARGETS[target](seed)


@pytest.mark.parametrize("name", list(TARGETS))
def test_what_hypothesis_makes_up(name):
    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=200))
    def run(data):
        TARGETS[name](data)

    run()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([APART, DERIVED]), st.binary(min_size=1, max_size=60))
def test_statements_that_sqlite_mostly_takes(kind, choices):
    TARGETS["statements"](bytes([kind]) + choices)


def test_the_oracle_compiles():
    judge = Judge()
    judge.judge(sentence(raw("WITH c AS (SELECT 1) DELETE FROM t")))
    assert judge.compiled == 1


@pytest.mark.parametrize(
    ("sql", "change"),
    [
        ("DELETE FROM t", {"is_read": True}),
        ("DELETE FROM t", {"is_simple": True}),
        ("DELETE FROM t RETURNING a", {"returning": False}),
        ("DELETE FROM t RETURNING a", {"returns_rows": False}),
        ("SELECT optimize(f) FROM f", {"hazard": "", "is_guarded": False}),
        ("INSERT OR FAIL INTO t(a) VALUES (1)", {"fails_halfway": False, "is_guarded": False}),
        ("UPDATE sqlite_master SET sql = ''", {"hazard": "", "is_guarded": False}),
        ("PRAGMA synchronous = FULL", {"is_guarded": False}),
        ("ATTACH '/tmp/x' AS y", {"is_guarded": False}),
        ("VACUUM", {"is_guarded": False}),
        ("CREATE VIEW n AS SELECT optimize(f) FROM f", {"hazard": "", "is_guarded": False}),
        ("CREATE TABLE n(a NOT NULL ON CONFLICT FAIL)", {"hazard": "", "is_guarded": False}),
        ("COMMIT", {"kind": Kind.ROLLBACK}),
        ("RELEASE x", {"target": "y"}),
        ("SELECT ?", {"slots": 2}),
    ],
)
def test_a_broken_classifier_is_found_out(sql, change, monkeypatch):
    def classify(text):
        return sql_module.classify(text)._replace(**change)

    monkeypatch.setattr("tests.fuzz.statements.classify", classify)
    with pytest.raises(AssertionError):
        Judge().judge(sql)


def test_a_decoder_that_differs_is_found_out(monkeypatch):
    monkeypatch.setattr("dqlite_dbapi.wire.pyrows.decode", lambda *_: True)
    with pytest.raises(AssertionError):
        TARGETS["rows"](b"\1" + b"\xff" * 8)
