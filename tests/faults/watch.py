"""Asks members who leads, apart from the driver, so that it can be measured against that."""

from __future__ import annotations

import socket
import struct
import threading
import time

_HANDSHAKE = struct.pack("<Q", 1)
_WHO_LEADS = struct.pack("<IBBHQ", 1, 0, 0, 0, 0)


class LeaderWatch:
    """Notes when the first of `addresses` names itself the leader; a context manager."""

    def __init__(self, addresses: list[str]) -> None:
        self.seen_at = float("inf")  #: of the monotonic clock
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(each,)) for each in addresses]

    def __enter__(self) -> LeaderWatch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), 5) as asked:
            asked.sendall(_HANDSHAKE)
            while not self._stop.is_set():
                asked.sendall(_WHO_LEADS)
                if address.encode() + b"\0" in asked.recv(4096):
                    self.seen_at = min(self.seen_at, time.monotonic())
                    return
                self._stop.wait(0.005)
