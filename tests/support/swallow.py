"""A proxy in front of one member that spoils the COMMITs it is told to spoil."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from tests.support.fakeserver import FakeServer

#: "request": it never reaches the member. "answer": the member's answer never reaches the driver.
#: "silence": the same, and the connection stays open. A callable is called before "silence".
Mishap = str | Callable[[], object]


class SwallowingProxy(FakeServer):
    """Passes bytes on; `mishaps` befall the COMMITs to come, in order.

    Members name each other by address, so the member's own address is replaced by the proxy's.
    """

    def __init__(self, target: str) -> None:
        super().__init__(self._pass_on)
        self.mishaps: list[Mishap] = []
        self.is_cut = False  #: True: connections are closed as soon as they are made
        self._target = target

    def _pass_on(self, client: socket.socket) -> None:
        if self.is_cut:
            return
        host, _, port = self._target.rpartition(":")
        with (
            socket.create_connection((host, int(port))) as member,
            selectors.DefaultSelector() as ready,
        ):
            for each in (client, member):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ready.register(each, selectors.EVENT_READ)
            is_open = True
            while is_open:
                for key, _ in ready.select():
                    if key.fileobj is client:
                        is_open = is_open and self._upstream(client, member)
                    else:
                        is_open = is_open and self._downstream(client, member)

    def _upstream(self, client: socket.socket, member: socket.socket) -> bool:
        data = client.recv(65536)
        if b"COMMIT\0" in data and self.mishaps:
            mishap = self.mishaps.pop(0)
            if mishap == "request":
                return False
            member.sendall(data)
            member.recv(65536)
            if mishap != "answer":
                if callable(mishap):
                    mishap()
                client.recv(1)
            return False
        member.sendall(data)
        return bool(data)

    def _downstream(self, client: socket.socket, member: socket.socket) -> bool:
        data = member.recv(65536)
        client.sendall(data.replace(self._target.encode(), self.address.encode()))
        return bool(data)
