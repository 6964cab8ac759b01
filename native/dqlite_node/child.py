"""The child process that hosts one member: `python -m dqlite_node.child DESCRIPTOR`.

It hands over and stops on `{"do": "stop"}`, on SIGTERM, and when its parent is gone: end of file
on the channel, or another parent process. On SIGHUP it reads its certificate again. See `process`
for the channel.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from dqlite_node.errors import NodeError
from dqlite_node.member import ALL, LEADERSHIP, Member
from dqlite_node.settings import Settings

STOP_DEADLINE = 4.0  #: seconds that an orphan may take to stop
PARENT_CHECK = 1.0  #: seconds between looks at the parent


class Channel:
    """The child's end: settings first, then orders from a thread that also notices the end."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lines = self._socket.makefile("rb")
        self._orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._sending = threading.Lock()

    def settings(self) -> Settings:
        """Read the first line."""
        return Settings.from_json(json.loads(self._lines.readline()))

    def listen(self) -> None:
        """Read orders from now on; after the end of file the process has STOP_DEADLINE left."""
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def _read(self) -> None:
        for line in self._lines:
            self._orders.put(json.loads(line)["giving"])
        self._orders.put(LEADERSHIP)
        threading.Timer(STOP_DEADLINE, os._exit, [1]).start()

    def on_signal(self, *_signal: object) -> None:
        """Order the main thread to stop as the service manager's signal asks for."""
        self._orders.put(ALL)

    def wait_for_stop(self, parent: int) -> str:
        """Block until an order to stop, or until the process has another parent.

        Gives what to give away before.
        """
        # After this look `get` cannot wait for ever (see the driver's `_bell`).
        with suppress(queue.Empty):
            return self._orders.get_nowait()
        while os.getppid() == parent:
            try:
                return self._orders.get(timeout=PARENT_CHECK)
            except queue.Empty:
                continue
        return LEADERSHIP

    def tell(self, event: str, **facts: Any) -> None:
        """Send one line; a parent that is gone hears nothing."""
        try:
            with self._sending:
                self._socket.sendall(json.dumps({"event": event, **facts}).encode() + b"\n")
        except OSError:
            logging.getLogger("dqlite_node").debug("nobody hears %r", event)

    def tell_phase(self, phase: str, trouble: str) -> None:
        """Send a change of the member's phase."""
        self.tell("phase", phase=phase, trouble=trouble)


def describe(error: NodeError) -> dict[str, str | None]:
    """Fields from which the parent makes the same error."""
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "address": error.address,
        "hint": error.hint,
    }


def main(descriptor: int) -> int:
    """Host the member described on the channel; exit status 0 after an orderly stop."""
    parent = os.getppid()
    logging.basicConfig(format="<%(levelno)s>%(message)s", level=logging.INFO)
    channel = Channel(descriptor)
    signal.signal(signal.SIGTERM, channel.on_signal)
    member = Member(channel.settings(), channel.tell_phase, exits=True)
    signal.signal(signal.SIGHUP, lambda *_signal: member.reload_tls())
    channel.listen()
    try:
        facts = member.start()
        channel.tell("running", facts=asdict(facts))
        member.stop(channel.wait_for_stop(parent))
    except NodeError as error:
        channel.tell("failed", **describe(error))
        return 1
    channel.tell("stopped")
    return 0


if __name__ == "__main__":
    status = main(int(sys.argv[1]))
    sys.stderr.flush()
    os._exit(status)
