"""What a flow may yield, and what the runner sends back.

- `bytes`: send them and give back the next chunk received; `b""` only receives.
- `Send`: send a message without waiting for what it brings; gives back None.
- `Into`: receive into the memory it holds; gives back how many bytes came.
- `Open`: drop the present socket and dial a member; gives back None.
- `Limit`: set how long one exchange may take; gives back None.
- `Check`: see, without waiting, that the peer has not closed the socket; gives back None.
- `Sleep`: wait; gives back None.
- `Race`: run flows side by side, each with a socket of its own; gives back a `RaceResult`.

Failures come as exceptions raised at the `yield`: `ConnectionLost` for a refused, reset or closed
socket, `Timeout` for a limit that passed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from dqlite_dbapi.errors import Error

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send `message` and receive nothing yet."""

    message: bytes


@dataclass(frozen=True)
class Into:
    """Receive at least one byte and at most as many as `room` takes."""

    room: memoryview


@dataclass(frozen=True)
class Open:
    """Dial `address` within `timeout` seconds, which then limits each exchange as well."""

    address: str
    timeout: float


@dataclass(frozen=True)
class Limit:
    """Let each later exchange take `seconds` at most."""

    seconds: float


@dataclass(frozen=True)
class Check:
    """Raise `ConnectionLost` if the peer has closed the socket: what was not sent is not lost."""


@dataclass(frozen=True)
class Sleep:
    """Wait for `seconds`."""

    seconds: float


@dataclass(frozen=True)
class Race:
    """Run `flows` side by side, at most `width` at once, until one returns without an error.

    The winner's socket becomes the runner's; the losers' are closed.
    """

    flows: tuple[Callable[[], Flow[Any]], ...]
    width: int


@dataclass(frozen=True)
class RaceResult:
    """`value` of the winner, or None with the `errors` of all, in the order of the flows."""

    value: Any
    errors: tuple[Error, ...]


Effect: TypeAlias = bytes | Send | Into | Open | Limit | Check | Sleep | Race
Flow: TypeAlias = Generator[Effect, Any, T]
