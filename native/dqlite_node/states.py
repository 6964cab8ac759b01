"""The states of a `Node` and what each call does in each of them."""

from __future__ import annotations

from enum import Enum

from dqlite_node.errors import (
    NodeAlreadyRunningError,
    NodeError,
    NodeNotRunningError,
    NodeStartError,
)


class State(Enum):
    """What a `Node` is; starting and stopping hold its lock, so nobody else sees them."""

    STOPPED = "stopped"
    RUNNING = "running"
    CRASHED = "crashed"
    CLOSED = "closed"


#: (call, state) -> the state after it, or the error that it raises.
TRANSITIONS: dict[tuple[str, State], State | type[NodeError]] = {
    ("start", State.STOPPED): State.RUNNING,
    ("start", State.CRASHED): State.RUNNING,
    ("start", State.RUNNING): NodeAlreadyRunningError,
    ("start", State.CLOSED): NodeStartError,
    ("stop", State.STOPPED): State.STOPPED,
    ("stop", State.CRASHED): State.STOPPED,
    ("stop", State.RUNNING): State.STOPPED,
    ("stop", State.CLOSED): State.CLOSED,
    ("close", State.STOPPED): State.CLOSED,
    ("close", State.CRASHED): State.CLOSED,
    ("close", State.RUNNING): State.CLOSED,
    ("close", State.CLOSED): State.CLOSED,
    ("kill", State.STOPPED): NodeNotRunningError,
    ("kill", State.CRASHED): NodeNotRunningError,
    ("kill", State.RUNNING): State.STOPPED,
    ("kill", State.CLOSED): NodeNotRunningError,
    ("signal", State.STOPPED): NodeNotRunningError,
    ("signal", State.CRASHED): NodeNotRunningError,
    ("signal", State.RUNNING): State.RUNNING,
    ("signal", State.CLOSED): NodeNotRunningError,
    ("rebind", State.STOPPED): State.STOPPED,
    ("rebind", State.CRASHED): State.CRASHED,
    ("rebind", State.RUNNING): NodeAlreadyRunningError,
    ("rebind", State.CLOSED): State.CLOSED,
}


class Restarts:
    """How often a crash is answered by a new start: `most` times in `window` seconds."""

    def __init__(self, most: int, window: float = 60.0) -> None:
        self._most = most
        self._window = window
        self._answered: list[float] = []

    def delay(self, now: float) -> float | None:
        """Seconds to wait before the start that answers a crash at `now`; None: do not start."""
        self._answered = [when for when in self._answered if now - when < self._window]
        if len(self._answered) >= self._most:
            return None
        self._answered.append(now)
        return float(0.1 * 4 ** (len(self._answered) - 1))
