"""The node host's branch of the one exception tree (`dqlite_dbapi.Error` is its root)."""

from __future__ import annotations

import signal as signals
from collections.abc import Sequence

from dqlite_dbapi.errors import Error, NoLeader


class NodeError(Error):
    """A member could not be hosted, or was used wrongly; base of this module's errors."""


class NodeStartError(NodeError):
    """The member did not start: port, directory, identity or engine; it holds nothing open."""


class NodeStopError(NodeError):
    """The member did not stop in order before the deadline and was killed, or refused to stop."""


class NodeAlreadyRunningError(NodeError):
    """The call needs a stopped member."""


class NodeNotRunningError(NodeError):
    """The call needs a running member."""


class ClusterError(Error):
    """Something about the cluster as a whole; base of the two below."""


class ClusterJoinError(ClusterError):
    """The member could not join the cluster, yet or at all; it tries on until it is stopped."""


class ClusterQuorumLostError(ClusterError, NoLeader):
    """Fewer voters are up than a majority, so nobody leads; nothing was applied."""


class NodeCrashed(NodeError):
    """The member's process ended by itself.

    Attributes: `signal` its number or None, `exitcode` 0-255 or None, `last_lines` what the
    process wrote last to its standard error.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: int | None = None,
        address: str | None = None,
        hint: str | None = None,
        signal: int | None = None,
        exitcode: int | None = None,
        last_lines: Sequence[str] = (),
    ) -> None:
        super().__init__(message, code=code, address=address, hint=hint)
        self.signal = signal
        self.exitcode = exitcode
        self.last_lines = tuple(last_lines)

    @classmethod
    def from_returncode(
        cls, returncode: int, address: str, last_lines: Sequence[str]
    ) -> NodeCrashed:
        """Build it from `subprocess`'s return code: negative is a signal's number."""
        signal = -returncode if returncode < 0 else None
        exitcode = returncode if returncode >= 0 else None
        how = signals.strsignal(signal) if signal else f"exit status {exitcode}"
        tail = "".join(f"\n  | {line}" for line in last_lines)
        return cls(
            f"the process of member {address} ended by itself: {how}{tail}",
            address=address,
            hint="start() makes a new one",
            signal=signal,
            exitcode=exitcode,
            last_lines=last_lines,
        )

    def __reduce__(self) -> tuple[object, ...]:
        state = (self.signal, self.exitcode, self.last_lines)
        return _rebuild_crash, (self.message, self.code, self.address, self.hint, *state)


def _rebuild_crash(
    message: str,
    code: int | None,
    address: str | None,
    hint: str | None,
    signal: int | None,
    exitcode: int | None,
    last_lines: Sequence[str],
) -> NodeCrashed:
    return NodeCrashed(
        message,
        code=code,
        address=address,
        hint=hint,
        signal=signal,
        exitcode=exitcode,
        last_lines=last_lines,
    )
