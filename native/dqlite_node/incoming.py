"""What comes in to the engine is ended: its listener, and what it accepted in this process."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dqlite_node.dial import split_address

PATIENCE = 0.5  #: seconds that the engine has to close what was cut
_PAUSE = 0.001
_RESET = struct.pack("@ii", 1, 0)


def hang_up(listener: str) -> None:
    """Accept nobody any more at `listener`, and end every connection accepted there.

    `listener`: the bound address, numeric or `@name`. Returns when the engine has closed them.
    """
    give_up = time.monotonic() + PATIENCE
    while _sweep(listener) and time.monotonic() < give_up:
        time.sleep(_PAUSE)


def _sweep(listener: str) -> bool:
    """End what there is; whether there was anything."""
    found = False
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), _borrowed(int(name)) as connection:
            if not _is_at(connection.getsockname(), listener):
                continue
            found = True
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                _replace(int(name))
            else:
                _cut_off(connection)
    return found


def _cut_off(connection: socket.socket) -> None:
    """Have the engine see the end of the stream, and the peer a reset when it closes it.

    A peer that is sending much, such as a snapshot, would else wait at a closed window for minutes.
    """
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.shutdown(socket.SHUT_RDWR)


def _replace(descriptor: int) -> None:
    """Put a listener that nobody can find in the place of one that the engine still polls."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as substitute:
        substitute.setblocking(False)
        substitute.bind("")
        substitute.listen()
        os.dup2(substitute.fileno(), descriptor, inheritable=False)


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """A duplicate: the engine's thread may close its own, and the number be used again."""
    duplicate = os.dup(descriptor)
    try:
        connection = socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise
    with connection:
        yield connection


def _is_at(own: object, listener: str) -> bool:
    if isinstance(own, tuple):
        return not listener.startswith("@") and own[1] == split_address(listener)[1]
    return isinstance(own, bytes) and own == b"\0" + listener[1:].encode()
