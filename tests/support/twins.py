"""Shows asyncio objects through a blocking facade, so that one test body serves both drivers."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any


class LoopThread:
    """An event loop on a thread of its own; any thread may run coroutines on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="aio")

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function` on the loop, wait for what it returns, and show that blocking."""

        args = tuple(arg._target if isinstance(arg, Facade) else arg for arg in args)

        async def job() -> Any:
            value = function(*map(_behind, args), **kwargs)
            return await value if inspect.isawaitable(value) else value

        return self.show(self.run(job()))

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop to its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def show(self, value: Any) -> Any:
        """A facade for objects of `dqlite_dbapi.aio`, anything else as it is."""
        is_ours = type(value).__module__.startswith("dqlite_dbapi.aio")
        return Facade(value, self) if is_ours or inspect.isasyncgen(value) else value

    def __enter__(self) -> LoopThread:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Facade:
    """Blocks where the asyncio object behind it is awaited; attributes pass through."""

    def __init__(self, target: Any, loop: LoopThread) -> None:
        self.__dict__.update(_target=target, _loop=loop)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not inspect.ismethod(value):
            return self._loop.show(value)
        return lambda *args, **kwargs: self._loop.call(value, *args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        setter = getattr(self._target, f"set_{name}", None)
        if setter is None:
            setattr(self._target, name, value)
        else:
            self._loop.call(setter, value)

    def __enter__(self) -> Any:
        return self._loop.call(self._target.__aenter__)

    def __exit__(self, *details: Any) -> Any:
        return self._loop.call(self._target.__aexit__, *details)

    def __iter__(self) -> Facade:
        return self

    def __next__(self) -> Any:
        try:
            return self._loop.call(self._target.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Facade) and self._target is other._target

    def __hash__(self) -> int:
        return hash(self._target)


def _behind(value: Any) -> Any:
    return value._target if isinstance(value, Facade) else value
