"""No order of calls, from one thread or several, does harm; tests/faults has a long run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.support.lifecycle import Lifecycle

SHORT = settings(
    max_examples=3, stateful_step_count=12, deadline=None,
    suppress_health_check=list(HealthCheck), database=None,
)  # fmt: skip


class LifecycleInChild(Lifecycle):
    """The member in a process of its own."""

    in_process = False


TestInProcess = Lifecycle.TestCase
TestInProcess.settings = SHORT
TestInChild = LifecycleInChild.TestCase
TestInChild.settings = SHORT
