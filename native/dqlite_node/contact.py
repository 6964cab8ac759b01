"""How a background thread asks the cluster, so that another thread can end its waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dqlite_dbapi import Client, Health, InterfaceError


class Contact:
    """Makes cluster clients; `end` closes the one in use and lets no other be made."""

    def __init__(self, addresses: Callable[[], list[str]], options: Mapping[str, Any]) -> None:
        """`addresses` to ask, given anew for each client; `options` as for `Client`."""
        self._addresses = addresses
        self._options = dict(options)
        self._lock = threading.Lock()
        self._present: Client | None = None
        self._ended = threading.Event()

    @property
    def has_ended(self) -> bool:
        """True after `end`."""
        return self._ended.is_set()

    def sleep(self, seconds: float) -> bool:
        """Wait; False as soon as `end` is called."""
        return not self._ended.wait(seconds)

    @contextmanager
    def client(self, timeout: float) -> Iterator[Client]:
        """A cluster client with `timeout` seconds a call; InterfaceError after `end`."""
        with self._lock:
            if self._ended.is_set():
                raise InterfaceError("the application is being closed")
            client = self._present = Client(self._addresses(), timeout=timeout, **self._options)
        try:
            with client:
                yield client
        finally:
            self._present = None

    def look(self, addresses: list[str], timeout: float) -> Health:
        """State of the cluster as these addresses tell it, within `timeout` seconds."""
        with Client(addresses, **self._options) as client:
            return client.health(timeout)

    def end(self) -> None:
        """Interrupt what is under way; from any thread."""
        self._ended.set()
        with self._lock:
            present = self._present
        if present is not None:
            present.close()
