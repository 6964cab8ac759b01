"""Finding the leader: the last known one first, then all members side by side.

A member is believed only when it answers a leader-only request itself. Every member that is
raced asks again by itself every 50 to 100 ms, so that one that hangs delays none of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from dqlite_dbapi.errors import Error, Interrupted, NoLeader, NotLeader, Timeout
from dqlite_dbapi.protocol.backoff import delays
from dqlite_dbapi.protocol.effects import Flow, Limit, Open, Race, Sleep
from dqlite_dbapi.protocol.session import Session

#: The last known leader has this many seconds before the other members are asked as well.
FIRST_ATTEMPT = 0.5
#: A raced member has this many seconds for one attempt.
RACED_ATTEMPT = 3.0
WIDTH = 16
_MAX_HOPS = 3


class MemberView(Protocol):
    """What the search needs of a node store."""

    def candidates(self) -> tuple[str, ...]:
        """Addresses to ask, the likeliest leader first."""

    def learn(self, session: Session) -> None:
        """Take over what a session to a leader told about the cluster."""

    def forget(self, address: str, *, is_slow: bool = False) -> None:
        """Stop asking `address` first; ask it last of all if it `is_slow`."""


class LeaderSearch:
    """Searches for the leader of one cluster; `opening` greets a member in a new session."""

    def __init__(
        self,
        view: MemberView,
        opening: Callable[[Session], Flow[None]],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._view = view
        self._opening = opening
        self._clock = clock
        self._random = random

    def find(self, deadline: float, limit: float) -> Flow[Session]:
        """Return a READY session to the leader, its exchanges limited to `limit` seconds.

        `NoLeader` at `deadline` (of the clock), with each member's reason.
        """
        candidates = self._view.candidates()
        first = candidates[0]
        errors: dict[str, Error] = {}
        try:
            patience = min(FIRST_ATTEMPT, self._remaining(deadline))
            session = yield from self._attempt(first, patience, follow=frozenset())
        except Error as error:
            if isinstance(error, Interrupted):
                raise
            errors[first] = error
            self._view.forget(first, is_slow=isinstance(error, Timeout))
            candidates = tuple(dict.fromkeys((*self._view.candidates(), *_named(error))))
            pursuits = tuple(
                partial(self._pursue, address, deadline, frozenset(candidates))
                for address in candidates
            )
            outcome = yield Race(pursuits, WIDTH)
            if outcome.value is None:
                errors.update(zip(candidates, outcome.errors, strict=True))
                raise _no_leader(errors) from None
            session = outcome.value
        self._view.learn(session)
        session.patience = limit
        yield Limit(limit)
        return session

    def _remaining(self, deadline: float) -> float:
        return max(deadline - self._clock(), 0.01)

    def _pursue(self, address: str, deadline: float, racing: frozenset[str]) -> Flow[Session]:
        pauses = delays(0.05, 0.1, self._random)
        while True:
            patience = min(RACED_ATTEMPT, self._remaining(deadline))
            try:
                return (yield from self._attempt(address, patience, follow=racing))
            except Error as error:
                if not error.is_retryable or self._clock() >= deadline:
                    raise
                yield Sleep(min(next(pauses), self._remaining(deadline)))

    def _attempt(self, address: str, patience: float, follow: frozenset[str]) -> Flow[Session]:
        """Open a session at `address` or at the leader it names, unless that is in `follow`.

        A redirect to a racing member is left to that member's own pursuit.
        """
        tried: set[str] = set()
        while True:
            tried.add(address)
            session = Session(address, self._clock, patience)
            yield Open(address, patience)
            try:
                yield from self._opening(session)
            except NotLeader:
                target = session.leader
                if not target or target in tried or target in follow or len(tried) > _MAX_HOPS:
                    raise
                address = target
            else:
                return session


def _named(error: Error) -> tuple[str, ...]:
    return (error.address,) if error.address else ()


def _no_leader(errors: dict[str, Error]) -> NoLeader:
    reasons = "; ".join(f"{address}: {error.message}" for address, error in errors.items())
    return NoLeader(
        f"no leader was found among {len(errors)} members ({reasons})",
        hint="check that a majority of the members runs and that the addresses are right",
    )
