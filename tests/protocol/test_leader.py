"""The search for the leader, without a network."""

from __future__ import annotations

import pytest

from dqlite_dbapi.errors import NoLeader, NotLeader
from dqlite_dbapi.nodestore import MemoryNodeStore
from dqlite_dbapi.protocol.leader import LeaderSearch
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.wire.constants import Request
from dqlite_dbapi.wire.requests import encode
from tests.support.flows import ScriptedCluster, failure, refusals, server


def search(members, addresses, *, deadline=5.0, step=None):
    cluster = ScriptedCluster(members, step)
    store = MemoryNodeStore(tuple(addresses))
    found = LeaderSearch(store, lambda session: session.open("db"), cluster.clock, lambda: 0.5)
    return cluster, store, lambda: cluster.run(found.find(deadline, 30.0))


def test_the_leader_itself_is_asked_once():
    cluster, _, find = search({"a:1": "a:1"}, ["a:1"])
    session = find()
    assert isinstance(session, Session)
    assert (session.address, session.state) == ("a:1", State.READY)
    assert cluster.opened == ["a:1"]


def test_a_redirect_is_followed_and_believed_only_from_the_leader():
    cluster, _, find = search({"a:1": "b:1", "b:1": "b:1"}, ["a:1"])
    assert find().address == "b:1"
    assert cluster.opened == ["a:1", "b:1"]


def test_a_member_that_refused_to_name_the_leader_is_asked_again():
    """As engines since 1.12 do, where the question tells the flavours apart."""
    cluster = ScriptedCluster({"a:1": "b:1", "b:1": "b:1"})
    session = Session("a:1", cluster.clock, 1.0)
    flow = session.open("db")
    flow.send(None)
    refused = failure(1005, "schema") + refusals("b:1")[len(server("b:1")) :]
    assert flow.send(refused) == encode(Request.LEADER, 0)
    with pytest.raises(NotLeader):
        flow.send(server("b:1"))
    assert session.leader == "b:1"


def test_the_last_leader_is_asked_first_and_members_are_learned():
    cluster, store, find = search({"a:1": "b:1", "b:1": "b:1"}, ["a:1"])
    find()
    assert store.candidates() == ("b:1", "a:1")
    cluster.opened.clear()
    find()
    assert cluster.opened == ["b:1"]


def test_a_lost_leader_is_forgotten():
    cluster, store, find = search({"a:1": "b:1", "b:1": "b:1"}, ["a:1"])
    find()
    cluster.members.update({"a:1": "a:1", "b:1": "refused"})
    assert find().address == "a:1"
    assert store.candidates()[0] == "a:1"


@pytest.mark.parametrize("other", ["refused", "silent", "", "c:1"])
def test_members_that_do_not_help_are_passed(other):
    _, _, find = search({"a:1": other, "b:1": "b:1"}, ["a:1", "b:1"])
    assert find().address == "b:1"


def test_members_are_polled_until_an_election_ends():
    members = {"a:1": "", "b:1": ""}

    def elect():
        if cluster.now > 1.0:
            members["a:1"] = "a:1"

    cluster, _, find = search(members, ["a:1", "b:1"], step=elect)
    assert find().address == "a:1"
    assert cluster.now < 1.2


@pytest.mark.parametrize(
    "members",
    [
        {"a:1": "refused", "b:1": "refused"},
        {"a:1": "b:1", "b:1": "a:1"},
        {"a:1": "c:1", "b:1": "c:1", "c:1": "a:1"},
        {"a:1": "silent", "b:1": ""},
    ],
    ids=["down", "loop", "long loop", "no quorum"],
)
def test_without_a_leader_the_error_names_each_member(members):
    cluster, _, find = search(members, ["a:1", "b:1"], deadline=2.0)
    with pytest.raises(NoLeader) as caught:
        find()
    assert all(address in str(caught.value) for address in ("a:1", "b:1"))
    assert cluster.now <= 5.0
