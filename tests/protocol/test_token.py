"""Exactly once, against a model of a cluster that loses answers and applies requests late."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from dqlite_dbapi.errors import (
    Busy,
    CommitUnknown,
    Error,
    InterfaceError,
    NotLeader,
    OperationalError,
    ProgrammingError,
)
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.protocol.token import DDL, Course, Policy, Token, settle
from tests.support.commitmodel import COMMITS, Member, World

DOCS = Path(__file__).resolve().parents[2] / "docs"
WORK = lookup("INSERT INTO work VALUES (1)")


def run(course: Course, member: Member, function=None):
    """What `run_transaction` does, without sockets."""
    world = member.world
    function = function or (lambda: world.drive(member.perform(WORK)))
    while True:
        try:
            world.drive(course.begin(member))
            function()
            world.drive(course.finish(member))
        except Error as error:
            if course.failed(member, error):
                world.drive(member.rollback())
            pause = course.pause(error)
            if pause is None:
                raise
            world.now += pause
        else:
            return


def violation(schedule) -> str | None:
    """Run one transaction under `schedule`; what was promised and not kept, None if all was."""
    commits, begins, arrivals, deadline = schedule
    world = World(commits, begins, arrivals)
    with closing(world.state):
        member = Member(world)
        try:
            run(Course(Policy(deadline=deadline), world.clocks), member)
            promised = 1
        except CommitUnknown as unknown:
            token = Token.parse(unknown.token)
            for attr in ("commits", "begins"):
                setattr(world, attr, iter(()))
            forever = (token, 3600.0, world.clocks, world.now + 60)
            promised = int(world.drive(settle(member, *forever)))
        except Error as error:
            promised = 0 if error.is_retryable else -1
        world.deliver_all()
        done = world.done()
        return None if done == promised else f"promised {promised}, done {done}"


SCHEDULES = st.tuples(
    st.lists(st.sampled_from(COMMITS), max_size=8),
    st.lists(st.booleans(), max_size=8),
    st.lists(st.booleans(), max_size=16),
    st.sampled_from([0.02, 0.2, 60.0]),
)


@settings(max_examples=500, deadline=None)
@given(SCHEDULES)
def test_whatever_happens_the_work_is_done_once_or_the_caller_knows(schedule):
    assert violation(schedule) is None


def assume(was_applied):
    def mutant(database, token, keep, clocks, give_up):
        yield from ()
        return was_applied

    return mutant


def only_look(database, token, keep, clocks, give_up):
    look = lookup("SELECT fence FROM dqlite_transactions WHERE token = ?")
    try:
        found = yield from database.perform(look, (token.key,))
    except OperationalError:
        return False
    return bool(found.rows)


def look_or_insert(database, token, keep, clocks, give_up):
    if (yield from only_look(database, token, keep, clocks, give_up)):
        return True
    with suppress(CommitUnknown):
        return (yield from settle(database, token, keep, clocks, clocks.monotonic()))
    return False


@pytest.mark.parametrize("mutant", [assume(False), assume(True), only_look, look_or_insert])
def test_the_checker_finds_a_driver_without_a_sound_fence(monkeypatch, mutant):
    monkeypatch.setattr("dqlite_dbapi.protocol.token.settle", mutant)
    settled = find(SCHEDULES, lambda schedule: violation(schedule) is not None)
    assert violation(settled) is not None


# --- one step at a time ---------------------------------------------------------------------------


@pytest.fixture
def world():
    made = World()
    with closing(made.state):
        yield made


@pytest.fixture
def member(world):
    return Member(world)


def script(world, *commits, begins=()):
    world.commits, world.begins = iter(commits), iter(begins)


def course(world, **policy):
    return Course(Policy(**policy), world.clocks)


def rows(world):
    """How many transactions and how many fences have left a row."""
    return world.state.execute(
        "SELECT count(*) - count(fence), count(fence) FROM dqlite_transactions"
    ).fetchone()


@pytest.mark.parametrize(
    ("commits", "left"),
    [
        (["ok"], (1, 0)),
        (["answer lost"], (1, 0)),
        (["request lost"], (1, 1)),
        (["late"], (1, 1)),
        (["request lost", "answer lost"], (1, 1)),
        (["late", "request lost", "answer lost"], (1, 1)),
        (["late", "late", "late", "late"], (1, 1)),
        (["refused", "busy"], (1, 0)),
    ],
)
def test_the_rows_tell_what_happened(world, member, commits, left):
    script(world, *commits)
    run(course(world), member)
    world.deliver_all()
    assert (world.done(), rows(world)) == (1, left)


def test_a_late_original_meets_the_key_of_its_fence(world, member):
    script(world, "late")
    run(course(world), member)
    assert len(world.late) == 1
    world.deliver()
    assert (world.done(), rows(world)) == (1, (1, 1))


def test_without_a_token_the_unknown_outcome_is_the_callers(world, member):
    script(world, "answer lost")
    with pytest.raises(CommitUnknown) as caught:
        run(course(world, exactly_once=False), member)
    assert caught.value.token is None
    with pytest.raises(sqlite3.OperationalError):
        rows(world)


@pytest.mark.parametrize("outcome", ["answer lost", "request lost"])
def test_a_token_that_was_given_up_can_be_asked_for_later(world, member, outcome):
    script(world, outcome, begins=[False, *[True] * 1000])
    with pytest.raises(CommitUnknown) as caught:
        run(course(world, deadline=5.0), member)
    assert 5 <= world.now < 7
    assert caught.value.token in str(caught.value)
    token = Token.parse(caught.value.token)
    script(world)
    for _ in range(2):
        answer = world.drive(settle(member, token, 3600.0, world.clocks, 0.0))
        assert answer is (outcome == "answer lost")


def test_a_token_is_not_judged_when_rows_of_its_age_may_be_gone(world, member):
    token = Token(b"x" * 16, 1800)
    world.now = 1800.0
    with pytest.raises(CommitUnknown):
        world.drive(settle(member, token, 3600.0, world.clocks, 9999.0))


def test_a_cancelled_commit_is_not_settled_behind_the_programs_back(world, member):
    script(world, "cancelled")
    with pytest.raises(CommitUnknown) as caught:
        run(course(world), member)
    assert (caught.value.token is not None, rows_or_none(world)) == (True, None)


def rows_or_none(world):
    try:
        return rows(world)
    except sqlite3.OperationalError:
        return None


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_retries_are_counted(world, member, retries):
    script(world, begins=[True] * 100)
    told = []
    with pytest.raises(NotLeader):
        run(course(world, retries=retries, on_retry=lambda *told_: told.append(told_)), member)
    assert [failures for _, failures in told] == list(range(1, retries + 1))
    assert all(isinstance(error, NotLeader) for error, _ in told)


def test_the_deadline_ends_the_retries(world, member):
    script(world, begins=[True] * 1000)
    with pytest.raises(NotLeader):
        run(course(world, deadline=3.0), member)
    assert 2 < world.now < 3


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("error", [None, Busy("later")])
def test_a_function_that_ends_the_transaction_is_refused(world, member, ending, error):
    def function():
        world.drive(member.perform(WORK))
        world.drive(member.perform(lookup(ending)))
        if error is not None:
            raise error

    calls = []
    with pytest.raises(ProgrammingError if error is None else Busy):
        run(course(world), member, lambda: calls.append(1) or function())
    assert (len(calls), world.done()) == (1, int(ending == "COMMIT"))


def test_a_transaction_within_another_is_refused_and_the_outer_one_stays(world, member):
    world.drive(member.perform(lookup("BEGIN")))
    world.drive(member.perform(WORK))
    with pytest.raises(ProgrammingError):
        run(course(world), member)
    assert world.state.in_transaction


def test_what_interrupts_a_commit_says_that_its_outcome_is_unknown(world, member):
    script(world, "interrupted")
    once = course(world)
    world.drive(once.begin(member))
    with pytest.raises(KeyboardInterrupt) as caught:
        world.drive(once.finish(member))
    assert once.failed(member, caught.value)
    assert isinstance(caught.value.__cause__, CommitUnknown)
    token = Token.parse(caught.value.__cause__.token)
    assert world.drive(settle(member, token, 3600.0, world.clocks, 0.0)) is False


@pytest.mark.parametrize(
    "policy",
    [
        {"deadline": 0},
        {"deadline": 1800},
        {"deadline": float("nan")},
        {"deadline": 60, "keep_tokens": 100},
        {"begin": "later"},
        {"retries": -1},
    ],
)
def test_policies_that_make_no_sense(policy):
    with pytest.raises(InterfaceError):
        Policy(**policy)


@pytest.mark.parametrize("text", ["", "-", "00-1", "zz" * 16 + "-1", "00" * 16, "00" * 16 + "-x"])
def test_texts_that_are_no_tokens(text):
    with pytest.raises(InterfaceError):
        Token.parse(text)


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**40))
def test_a_token_survives_its_text(key, until):
    assert Token.parse(str(Token(key, until))) == Token(key, until)


def test_old_tokens_are_pruned_a_few_at_a_time(world, member):
    world.state.execute(DDL)
    never = 2**40
    tokens = [(number.to_bytes(16, "big"), number % 2 * never) for number in range(1000, 2000)]
    world.state.executemany("INSERT INTO dqlite_transactions VALUES (?, NULL, ?)", tokens)
    world.chance = 0.0
    before = rows(world)[0]
    for _ in range(3):
        run(course(world), member)
        after = rows(world)[0]
        assert before - 100 <= after < before
        before = after
    fresh = "SELECT count(*) FROM dqlite_transactions WHERE expires = ?"
    assert world.state.execute(fresh, (never,)).fetchone() == (500,)


def test_the_token_is_not_counted_as_a_change(world, member):
    script(world, "request lost", "answer lost", "ok")
    world.chance = 0.0
    run(course(world), member)
    assert member.changes == 2


def test_the_ddl_in_the_documentation_is_the_one_that_is_used():
    assert DDL in (DOCS / "how-to" / "exactly-once.md").read_text()
