"""Ten thousand calls in random orders: no abort, and no descriptor, thread or process is left."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.lifecycle import Lifecycle

STEPS = 100


class LifecycleInChild(Lifecycle):
    """The member in a process of its own."""

    in_process = False


def held():
    """Descriptors, threads and child processes of this process."""
    gc.collect()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(children)


def run(machine, runs):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs, stateful_step_count=STEPS, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("machine", "runs"), [(Lifecycle, 110), (LifecycleInChild, 30)], ids=["in_process", "child"]
)
def test_ten_thousand_steps(machine, runs, capsys):
    """libuv keeps what it opens the first time, so there is a run before the count."""
    run(machine, 5)
    time.sleep(3.0)
    before = held()
    Lifecycle.steps = 0
    started = time.monotonic()
    run(machine, runs)
    time.sleep(3.0)
    after = held()
    with capsys.disabled():
        print(f"\n{machine.__name__}: {Lifecycle.steps} calls in {runs} runs,"
              f" {time.monotonic() - started:.0f} s; descriptors, threads, children: {before},"
              f" then {after}")  # fmt: skip
    assert all(now <= then for now, then in zip(after, before, strict=True))
