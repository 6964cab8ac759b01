"""Readable sockets of an event loop, all of which cost it one callback a turn.

A loop makes a handle of each socket that has become readable, which with many connections is a
tenth of a call's time. So it watches one `epoll` object here, which watches the sockets.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

#: Sockets looked at in one turn; the others are first in the next.
_MOST = 64


class Poller:
    """The sockets that one loop waits for; the loop alone keeps it alive, while it is open."""

    __slots__ = ("__weakref__", "_callbacks", "_epoll")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._look)

    def add(self, descriptor: int, callback: Callable[[], object]) -> None:
        """Call `callback` in each turn of the loop in which the socket is readable."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._callbacks[descriptor] = callback

    def remove(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> bool:
        """Call it no more; True when that was the last one, and the poller is closed."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
        if self._callbacks:
            return False
        loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        return True

    def _look(self) -> None:
        callbacks = self._callbacks
        for descriptor, _ in self._epoll.poll(0, _MOST):
            callback = callbacks.get(descriptor)  # none if one before it has removed it
            if callback is not None:
                callback()


#: Both sides weak: a poller leads to its sockets, and they to their loop.
_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[Poller]] = WeakKeyDictionary()


def _poller_of(loop: asyncio.AbstractEventLoop) -> Poller | None:
    known = _pollers.get(loop)
    return None if known is None else known()


def watch(loop: asyncio.AbstractEventLoop, descriptor: int, callback: Callable[[], object]) -> None:
    """As `loop.add_reader`; where there is no epoll it is that. `OSError` without resources."""
    if not hasattr(select, "epoll"):
        loop.add_reader(descriptor, callback)
        return
    poller = _poller_of(loop)
    if poller is None:
        poller = Poller(loop)
        _pollers[loop] = ref(poller)
    poller.add(descriptor, callback)


def forget(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    """As `loop.remove_reader`, before the socket is closed; nothing if it is not watched."""
    poller = _poller_of(loop)
    if poller is None:
        loop.remove_reader(descriptor)
    elif poller.remove(descriptor, loop):
        del _pollers[loop]
