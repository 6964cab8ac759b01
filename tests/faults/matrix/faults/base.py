"""What all faults have in common: rounds in which the rig is hurt, and healed."""

from __future__ import annotations

import random
import time
from typing import ClassVar

from tests.faults.matrix.rig import Rig
from tests.support.engines import Engine


class Fault:
    """Hurts a rig, again and again; what it does in a round depends on the seed and the rig only.

    `bands`: when it hurt, as pairs of seconds of the monotonic clock. `notes`: what was done.
    """

    name: ClassVar[str]
    hosts: ClassVar[int] = 3
    voters: ClassVar[int] = 3
    needs: ClassVar[tuple[str, ...]] = ()  #: see `running_rig`
    hold: ClassVar[tuple[float, float]] = (1.0, 2.5)  #: seconds that it lasts
    rest: ClassVar[tuple[float, float]] = (0.5, 1.5)  #: seconds before it

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.chance = random.Random(seed)
        self.bands: list[tuple[float, float]] = []
        self.notes: list[str] = []

    @staticmethod
    def first_engine(chosen: Engine) -> Engine:
        """The engine that members start with when a run is to be on `chosen`."""
        return chosen

    @property
    def is_done(self) -> bool:
        """Whether it may end here."""
        return True

    def inflict(self) -> str:
        """Begin to hurt; what was chosen, in a few words."""
        raise NotImplementedError

    def heal(self) -> None:
        """End it, here by starting the hosts that are down; nothing happens if it has ended."""
        for host in self.rig.hosts:
            host.start()

    def run(self, seconds: float) -> None:
        """Hurt and heal in turns for about that long; TimeoutError if the rig does not recover."""
        end = time.monotonic() + seconds
        while True:
            time.sleep(self.chance.uniform(*self.rest))
            self._round()
            self.rig.wait_well()
            left = end - time.monotonic()
            if left < self.hold[0] + self.rest[0] and self.is_done:
                time.sleep(max(left, 0.0))
                return

    def _round(self) -> None:
        began = time.monotonic()
        try:
            self.notes.append(self.inflict())
            time.sleep(self.chance.uniform(*self.hold))
        finally:
            self.heal()
            self.bands.append((began, time.monotonic()))

    def sample(self, count: int) -> list[int]:
        """Numbers of that many hosts."""
        return self.chance.sample(range(self.hosts), count)

    def majority(self) -> list[int]:
        """Numbers of just more than half of the hosts."""
        return self.sample(self.hosts // 2 + 1)

    def often_the_leader(self) -> int:
        """Number of the leader, or of any host; both in half of the cases."""
        any_host = self.chance.randrange(self.hosts)
        return self.rig.leader() if self.chance.random() < 0.5 else any_host
