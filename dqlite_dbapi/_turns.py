"""Whose turn it is to use a connection, among the tasks of one event loop."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """An `asyncio.Lock` of which a task that need not wait takes its turn without a coroutine.

    That is what nearly every call does: 4 % of a short one's time. `if not turns.take(): await
    turns.wait()`, and `give` in any case. Whoever waits is served in the order of coming.
    """

    __slots__ = ("_waiting", "is_taken")

    def __init__(self) -> None:
        self.is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Begin a turn if nobody has one, which it tells."""
        if self.is_taken:
            return False
        self.is_taken = True
        return True

    async def wait(self) -> None:
        """Begin a turn when those before have ended theirs."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # it was cancelled after its turn had begun
                self.give()
            raise

    def give(self) -> None:
        """End the turn: the next one's begins."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.is_taken = False

    async def __aenter__(self) -> None:
        if not self.take():
            await self.wait()

    async def __aexit__(self, *_: object) -> None:
        self.give()
