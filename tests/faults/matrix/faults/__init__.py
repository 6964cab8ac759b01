"""The faults by name."""

from __future__ import annotations

from tests.faults.matrix.faults.base import Fault
from tests.faults.matrix.faults.changes import EngineUpgrade, MembershipChange, RollingCertificates
from tests.faults.matrix.faults.disks import DiskFull, WipedDisk
from tests.faults.matrix.faults.networks import (
    LossyNetwork,
    PartitionAsymmetric,
    PartitionHalves,
    PartitionOne,
    PartitionRing,
    SlowNetwork,
)
from tests.faults.matrix.faults.processes import (
    KillLeader,
    KillMajority,
    KillRandom,
    PauseMajority,
    StopLeader,
)

FAULTS: dict[str, type[Fault]] = {
    each.name: each
    for each in (
        KillLeader,
        KillRandom,
        StopLeader,
        KillMajority,
        PauseMajority,
        PartitionOne,
        PartitionHalves,
        PartitionRing,
        PartitionAsymmetric,
        SlowNetwork,
        LossyNetwork,
        DiskFull,
        MembershipChange,
        WipedDisk,
        EngineUpgrade,
        RollingCertificates,
    )
}

__all__ = ["FAULTS", "Fault"]
