"""A small event loop in a thread of its own: descriptors, jobs from other threads, a tick.

It is the gate's data path, so a ready descriptor costs one call and nothing else.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

IN, OUT = select.EPOLLIN, select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR  #: told whether asked for or not
TICK = 1.0  #: seconds between two ticks

_log = logging.getLogger("dqlite_node")


class Loop:
    """`start` once, then `close`. All but `call` and `close` belong to the loop's own thread."""

    def __init__(self, name: str) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._jobs: deque[Callable[[], None]] = deque()
        self._ticks: list[Callable[[float], None]] = []
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self.watch(self._wake, IN, self._drain)
        self._thread.start()

    def close(self, last: Callable[[], None]) -> None:
        """Run the jobs that are there, then `last`, and end the thread; later jobs are refused."""
        with self._lock:
            if self._ended:
                return
            self._jobs.append(last)
            self._ended = True
        os.write(self._waker, b"!")
        self._thread.join()
        self._epoll.close()
        os.close(self._wake)
        os.close(self._waker)

    def call(self, job: Callable[[], None]) -> bool:
        """Have the loop run `job` soon; False if it has ended. From any thread."""
        with self._lock:
            if self._ended:
                return False
            self._jobs.append(job)
            try:
                os.write(self._waker, b"!")
            except BlockingIOError:
                _log.debug("the loop is awake")
        return True

    def each_tick(self, action: Callable[[float], None]) -> None:
        """Call `action` with the monotonic time, about every TICK seconds; before `start`."""
        self._ticks.append(action)

    def watch(self, descriptor: int, mask: int, handler: Callable[[int], None]) -> None:
        """Call `handler` with the events of a descriptor, as long as they last."""
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, mask)

    def change(self, descriptor: int, mask: int) -> None:
        """Wait for other events; end of stream and errors are always told."""
        self._epoll.modify(descriptor, mask)

    def forget(self, descriptor: int) -> None:
        """Watch no longer; before the descriptor is closed."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _drain(self, _mask: int) -> None:
        os.read(self._wake, 4096)
        while self._jobs:
            self._guarded(self._jobs.popleft())

    def _run(self) -> None:
        handlers, poll = self._handlers, self._epoll.poll
        next_tick = time.monotonic() + TICK
        while not self._ended or self._jobs:
            for descriptor, mask in poll(TICK):
                handler = handlers.get(descriptor)
                if handler is not None:
                    try:
                        handler(mask)
                    except Exception:
                        _log.exception("the gate goes on without a descriptor")
                        self.forget(descriptor)
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK
                for action in self._ticks:
                    self._guarded(partial(action, now))

    @staticmethod
    def _guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:
            _log.exception("the gate goes on")
