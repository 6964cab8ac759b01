"""Clients that are broken on purpose, on real members: the checkers must find each of them.

A client that the driver's guide recommends goes through the same and must pass.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

from dqlite_node import LocalCluster, Node
from tests.faults.matrix.workloads import WORKLOADS, Target
from tests.faults.matrix.workloads.clients import Assuming, Client, Resending
from tests.support.swallow import SwallowingProxy

CLIENTS = 4
MISHAPS, MOST = 16, 200  #: COMMITs that are spoilt in a trial, at least and at most
FEW = 4  #: of those have to be settled
PACE = 0.05  #: seconds between two of them
FROZEN, ALONE = 2.5, 0.5  #: seconds that a leader is frozen, and then goes on without peers
TRIALS = 5
READING = ("set", "bank", "register")  #: workloads whose reads are linearizable


# --- COMMITs without an answer --------------------------------------------------------------------


@pytest.fixture
def proxy(single):
    """Stands before the member and spoils COMMITs."""
    with SwallowingProxy(single.addresses[0]) as proxy:
        yield proxy


@pytest.fixture
def try_out(proxy, database):
    """Run a workload while every other COMMIT that is spoilt was carried out; its verdict."""

    def run(name, client_class):
        target = Target([proxy.address], database, {"busy_timeout": 1.0})
        workload = WORKLOADS[name](target, seed=1, clients=CLIENTS, client_class=client_class)
        workload.setup()
        workload.start()
        enough = FEW if client_class is None else 0
        for count, mishap in enumerate(itertools.cycle(("answer", "request"))):
            if count > MOST or (count > MISHAPS and workload.settled.total() >= enough):
                break
            proxy.mishaps.append(mishap)
            time.sleep(PACE)
        workload.stop()
        return workload.check()

    return run


@pytest.mark.parametrize("name", WORKLOADS)
def test_lost_answers_are_settled(try_out, name):
    verdict = try_out(name, None)
    assert verdict.passed, verdict
    assert verdict.settled >= FEW
    assert verdict.counts["ok"] >= FEW


@pytest.mark.parametrize("name", ["set", "bank", "append"])
def test_a_client_that_sends_a_write_again_is_found(try_out, name):
    assert try_out(name, Resending).duplicated


@pytest.mark.parametrize("name", ["set", "bank", "append"])
def test_a_client_that_forgets_its_token_is_found(try_out, name):
    assert try_out(name, Assuming).lost


# --- a leader that was deposed --------------------------------------------------------------------


class Door(SwallowingProxy):
    """Where a member is reached by its peers; they cannot when it is shut."""

    def shut(self) -> None:
        """Drop every connection, and each that is made from now on."""
        self.is_cut = True
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let peers in again."""
        self.is_cut = False


@contextmanager
def behind_doors(engine):
    """Three members, the doors by which peers know them, and the addresses where clients do."""
    with ExitStack() as stack:
        cluster = LocalCluster(3, launcher=engine.launcher)
        addresses = cluster.addresses
        doors = [stack.enter_context(Door(each)) for each in addresses]
        for number, door in enumerate(doors):
            plain = cluster.members[number]
            cluster.members[number] = Node(
                door.address,
                plain.data_dir,
                plain.id,
                bind_address=plain.address,
                launcher=engine.launcher,
            )
        yield stack.enter_context(cluster), doors, addresses


class Gate:
    """Holds clients back until all have a session to the same leader, and that was deposed."""

    def __init__(self, clients: int, consistency: str) -> None:
        self.consistency = consistency
        self.arrived = threading.Barrier(clients + 1, timeout=20.0)
        self.is_open = threading.Event()

    def client(self, target: Target) -> Client:
        """What a workload takes for the class of its clients."""
        return Reusing(target, self)


class Reusing(Client):
    """Reads in a session that it keeps, whose leader may have been deposed meanwhile."""

    def __init__(self, target: Target, gate: Gate) -> None:
        self._consistency = gate.consistency
        self._session = target.connect(timeout=20.0)
        gate.arrived.wait()
        gate.is_open.wait()
        super().__init__(target)

    def read(self, sql, parameters=()):
        read = self._session.execute(sql, tuple(parameters), consistency=self._consistency)
        return read.fetchall()

    def close(self):
        self._session.close()
        super().close()


@pytest.fixture
def depose(engine, database):
    """Freeze a leader until there is another, and let it go on by itself; the verdicts."""

    def run(consistency):
        with behind_doors(engine) as house:
            return trial(consistency, *house)

    def trial(consistency, cluster, doors, addresses):
        gate = Gate(len(READING) * CLIENTS, consistency)
        workloads = []
        for name in READING:
            target = Target(addresses, f"{name}_{database}", {"timeout": 1.0})
            workloads.append(
                WORKLOADS[name](target, seed=1, clients=CLIENTS, client_class=gate.client)
            )
            workloads[-1].setup()
        for workload in workloads:
            workload.start()
        gate.arrived.wait()
        leader = cluster.leader_index()
        cluster.pause(leader)
        doors[leader].shut()
        gate.is_open.set()
        time.sleep(FROZEN)
        cluster.resume(leader)
        time.sleep(ALONE)
        doors[leader].open()
        for workload in workloads:
            workload.stop()
        return {workload.name: workload.check() for workload in workloads}

    return run


def test_a_deposed_leader_is_asked_to_confirm(depose):
    for name, verdict in depose("linearizable").items():
        assert verdict.passed, (name, verdict)


def test_a_client_that_believes_a_deposed_leader_is_found(depose):
    """The leader may notice before it answers, so there is another trial then."""
    found = set()
    for _ in range(TRIALS):
        found |= {name for name, verdict in depose("leader").items() if verdict.anomalies}
        if found == set(READING):
            return
    pytest.fail(f"only {found} of {READING} found the client in {TRIALS} trials")
