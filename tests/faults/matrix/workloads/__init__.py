"""The workloads by name."""

from __future__ import annotations

from tests.faults.matrix.workloads.append import AppendWorkload
from tests.faults.matrix.workloads.bank import BankWorkload
from tests.faults.matrix.workloads.base import Verdict, Workload
from tests.faults.matrix.workloads.cancel import CancelWorkload
from tests.faults.matrix.workloads.clients import Target
from tests.faults.matrix.workloads.register import RegisterWorkload
from tests.faults.matrix.workloads.sessions import SessionsWorkload
from tests.faults.matrix.workloads.sets import SetWorkload

WORKLOADS: dict[str, type[Workload]] = {
    each.name: each
    for each in (
        SetWorkload,
        BankWorkload,
        AppendWorkload,
        RegisterWorkload,
        SessionsWorkload,
        CancelWorkload,
    )
}

__all__ = ["WORKLOADS", "Target", "Verdict", "Workload"]
