"""What administrators do: other members, another engine, other certificates."""

from __future__ import annotations

from dqlite_dbapi import OperationalError
from tests.faults.matrix.faults.base import Fault
from tests.support.engines import SYSTEM, Engine, named, newest


class MembershipChange(Fault):
    """A member leaves for good and another takes its place, or leadership is passed on."""

    name = "membership change"
    hosts = 5
    hold = (0.2, 1.0)

    def inflict(self) -> str:
        if self.chance.random() < 0.3:
            try:
                with self.rig.client() as client:
                    client.transfer()
            except OperationalError as error:  # a voter may not be ready to lead
                return f"{self.name}: no other leader: {error}"
            return f"{self.name}: another leader"
        number = self.often_the_leader()
        host = self.rig.hosts[number]
        member = host.node.id
        host.stop()
        with self.rig.client(20.0) as client:
            client.remove(member)
        host.wipe()
        return f"{self.name}: {number} is replaced"


class EngineUpgrade(Fault):
    """Members go, one after the other, from the system's engine to a newer one."""

    name = "engine upgrade"
    hold = (0.0, 0.5)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._to = newest()
        if self._to.name == SYSTEM:
            raise LookupError("an upgrade needs a newer engine: run `make engines`")
        self._old = self.sample(self.hosts)

    @staticmethod
    def first_engine(_chosen: Engine) -> Engine:
        return named(SYSTEM)

    @property
    def is_done(self) -> bool:
        return not self._old

    def inflict(self) -> str:
        number = self._old.pop() if self._old else self.chance.randrange(self.hosts)
        self.rig.hosts[number].stop()
        self.rig.engines[number] = self._to
        return f"{self.name}: {number} to {self._to.name}"


class RollingCertificates(Fault):
    """New pairs for all, a restart of one member, and sometimes another authority."""

    name = "rolling certificates"
    needs = ("certificates",)
    hold = (0.0, 0.5)

    def inflict(self) -> str:
        rotation = self.rig.rotation
        assert rotation is not None
        number, changes_authority = self.chance.randrange(self.hosts), self.chance.random() < 0.3
        if changes_authority:
            rotation.new_authority()
        else:
            rotation.new_pairs()
        self.rig.hosts[number].stop()
        what = "authority" if changes_authority else "pairs"
        return f"{self.name}: new {what}, {number} restarts"
