"""Node stores: what is asked first, and the file that Go programs share."""

from __future__ import annotations

import pytest
import yaml

import dqlite_dbapi
from dqlite_dbapi.errors import InterfaceError
from dqlite_dbapi.nodestore import FileNodeStore, MemoryNodeStore, shared_store
from dqlite_dbapi.protocol.session import Session
from dqlite_dbapi.wire.responses import Member


def leader(address, *members):
    session = Session(address, lambda: 0.0, 1.0)
    session.members = tuple(Member(n, *member) for n, member in enumerate(members, start=1))
    return session


def test_the_leader_is_asked_first_then_voters_then_others():
    store = MemoryNodeStore(("a:1",))
    store.learn(leader("b:1", ("c:1", 2), ("b:1", 0), ("d:1", 0)))
    assert store.candidates() == ("b:1", "a:1", "d:1", "c:1")


def test_a_wrong_leader_is_forgotten():
    store = MemoryNodeStore(("a:1", "b:1"))
    store.learn(leader("b:1"))
    store.forget("b:1")
    assert store.candidates() == ("a:1", "b:1")


def test_a_slow_member_is_asked_last_until_it_leads():
    store = MemoryNodeStore(("a:1", "b:1", "c:1"))
    store.forget("a:1", is_slow=True)
    assert store.candidates() == ("b:1", "c:1", "a:1")
    store.learn(leader("a:1"))
    assert store.candidates() == ("a:1", "b:1", "c:1")


def test_members_that_were_listed_are_fresh_while_their_leader_is():
    store = MemoryNodeStore(("a:1",))
    assert not store.is_fresh
    store.learn(leader("a:1"))
    assert not store.is_fresh
    store.learn(leader("a:1", ("a:1", 0), ("b:1", 0)))
    assert store.is_fresh
    store.learn(leader("a:1"))
    assert (store.is_fresh, store.candidates()) == (True, ("a:1", "b:1"))
    store.forget("a:1")
    assert not store.is_fresh


def test_stores_are_shared_by_address_and_file(tmp_path):
    assert shared_store(("shared:1",)) is shared_store(("shared:1",))
    path = str(tmp_path / "store.yaml")
    assert shared_store(("shared:1",), path) is not shared_store(("shared:1",))


def test_the_file_is_read_and_kept(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("- ID: 7\n  Address: b:1\n  Role: 0\n", encoding="utf-8")
    store = FileNodeStore(str(path), ())
    assert store.candidates() == ("b:1",)
    store.learn(leader("c:1", ("c:1", 0), ("d:1", 1)))
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert rows == [
        {"ID": 1, "Address": "c:1", "Role": 0},
        {"ID": 2, "Address": "d:1", "Role": 1},
    ]
    assert FileNodeStore(str(path), ()).candidates() == ("c:1", "d:1")


@pytest.mark.parametrize("text", ["nonsense", "- Address: 1", "- ID: x\n  Address: a\n  Role: 0"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, text):
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InterfaceError) as caught:
        FileNodeStore(str(path), ())
    assert str(path) in str(caught.value)


def test_neither_file_nor_address_is_an_error(tmp_path):
    with pytest.raises(InterfaceError):
        FileNodeStore(str(tmp_path / "none.yaml"), ())


def test_a_file_that_cannot_be_written_harms_nothing(tmp_path):
    store = FileNodeStore(str(tmp_path / "no" / "folder.yaml"), ("a:1",))
    store.learn(leader("b:1", ("b:1", 0)))
    assert store.candidates() == ("b:1", "a:1")


def test_a_connection_learns_into_the_file(driver_connect, cluster, database, tmp_path):
    path = tmp_path / "cluster.yaml"
    driver_connect(cluster.addresses[:1], database, node_store=path).close()
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {row["Address"] for row in rows} == set(cluster.addresses)
    with dqlite_dbapi.connect(database=database, node_store=path) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()
