"""Hazards H30 to H40: messages and names that hurt members, and answers that mislead clients."""

from __future__ import annotations

import ast
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dqlite_dbapi
from dqlite_dbapi.errors import (
    Error,
    IntegrityError,
    InterfaceError,
    NotLeader,
    NotSupportedError,
    OperationalError,
    from_failure,
)
from dqlite_dbapi.protocol.flavour import Flavour
from dqlite_dbapi.protocol.guard import check_name
from dqlite_dbapi.wire.constants import Request
from dqlite_dbapi.wire.requests import encode, encode_sql
from dqlite_dbapi.wire.schema import REQUESTS
from dqlite_node import LocalCluster, Node
from dqlite_node.local import reserve_port

ROWS = """WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100000)
SELECT x, hex(zeroblob(250)) FROM c"""
SAMPLES = {
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "params": st.lists(st.none() | st.integers(-5, 5) | st.text("ab") | st.binary(), max_size=9),
}
OLD = Flavour.probed(knows_schemas=False, denies_pragmas=False)


def _is_whole(message):
    words = int.from_bytes(message[:4], "little")
    return words >= 1 and len(message) == 8 + 8 * words


@given(st.data())
def test_h30_no_message_has_an_empty_body_or_a_wrong_size(data):
    kind = data.draw(st.sampled_from(sorted(REQUESTS)))
    values = [data.draw(SAMPLES.get(form, st.integers(0, 1000))) for _, form in REQUESTS[kind]]
    assert _is_whole(encode(kind, *values))


@given(SAMPLES["params"], st.sampled_from(["SELECT 1", "", "x" * 5000]))
def test_h30_nor_a_statement(params, sql):
    encoded = sql.encode() + bytes(8 - len(sql) % 8)
    assert _is_whole(encode_sql(int(Request.QUERY_SQL), encoded, params))


def test_h32_h35_h38_who_makes_which_requests():
    package = Path(dqlite_dbapi.__file__).parent
    made = {
        (node.attr, path.name)
        for path in package.rglob("*.py")
        if path.parts[-2:] not in (("wire", "constants.py"), ("wire", "schema.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "Request"
    }
    kinds = {kind for kind, _ in made}
    assert "QUERY_SQL" in kinds
    assert not kinds & {"QUERY", "HEARTBEAT", "INTERRUPT", "CONNECT"}
    assert {each for each in made if each[0] in ("PREPARE", "EXEC", "FINALIZE")} == {
        ("PREPARE", "prepared.py"),
        ("EXEC", "_bulk.py"),
        ("FINALIZE", "prepared.py"),
    }


def test_h32_statement_ids_are_given_back_once(victim, connection):
    connection.execute("CREATE TABLE ids (id INTEGER PRIMARY KEY)")
    for last in (5_000, 3_000, 5):
        ids = [*range(1, 5_000), last]
        connection.execute("BEGIN")
        with suppress(IntegrityError):
            connection.executemany("INSERT INTO ids VALUES (?)", [(each,) for each in ids])
        assert connection.execute("SELECT count(*) FROM ids").fetchone() == (len(set(ids)),)
        connection.rollback()


def test_h31_describe(victim, connection):
    with dqlite_dbapi.Client(victim.addresses) as client:
        assert client.describe(victim.addresses[0]).failure_domain == 0


@pytest.mark.parametrize(
    "name",
    ["", ":memory:", "file:x", "file:x?mode=memory", "x-wal", "x-journal", "a" * 520, "a\0b"],
)
def test_h33_names_of_databases(victim, connection, name):
    with pytest.raises(InterfaceError):
        dqlite_dbapi.connect(victim.addresses, name or "\0")
    with pytest.raises(InterfaceError), dqlite_dbapi.Client(victim.addresses) as client:
        client.dump(name)


def test_h34_a_name_that_another_begins_with():
    check_name("app2", ["app", "other", "app2"], OLD)
    with pytest.raises(NotSupportedError):
        check_name("app", ["application"], OLD)
    check_name("app", ["application"], Flavour.probed(knows_schemas=True, denies_pragmas=False))


def test_h36_a_failure_behind_rows_has_its_own_code(connection):
    connection.execute("INSERT INTO t VALUES (2, -9223372036854775808)")
    with pytest.raises(OperationalError) as caught:
        connection.execute("SELECT id, abs(a) FROM t ORDER BY id").fetchall()
    assert (caught.value.code, caught.value.is_disconnect) == (1, False)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)


def _transfer(client):
    """Hand leadership over; that fails for a moment while the others still lack entries."""
    give_up = time.monotonic() + 20
    while True:
        try:
            return client.transfer()
        except OperationalError:
            assert time.monotonic() < give_up, "leadership cannot be transferred"


def test_h37_leadership_is_lost_while_rows_come(engine):
    with LocalCluster(3, launcher=engine.launcher, network_latency_ms=5) as cluster:
        with dqlite_dbapi.Client(cluster.addresses) as client:
            connection = dqlite_dbapi.connect(cluster.addresses, "app", timeout=2)
            cursor = connection.execute(ROWS)
            rows = cursor.fetchmany(100)
            _transfer(client)
            with pytest.raises(Error) as caught:
                rows += cursor.fetchall()
            assert rows[:100] == [(n + 1, "00" * 250) for n in range(100)]
            assert caught.value.is_disconnect or caught.value.code == 9
            connection.rollback()
            connection.timeout = 10
            assert connection.execute("SELECT 1").fetchone() == (1,)
            connection.close()
        for member in cluster.members:
            if member.is_running:
                member.kill()


@pytest.mark.parametrize(("code", "text"), [(7, "not leader"), (10250, "not leader")])
def test_h39_raw_codes_of_raft(code, text):
    assert isinstance(from_failure(code, text, "a:1"), NotLeader)


def test_h40_changes_of_members_that_cannot_work(victim, connection):
    with dqlite_dbapi.Client(victim.addresses, timeout=5) as client, reserve_port() as port:
        with pytest.raises(Error):
            client.add(2, f"127.0.0.1:{port.getsockname()[1]}")
        with pytest.raises(Error):
            client.remove(1)
        assert [member.id for member in client.cluster()] == [1]


def test_h40_a_voter_that_nobody_reaches(engine, tmp_path):
    with LocalCluster(1, launcher=engine.launcher) as cluster, reserve_port() as port:
        address = f"127.0.0.1:{port.getsockname()[1]}"
        with dqlite_dbapi.Client(cluster.addresses, timeout=5) as client:
            with Node(address, tmp_path, 2, launcher=engine.launcher):
                client.add(2, address)
                client.assign(2, dqlite_dbapi.Role.SPARE)
            with pytest.raises(Error):
                client.assign(2, dqlite_dbapi.Role.VOTER)
            connection = dqlite_dbapi.connect(cluster.addresses, "app", timeout=5)
            connection.execute("CREATE TABLE t (a)")
            connection.commit()
            connection.close()
