"""How much room a member's disk must have: below that it leaves in order (hazard H60).

A full disk loses acknowledged rows on libdqlite 1.11 and wedges 1.18. The engine preallocates log
segments of 8 MiB, so it meets the end before the disk is full.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

MIB = 2**20
USUAL = 256 * MIB
SHARE = 10  #: one tenth of a small disk is enough
LEAST = 32 * MIB  #: four segments
MOST_MARGIN = 64 * MIB  #: above the limit, or a quarter of it, before a member returns


class Room(NamedTuple):
    """Bytes that are free for this user, and the limit below which a member leaves."""

    free: int
    limit: int

    @property
    def is_low(self) -> bool:
        """Whether the member should leave."""
        return self.free < self.limit

    @property
    def is_enough(self) -> bool:
        """Whether a member that left should come back."""
        return self.free >= self.limit + min(self.limit // 4, MOST_MARGIN)

    def __str__(self) -> str:
        return f"{self.free / MIB:.0f} MiB free, limit {self.limit / MIB:.0f} MiB"


def usual_limit(size: int) -> int:
    """256 MiB or a tenth of the disk, what is less, but room for four segments of the log."""
    return max(min(USUAL, size // SHARE), LEAST)


def look(directory: Path, min_free: int | None) -> Room:
    """Room on the directory's disk now; `min_free` None is `usual_limit`, 0 is no limit."""
    disk = os.statvfs(directory)
    limit = usual_limit(disk.f_frsize * disk.f_blocks) if min_free is None else min_free
    return Room(disk.f_frsize * disk.f_bavail, limit)
