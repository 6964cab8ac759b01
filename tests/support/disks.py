"""Small disks for members, to be filled: a tmpfs each, so root is needed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dqlite_node.space import MIB, look

SIZE = 256 * MIB


@contextmanager
def tmpfs(path: Path, size: int) -> Iterator[None]:
    """Make a directory and mount a file system of `size` bytes there."""
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


class Disks:
    """One of SIZE bytes for each of `folders`, by number; gone when `stack` closes."""

    def __init__(self, folders: list[Path], stack: ExitStack) -> None:
        self.folders = folders
        for each in folders:
            stack.enter_context(tmpfs(each, SIZE))

    def fill(self, number: int, left: int) -> None:
        """Take all room but `left` bytes, at once, even if the engine takes some meanwhile."""
        with self._ballast(number).open("wb") as ballast:
            while (room := look(self.folders[number], 0).free) > left:
                with suppress(OSError):
                    start = ballast.seek(0, os.SEEK_END)
                    os.posix_fallocate(ballast.fileno(), start, room - left)

    def free(self, number: int) -> None:
        """Give the room back."""
        self._ballast(number).unlink(missing_ok=True)

    def _ballast(self, number: int) -> Path:
        return self.folders[number] / "ballast"
