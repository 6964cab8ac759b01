"""Members in network namespaces of their own, so that one can be cut off from its peers alone.

    hub: bridge "peers", no address          member i: 10.77.0.i
      p1 -- "peers" of member 1                lo, peers, clients
      c1 -- "clients" of member 1

Members reach each other over the bridge. Clients run in the hub and reach each member over a link
of its own, which a cut does not touch: it takes the member's other link out of the bridge, whose
packets are then lost without a word.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

_CLONE_NEWNET = 0x40000000
_INSTALL = "apt-get install iproute2"


class Network:
    """A hub and `count` namespaces for members, which have the numbers 1 to `count`."""

    def __init__(self, count: int) -> None:
        """Nothing is made yet; fails with the install line where `ip` is missing."""
        if shutil.which("ip") is None:
            raise RuntimeError(f"network namespaces need the command `ip`: {_INSTALL}")
        if os.geteuid() != 0:
            raise RuntimeError("network namespaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN)")
        self._hub = f"dqlite-{uuid.uuid4().hex[:8]}"
        self._numbers = range(1, count + 1)

    def host(self, number: int) -> str:
        """Address of a member's host, for peers and clients alike."""
        return f"10.77.0.{number}"

    def clients(self, number: int) -> str:
        """Address that clients have for a member."""
        return f"10.77.{number}.1"

    def launcher(self, number: int) -> list[str]:
        """Words before a command that is to run in a member's namespace."""
        return ["ip", "netns", "exec", self._name(number)]

    def cut(self, number: int) -> None:
        """Lose every packet between a member and its peers, in both directions."""
        _ip("-n", self._hub, "link", "set", f"p{number}", "nomaster")

    def heal(self, number: int) -> None:
        """Undo `cut`."""
        _ip("-n", self._hub, "link", "set", f"p{number}", "master", "peers")

    @contextmanager
    def inside(self, number: int | None = None) -> Iterator[None]:
        """Let this thread, and threads that it starts, make sockets in the hub, or at a member."""
        name = self._hub if number is None else self._name(number)
        with open("/proc/thread-self/ns/net") as before:
            _enter(f"/run/netns/{name}")
            try:
                yield
            finally:
                _enter(f"/proc/self/fd/{before.fileno()}")

    def __enter__(self) -> Network:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remove()

    def _name(self, number: int) -> str:
        return f"{self._hub}-{number}"

    def _build(self) -> None:
        hub = self._hub
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "peers", "type", "bridge")
        _ip("-n", hub, "link", "set", "peers", "up")
        for number in self._numbers:
            member = self._name(number)
            _ip("netns", "add", member)
            _ip("-n", member, "link", "set", "lo", "up")
            self._join(f"p{number}", "peers", f"{self.host(number)}/24", member)
            self._join(f"c{number}", "clients", f"10.77.{number}.2/24", member)
            self.heal(number)
            _ip("-n", hub, "address", "add", f"{self.clients(number)}/24", "dev", f"c{number}")
            _ip("-n", hub, "route", "add", self.host(number), "via", f"10.77.{number}.2")

    def _join(self, here: str, there: str, address: str, member: str) -> None:
        """Make a link between the hub and a member, and give the member's end an address."""
        ends = [here, "type", "veth", "peer", "name", there, "netns", member]
        _ip("-n", self._hub, "link", "add", *ends)
        _ip("-n", self._hub, "link", "set", here, "up")
        _ip("-n", member, "address", "add", address, "dev", there)
        _ip("-n", member, "link", "set", there, "up")

    def _remove(self) -> None:
        for name in (*map(self._name, self._numbers), self._hub):
            if Path("/run/netns", name).exists():
                _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _enter(path: str) -> None:
    """Move this thread into a namespace (setns(2); `os.setns` is newer than Python 3.10)."""
    with open(path) as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns", path)
