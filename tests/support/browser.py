"""A headless Chromium that tests steer by its DevTools protocol, over a pair of pipes."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium-headless-shell", "chromium")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-dev-shm-usage", "--no-proxy-server"),
    *("--disable-breakpad", "--remote-debugging-pipe"),
)
_PATIENCE = 20.0


def _program() -> str:
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    pytest.fail(
        "no Chromium: apt-get install --no-install-recommends chromium-headless-shell",
        pytrace=False,
    )


def _high_pipe() -> tuple[int, int]:
    """A pipe whose ends are not 3 or 4, which the browser wants for itself."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]


class Page:
    """One tab; `problems` are errors that its console has shown."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and give its result."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._writes, json.dumps(command).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._reads, 1 << 16)
            assert chunk, "the browser has ended"
            self._rest += chunk
        first, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        found = message.get("params", {})
        if message.get("method") == "Log.entryAdded" and found["entry"]["level"] == "error":
            self.problems.append(found["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(found["exceptionDetails"]["text"])

    def look(self, width: int, height: int, scheme: str) -> None:
        """Take that many pixels and `light` or `dark`."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, url: str) -> None:
        """Load a page and wait until it is complete."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, expression: str, timeout: float = _PATIENCE) -> None:
        """Wait until an expression is true."""
        limit = time.monotonic() + timeout
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < limit, f"not so within {timeout} s: {expression}"
            time.sleep(0.1)

    def screenshot(self, path: Path) -> None:
        """Write what is shown as PNG."""
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start a browser whose files are in the folder `profile`."""
    program = _program()
    from_us, to_browser = _high_pipe()
    from_browser, to_us = _high_pipe()
    log = os.open(profile / "log", os.O_WRONLY | os.O_CREAT)
    actions = [(os.POSIX_SPAWN_DUP2, here, there)
               for here, there in ((from_us, 3), (to_us, 4), (log, 1), (log, 2))]  # fmt: skip
    words = [program, *_FLAGS, f"--user-data-dir={profile}"]
    pid = os.posix_spawn(program, words, dict(os.environ), file_actions=actions)
    for end in (from_us, to_us, log):
        os.close(end)
    try:
        yield Page(from_browser, to_browser)
    finally:
        os.close(to_browser)  # it ends by itself then
        limit = time.monotonic() + _PATIENCE
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > limit:
                os.kill(pid, 9)
            time.sleep(0.05)
        os.close(from_browser)
