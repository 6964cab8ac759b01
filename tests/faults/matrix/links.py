"""Cuts, slows and thins what members and clients send each other, by the direction.

Packets for some destinations are routed into a TUN device in the sender's network namespace. With
nobody at its other end they are lost without a word; otherwise `detour` sends them on, later.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack

from tests.faults.matrix import detour
from tests.support.netns import Network

HOW = (
    "cut links: routed into a TUN device without a reader; delay and loss: into one whose reader"
    " is a user-space program that sends them on (this needs neither netem nor NFQUEUE)"
)
CLIENTS = 0  #: members have the numbers 1 to n
_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


class Links:
    """All directed links of a network; `heal` undoes everything at once."""

    def __init__(self, network: Network, count: int) -> None:
        """Fails with the reason where there are no TUN devices."""
        if not os.path.exists(_TUN):
            raise RuntimeError(f"no {_TUN}: load the module tun, or give the container the device")
        self._network = network
        self._numbers = range(count + 1)
        self._voids: dict[int, int] = {}
        self._resources = ExitStack()

    def cut(self, source: int, target: int) -> None:
        """Lose what one sends to the other."""
        with self._inside(source):
            if source not in self._voids:
                self._voids[source] = self._device("void")
            self._route("void", source, target)

    def separate(self, one: int, other: int) -> None:
        """Lose what two send each other."""
        self.cut(one, other)
        self.cut(other, one)

    def slow(self, delay: tuple[float, float], loss: float, seed: int) -> None:
        """Let every packet take that long, in seconds one way, or be lost: a share of them."""
        taps, kept = [], []
        with ExitStack() as ours:
            for source in self._numbers:
                with self._inside(source):
                    tap = self._device("detour", ours)
                    ways = {
                        self._address(source, target): self._way(source, target, ours)
                        for target in self._targets(source)
                    }
                taps.append((tap, ways))
                kept += [tap, *ways.values()]
            plan = {"seed": seed, "delay": delay, "loss": loss, "taps": taps}
            command = [sys.executable, detour.__file__, json.dumps(plan)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=kept)
        self._resources.callback(process.wait)
        assert process.stdin is not None
        self._resources.callback(process.stdin.close)
        for source in self._numbers:
            with self._inside(source):
                for target in self._targets(source):
                    self._route("detour", source, target)

    def heal(self) -> None:
        """All links as they were: the devices go, and their routes with them."""
        self._voids.clear()
        self._resources.close()

    def _targets(self, source: int) -> Iterable[int]:
        return (number for number in self._numbers if number != source)

    def _inside(self, number: int) -> AbstractContextManager[None]:
        return self._network.inside(None if number == CLIENTS else number)

    def _address(self, source: int, target: int) -> str:
        return self._network.clients(source) if target == CLIENTS else self._network.host(target)

    def _own(self, source: int, target: int) -> str:
        return self._network.clients(target) if source == CLIENTS else self._network.host(source)

    def _device(self, name: str, stack: ExitStack | None = None) -> int:
        """Make a TUN device in this namespace; it lives as long as its descriptor."""
        tap = os.open(_TUN, os.O_RDWR)
        (stack or self._resources).callback(os.close, tap)
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        _ip("link", "set", name, "up")
        return tap

    def _route(self, device: str, source: int, target: int) -> None:
        address, own = self._address(source, target), self._own(source, target)
        _ip("route", "prepend", f"{address}/32", "dev", device, "src", own)

    def _way(self, source: int, target: int, stack: ExitStack) -> int:
        """A socket that sends ready-made packets along the real link."""
        raw = stack.enter_context(
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        )
        device = f"c{target}" if source == CLIENTS else "clients" if target == CLIENTS else "peers"
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        return raw.fileno()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
