"""Delays and drops packets routed into TUN devices; a program, ended by its standard input.

Its argument is JSON: `seed`, `delay` (least and most seconds), `loss` (a share), and `taps`: for
each device its descriptor, and for each destination that of the raw socket which sends on.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import socket
import sys
import time
from contextlib import suppress
from typing import Any

PACKET = 65536
DESTINATION = slice(16, 20)  # of an IPv4 header


class Detour:
    """Packets on their way; those of one device stay in order."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._chance = random.Random(plan["seed"])
        self._delay, self._loss = plan["delay"], plan["loss"]
        self._ways = {
            tap: {
                socket.inet_aton(target): socket.socket(fileno=raw) for target, raw in ways.items()
            }
            for tap, ways in plan["taps"]
        }
        self._due = dict.fromkeys(self._ways, 0.0)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def run(self) -> None:
        """Go on until standard input ends."""
        sources = [sys.stdin.fileno(), *self._ways]
        while True:
            wait = max(self._waiting[0][0] - time.monotonic(), 0.0) if self._waiting else None
            ready, _, _ = select.select(sources, [], [], wait)
            if sys.stdin.fileno() in ready:
                return
            for tap in ready:
                self._take(tap)
            self._send()

    def _take(self, tap: int) -> None:
        packet = os.read(tap, PACKET)
        if self._chance.random() < self._loss:
            return
        self._due[tap] = max(self._due[tap], time.monotonic() + self._chance.uniform(*self._delay))
        self._count += 1
        heapq.heappush(self._waiting, (self._due[tap], self._count, tap, packet))

    def _send(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, tap, packet = heapq.heappop(self._waiting)
            target = packet[DESTINATION]
            way = self._ways[tap].get(target)
            if way is not None:
                with suppress(OSError):  # lost, as on any network
                    way.sendto(packet, (socket.inet_ntoa(target), 0))


if __name__ == "__main__":
    Detour(json.loads(sys.argv[1])).run()
