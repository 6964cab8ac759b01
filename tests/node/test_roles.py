"""What the role rules promise for any cluster, and the cases that they were written for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqlite_dbapi import Role
from dqlite_node import NodeError
from dqlite_node.roles import (
    Assignment,
    MemberState,
    Targets,
    apply,
    changes,
    heirs,
    next_change,
    successors,
)

VOTER, STANDBY, SPARE = Role
LETTERS = {"V": VOTER, "S": STANDBY, "-": SPARE, "L": VOTER}


def members(text, domains=None, weights=None):
    """`L V v S s -`: leader, voter, standby, spare, in lower case (`_`: spare) when offline."""
    return [
        MemberState(
            number,
            LETTERS[letter.upper().replace("_", "-")],
            online=letter in LETTERS,
            is_leader=letter == "L",
            failure_domain=int((domains or "0" * len(text))[number - 1]),
            weight=int((weights or "0" * len(text))[number - 1]),
        )
        for number, letter in enumerate(text, start=1)
    ]


def text(state):
    letters = {VOTER: "Vv", STANDBY: "Ss", SPARE: "-_"}
    return "".join("L" if each.is_leader else letters[each.role][not each.online] for each in state)


def settle(state, targets):
    for change in changes(state, targets):
        state = apply(state, change)
    return state


@st.composite
def clusters(draw):
    """Any cluster with a leader."""
    state = draw(
        st.lists(
            st.builds(
                MemberState,
                id=st.integers(1, 2**63),
                role=st.sampled_from(Role),
                online=st.booleans() | st.just(True),
                failure_domain=st.integers(0, 3),
                weight=st.integers(0, 3),
                eligible=st.booleans() | st.just(True),
            ),
            max_size=8,
            unique_by=lambda each: each.id,
        )
    )
    leader = MemberState(2**63 + 1, VOTER, is_leader=True, weight=draw(st.integers(0, 3)))
    return [*state, leader]


targets = st.builds(Targets, voters=st.sampled_from([3, 5, 7]), standbys=st.integers(0, 4))


def has_quorum(state):
    votes = [each.online for each in state if each.role == VOTER]
    return sum(votes) > len(votes) / 2


@given(clusters(), targets)
def test_it_converges_and_stays_there(state, targets):
    assert next_change(settle(state, targets), targets) is None
    assert len(changes(state, targets)) <= 4 * len(state)


@given(clusters(), targets)
def test_no_step_costs_the_quorum_or_the_leader(state, targets):
    had_quorum = has_quorum(state)
    for change in changes(state, targets):
        assert had_quorum
        before = {each.id: each for each in state}[change.id]
        assert not before.is_leader
        assert before.role != change.role
        assert change.role > before.role or (before.online and before.eligible)
        state = apply(state, change)
        assert has_quorum(state)


@given(clusters(), targets)
def test_the_numbers_are_reached_where_members_allow_it(state, targets):
    if not has_quorum(state):
        assert changes(state, targets) == []
        return
    state = settle(state, targets)
    online = [each for each in state if each.online]
    free = [each for each in online if each.eligible]
    voters = [each for each in online if each.role == VOTER]
    wanted = targets.voters_of(len(state))
    left = sum(each.role != VOTER for each in free)
    assert len(voters) == wanted or (
        len(voters) < wanted and left <= len(voters) % 2  # one more would make them even
    )
    standbys = [each for each in online if each.role == STANDBY]
    assert len(standbys) == targets.standbys or (
        len(standbys) < targets.standbys and all(each.role != SPARE for each in free)
    )


@given(clusters(), targets)
def test_votes_are_spread_over_failure_domains(state, targets):
    if not has_quorum(state):
        return
    state = settle(state, targets)
    crowd = Counter(each.failure_domain for each in state if each.online and each.role == VOTER)
    outside = {each.failure_domain for each in state if each.online and each.eligible} - set(crowd)
    is_full = sum(crowd.values()) == targets.voters_of(len(state))
    assert max(crowd.values()) == 1 or not outside or not is_full


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ("L", "L", (3, 3)),
        ("L-", "LS", (3, 3)),
        ("L-", "L-", (3, 0)),
        ("LV", "LS", (3, 3)),
        ("L--", "LVV", (3, 3)),
        ("L-_", "LS_", (3, 3)),
        ("L---", "LVVS", (3, 3)),
        ("L---", "LVVS", (5, 3)),
        ("L----", "LVVVV", (5, 3)),
        ("LVVVV", "LVVSS", (3, 3)),
        ("LVVVV", "LVV-S", (3, 1)),
        ("LVv", "LVv", (3, 3)),
        ("LVvS", "LV_V", (3, 3)),
        ("LVv-", "LV_V", (3, 3)),
        ("LVvs", "LVvs", (3, 3)),
        ("LVVVv", "LVVVv", (5, 3)),
        ("LVVvv", "LVV__", (5, 3)),
        ("LVV__", "LVV__", (5, 3)),
        ("LVV-_", "LVVS_", (5, 3)),
        ("LVVv-", "LVVvV", (5, 3)),
        ("LVvv", "LVvv", (3, 3)),
        ("LVVSs-", "LVVS_S", (3, 2)),
        ("LVVSs", "LVVSs", (3, 3)),
        ("VVV--", "VVV--", (3, 3)),
    ],
)
def test_cases(before, after, wanted):
    state = settle(members(before), Targets(*wanted))
    assert text(state) == after


def test_votes_are_given_before_they_are_taken():
    assert changes(members("LVvS"), Targets()) == [
        Assignment(4, VOTER),
        Assignment(3, SPARE),
    ]


def test_a_domain_without_vote_comes_before_data_and_weight():
    state = members("L----", domains="00011", weights="01032")
    assert changes(state, Targets(standbys=0)) == [Assignment(5, VOTER), Assignment(3, VOTER)]
    state = members("L-S", weights="001")
    assert changes(state, Targets())[0] == Assignment(3, VOTER)


def test_a_vote_moves_to_a_new_domain():
    state = members("LVV-", domains="0012")
    assert changes(state, Targets()) == [Assignment(4, VOTER), Assignment(2, STANDBY)]


def test_who_may_succeed():
    assert successors(members("LVV"), 1) == []
    assert successors(members("LVVS-s"), 1) == [Assignment(4, VOTER), Assignment(5, VOTER)]
    assert successors(members("LVVS-"), 4) == [Assignment(5, STANDBY)]
    assert successors(members("LVV-"), 4) == []
    assert successors(members("L"), 9) == []
    state = members("LVvVS", weights="02010")
    assert heirs(state, 1) == [4, 2]
    state[3] = replace(state[3], follows=False)
    assert heirs(state, 1) == [2]


@pytest.mark.parametrize("wanted", [(1, 3), (4, 3), (3, -1)])
def test_impossible_targets(wanted):
    with pytest.raises(NodeError):
        Targets(*wanted)
