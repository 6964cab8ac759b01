"""Disks that fill up, and disks that are lost."""

from __future__ import annotations

from dqlite_node.space import MIB
from tests.faults.matrix.faults.base import Fault
from tests.support.disks import Disks


class DiskFull(Fault):
    """The disks of one member, or of a majority, have no room, or next to none."""

    name = "disk full"
    needs = ("disks",)

    def inflict(self) -> str:
        victims = self.majority() if self.chance.random() < 0.3 else [self.often_the_leader()]
        left = self.chance.choice([0, 20 * MIB])
        for number in victims:
            self._disks.fill(number, left)
        return f"{self.name}: {sorted(victims)}, {left // MIB} MiB left"

    def heal(self) -> None:
        for number in range(self.hosts):
            self._disks.free(number)

    @property
    def _disks(self) -> Disks:
        assert self.rig.disks is not None
        return self.rig.disks


class WipedDisk(Fault):
    """A member dies, and comes back at the same address with an empty directory."""

    name = "wiped disk"

    def inflict(self) -> str:
        victim = self.often_the_leader()
        host = self.rig.hosts[victim]
        host.kill()
        host.wipe()
        return f"{self.name}: {victim}"
