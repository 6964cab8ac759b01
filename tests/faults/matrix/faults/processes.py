"""Members that die, or stand still."""

from __future__ import annotations

from tests.faults.matrix.faults.base import Fault
from tests.faults.matrix.rig import Host


class _Hit(Fault):
    """Some hosts at once, which `victims` chooses."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._hit: list[int] = []

    def victims(self) -> list[int]:
        """Numbers of the hosts to be hit."""
        raise NotImplementedError

    def inflict(self) -> str:
        self._hit = self.victims()
        self.rig.together(self.strike, self._hit)
        return f"{self.name}: {sorted(self._hit)}"

    def heal(self) -> None:
        hit, self._hit = self._hit, []
        if hit:
            self.rig.together(self.revive, hit)

    def strike(self, host: Host) -> None:
        """Hit one."""
        host.kill()

    def revive(self, host: Host) -> None:
        """Undo it."""
        host.start()


class _Frozen(_Hit):
    def strike(self, host: Host) -> None:
        host.pause()

    def revive(self, host: Host) -> None:
        host.resume()


class KillLeader(_Hit):
    """SIGKILL, and a new start a while later."""

    name = "kill leader"

    def victims(self) -> list[int]:
        return [self.rig.leader()]


class KillRandom(_Hit):
    """Any member."""

    name = "kill random"

    def victims(self) -> list[int]:
        return self.sample(1)


class KillMajority(_Hit):
    """So many that nobody can lead."""

    name = "kill majority"

    def victims(self) -> list[int]:
        return self.majority()


class StopLeader(_Frozen):
    """SIGSTOP: its kernel still accepts connections, and its clients' requests wait in sockets."""

    name = "stop leader"

    def victims(self) -> list[int]:
        return [self.rig.leader()]


class PauseMajority(_Frozen):
    """So many that nobody can lead."""

    name = "pause majority"

    def victims(self) -> list[int]:
        return self.majority()
