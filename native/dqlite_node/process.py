"""The parent's side of a supervised child process that hosts one member (see `child`).

Channel: a socket pair of which the child gets one end, JSON lines both ways. Parent: the settings,
then `{"do": "stop", "giving": ...}`. Child: `{"event": "running"|"failed"|"stopped", ...}`, and
`{"event": "phase", ...}` at any time. End of file on the channel is the order to stop: a parent
that died leaves no child.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import IO, Any

from dqlite_node import errors
from dqlite_node.errors import NodeCrashed, NodeError, NodeStartError, NodeStopError
from dqlite_node.member import NOTHING
from dqlite_node.settings import Facts, Settings

LAST_LINES = 40
LINE_LENGTH = 2000

_log = logging.getLogger("dqlite_node")
_LEVEL = re.compile(r"<(\d+)>")


class Child:
    """One start of one member in a child process; `start` once, then `stop` or `kill`.

    `phase` and `trouble` are the last that its `Member` told.
    """

    def __init__(self, settings: Settings, *, start_timeout: float, stop_timeout: float,
                 launcher: Sequence[str], on_crash: Callable[[], None]) -> None:  # fmt: skip
        """Timeouts in seconds; `launcher` words go before the Python interpreter.

        `on_crash` is called, in a thread that it must not hold up, when the process has ended by
        itself after it ran.
        """
        self.phase: str = ""
        self.trouble = ""
        self._settings = settings
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._launcher = tuple(launcher)
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._on_crash = on_crash
        self._running = False
        self._expected = threading.Event()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process is there; it may be paused."""
        return self._process.poll() is None

    def start(self) -> Facts:
        """Spawn the child and wait until its member runs.

        Raises the child's NodeStartError, NodeCrashed if it died, NodeStartError on timeout.
        """
        self._channel, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = self._spawn(theirs.fileno())
        except OSError as error:
            self._channel.close()
            raise NodeStartError(
                f"the process for member {self._settings.address} cannot be made: {error}",
                address=self._settings.address,
            ) from error
        self._supervisor = threading.Thread(
            target=self._supervise, name=f"dqlite_node {self.pid}", daemon=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._supervisor.start()
        self._reader.start()
        try:
            facts = self._await_running()
        except BaseException:
            self._finish(kill=True)
            raise
        self.phase = self.phase or facts.phase
        self._running = True
        return facts

    def stop(self, giving: str = NOTHING) -> None:
        """Have the member hand over and stop; NodeStopError if it had to be killed instead."""
        self._expected.set()
        self._process.send_signal(signal.SIGCONT)
        try:
            self._send({"do": "stop", "giving": giving})
            answer = self._receive(self._stop_timeout + self._settings.handover_timeout)
        except TimeoutError:
            answer = {"event": "failed", "message": "no answer in time"}
        except OSError:
            answer = None
        in_order = answer is not None and answer["event"] == "stopped"
        self._finish(kill=not in_order)
        if not in_order:
            reason = self.crash().message if answer is None else answer["message"]
            raise NodeStopError(
                f"member {self._settings.address} was killed, it did not stop: {reason}",
                address=self._settings.address,
            )

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash or a power cut would."""
        self._expected.set()
        self._finish(kill=True)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process is gone."""
        self._process.send_signal(number)

    def pause(self) -> None:
        """Freeze the process and wait until the kernel has: its threads run on for a moment."""
        self._process.send_signal(signal.SIGSTOP)
        with contextlib.suppress(ChildProcessError):  # it is gone
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def discard(self) -> None:
        """Free what is left of a process that ended."""
        self._finish(kill=False)

    def abandon(self) -> None:
        """Close the channel because the owner is gone: the child, paused or not, ends itself."""
        self._process.send_signal(signal.SIGCONT)
        try:
            self._channel.shutdown(socket.SHUT_RDWR)
        except OSError:
            _log.debug("the channel to member %s is gone", self._settings.address)

    def crash(self) -> NodeCrashed:
        """Describe how the process ended; waits for that."""
        self._supervisor.join()
        return self._describe_end()

    def _describe_end(self) -> NodeCrashed:
        return NodeCrashed.from_returncode(
            self._process.returncode, self._settings.address, tuple(self._last_lines)
        )

    def _spawn(self, descriptor: int) -> subprocess.Popen[bytes]:
        interpreter = [*self._launcher, sys.executable, "-m", "dqlite_node.child"]
        return subprocess.Popen(
            [*interpreter, str(descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[descriptor],
            start_new_session=True,
            cwd="/",
        )

    def _await_running(self) -> Facts:
        try:
            self._send(asdict(self._settings))
            answer = self._receive(self._start_timeout)
        except TimeoutError as error:
            raise NodeStartError(
                f"member {self._settings.address} did not start in {self._start_timeout} s",
                address=self._settings.address,
                hint="a large directory takes longer to load: raise start_timeout",
            ) from error
        except OSError:
            answer = None
        if answer is None:
            self._expected.set()
            raise self.crash()
        if answer["event"] == "running":
            return Facts(**answer["facts"])
        self._expected.set()
        kind: type[NodeError] = getattr(errors, answer["kind"])
        raise kind(answer["message"], address=answer["address"], hint=answer["hint"])

    def _send(self, message: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, timeout: float) -> dict[str, Any] | None:
        try:
            return self._answers.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def _read(self) -> None:
        """Sort what the child says: phases, and answers that somebody waits for; None at the end.

        A child that was killed may reset the channel.
        """
        try:
            with self._channel.makefile("rb") as lines:
                for line in lines:
                    event = json.loads(line)
                    if event["event"] == "phase":
                        self.phase, self.trouble = event["phase"], event["trouble"]
                    else:
                        self._answers.put(event)
        except (OSError, ValueError) as error:
            _log.debug("the channel of member %s ended: %r", self._settings.address, error)
        self._answers.put(None)

    def _finish(self, *, kill: bool) -> None:
        if kill:
            self._process.kill()
        self._supervisor.join()
        self._reader.join()
        self._channel.close()

    def _supervise(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101 - stderr=PIPE
        with stderr:
            self._relay(stderr)
        self._process.wait()
        if not self._expected.is_set():
            _log.error("%s", self._describe_end().message)
            if self._running and self._process.returncode:
                self._on_crash()

    def _relay(self, stderr: IO[bytes]) -> None:
        for raw in iter(lambda: stderr.readline(LINE_LENGTH), b""):
            line = raw.decode(errors="replace").rstrip()
            marked = _LEVEL.match(line)
            text = line[marked.end() :] if marked else line
            self._last_lines.append(text)
            level = int(marked[1]) if marked else logging.INFO
            _log.log(level, "%s: %s", self._settings.address, text)
