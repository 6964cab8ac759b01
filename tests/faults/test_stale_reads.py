"""Stale reads hunted on leaders that were deposed and do not know it yet.

A trial: connections idle on the leader; the fault; a write that another leader acknowledges; then
reads by all the idle connections at once. What they find was committed before they began, or the
read is stale. `DQLITE_STALE_TRIALS` sets the number of trials of each fault.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dqlite_dbapi import Client, Connection, Error, connect
from dqlite_node import LocalCluster, Node
from tests.support.engines import Engine
from tests.support.netns import Network

TRIALS = int(os.environ.get("DQLITE_STALE_TRIALS", "200"))
LANES = 3  #: clusters that a fault is tried on side by side
MODES = ("leader", "linearizable")
READERS = 2  #: of each mode
READ = "SELECT v FROM t"
PACE = 0.01  #: seconds by which the reads may be before or after the thaw
#: Seconds after a trial: members that were cut off wait for TCP's next retransmission.
REST = {"frozen": 0.1, "cut": 1.0, "frozen and cut": 1.0}


class Rig(NamedTuple):
    """A cluster of three, each member in a network namespace of its own."""

    network: Network
    members: list[Node]

    @property
    def addresses(self) -> list[str]:
        """Addresses of the members, of which number `i` has the id `i + 1`."""
        return [member.address for member in self.members]

    def connect(self, addresses: list[str], **options: Any) -> Connection[Any]:
        """An autocommit connection to the leader that `addresses` know."""
        return connect(addresses, "hunt", autocommit=True, **options)


@contextmanager
def running_rig(folder: Path, port: int, engine: Engine) -> Iterator[Rig]:
    """Start a rig, and let this thread reach it; `port` tells it from others in this process."""
    with ExitStack() as stack:
        network = stack.enter_context(Network(3))
        stack.enter_context(network.inside())
        members = []
        for i in (1, 2, 3):
            launcher = [*network.launcher(i), *engine.launcher]
            member = Node(f"{network.host(i)}:{port}", folder / str(i), i, launcher=launcher)
            members.append(stack.enter_context(member))
        rig = Rig(network, members)
        with Client(rig.addresses) as client:
            for member in members[1:]:
                client.add(member.id, member.address)
        with closing(rig.connect(rig.addresses)) as connection:
            connection.execute("CREATE TABLE t (v)")
            connection.execute("INSERT INTO t VALUES (0)")
        yield rig


class Fault:
    """Deposes the member `old`; it is thawed when the reads begin and healed after them."""

    def __init__(self, rig: Rig, old: int, kind: str) -> None:
        self._network, self._member, self._number = rig.network, rig.members[old], old + 1
        self._freezes, self._cuts = "frozen" in kind, "cut" in kind

    def begin(self) -> None:
        if self._freezes:
            self._member.pause()
        if self._cuts:
            self._network.cut(self._number)

    def thaw(self) -> None:
        if self._freezes:
            self._member.resume()

    def heal(self) -> None:
        self.thaw()
        if self._cuts:
            self._network.heal(self._number)


class Reader:
    """A connection that is idle on the leader until `read`."""

    def __init__(self, rig: Rig, mode: str, per_call: bool) -> None:
        self.mode = mode
        chosen = {} if per_call else {"consistency": mode}
        self._per_call: Any = {"consistency": mode} if per_call else {}
        self._connection = rig.connect(rig.addresses, timeout=1.0, connect_timeout=1.0, **chosen)
        self._connection.execute(READ, consistency="leader").fetchall()

    @property
    def address(self) -> str:
        return self._connection.server.address

    def read(self, expected: int) -> str:
        """Read once; `fresh`, `stale`, or the name of the error."""
        try:
            [(found,)] = self._connection.execute(READ, **self._per_call).fetchall()
        except Error as error:
            return type(error).__name__
        return "fresh" if found == expected else "stale"

    def close(self) -> None:
        self._connection.close()


def write_elsewhere(rig: Rig, old: str, value: int) -> None:
    """Return when a leader other than `old` has acknowledged the write of `value`.

    The writer is a neighbour of another member: if `old` is cut off, so is the writer from it.
    """
    others = [address for address in rig.addresses if address != old]
    give_up = time.monotonic() + 20
    with rig.network.inside(rig.addresses.index(others[0]) + 1):
        while time.monotonic() < give_up:
            with (
                suppress(Error),
                closing(rig.connect(others, connect_timeout=0.02, timeout=1.0)) as writer,
            ):
                writer.execute("UPDATE t SET v = ?", (value,))
                if writer.server.address != old:
                    return
            time.sleep(0.001)
    pytest.fail(f"no other member took a write after {old} was deposed")


def read_all(
    readers: list[Reader], pool: ThreadPoolExecutor, value: int, thaw: Callable[[], None]
) -> list[str]:
    """Read by every reader at the same instant, close to the thaw, on one side or the other."""
    pace = random.uniform(-PACE, PACE)
    start = threading.Barrier(len(readers) + 1)

    def read(reader: Reader) -> str:
        start.wait()
        return reader.read(value)

    pending = [pool.submit(read, reader) for reader in readers]
    if pace < 0:
        thaw()
        time.sleep(-pace)
        start.wait()
    else:
        start.wait()
        time.sleep(pace)
        thaw()
    return [answer.result() for answer in pending]


def run_trial(
    rig: Rig, kind: str, value: int, pool: ThreadPoolExecutor
) -> Counter[tuple[str, ...]]:
    """Count the answers by mode, verdict and the member that gave them."""
    counts: Counter[tuple[str, ...]] = Counter()
    with ExitStack() as stack:
        readers = [
            stack.enter_context(closing(Reader(rig, mode, per_call=number % 2 == 1)))
            for mode in MODES
            for number in range(READERS)
        ]
        old = readers[0].address
        assert {reader.address for reader in readers} == {old}, "the leader changed by itself"
        fault = Fault(rig, rig.addresses.index(old), kind)
        stack.callback(fault.heal)
        fault.begin()
        write_elsewhere(rig, old, value)
        answers = read_all(readers, pool, value, fault.thaw)
        for reader, answer in zip(readers, answers, strict=True):
            by = "old leader" if reader.address == old else "new leader"
            counts[reader.mode, answer, by] += 1
        for mode in {r.mode for r, a in zip(readers, answers, strict=True) if a == "stale"}:
            counts[mode, "stale trials"] += 1
    return counts


def run_lane(
    folder: Path, lane: int, engine: Engine, kind: str, trials: int
) -> Counter[tuple[str, ...]]:
    counts: Counter[tuple[str, ...]] = Counter()
    with (
        running_rig(folder, 9001 + lane, engine) as rig,
        ThreadPoolExecutor(len(MODES) * READERS) as pool,
    ):
        for value in range(1, trials + 1):
            counts += run_trial(rig, kind, value, pool)
            time.sleep(REST[kind])
    return counts


def show(kind: str, counts: Counter[tuple[str, ...]], seconds: float) -> None:
    print(f"\n{kind}: {TRIALS} trials in {seconds:.0f} s, {READERS} readers of each mode")
    for mode in MODES:
        print(f"  {mode}: stale in {counts[mode, 'stale trials']} trials")
        for key in sorted(key for key in counts if key[0] == mode and len(key) == 3):
            print(f"    {counts[key]:5} {key[1]} ({key[2]})")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", REST)
def test_no_linearizable_read_is_stale(kind: str, engine: Engine, tmp_path: Path) -> None:
    start = time.monotonic()
    shares = [len(range(lane, TRIALS, LANES)) for lane in range(LANES)]
    with ThreadPoolExecutor(LANES) as lanes:
        pending = [
            lanes.submit(run_lane, tmp_path / str(lane), lane, engine, kind, trials)
            for lane, trials in enumerate(shares)
        ]
    counts = sum((lane.result() for lane in pending), Counter())
    show(kind, counts, time.monotonic() - start)
    assert sum(n for key, n in counts.items() if key[:2] == ("linearizable", "stale")) == 0
    answered = sum(n for key, n in counts.items() if key[:2] == ("linearizable", "fresh"))
    assert answered > TRIALS * READERS / 2, "too few linearizable reads were answered"


def test_a_linearizable_read_needs_a_quorum(engine: Engine) -> None:
    with (
        LocalCluster(3, launcher=engine.launcher) as cluster,
        closing(connect(cluster.addresses, "quorum", timeout=1.0, connect_timeout=1.0)) as idle,
    ):
        leader = cluster.leader_index()
        followers = [number for number in range(3) if number != leader]
        idle.execute("SELECT 1").fetchall()
        for number in followers:
            cluster.pause(number)
        assert idle.execute("SELECT 1", consistency="leader").fetchone() == (1,)
        with pytest.raises(Error):
            idle.execute("SELECT 1", consistency="linearizable")
        for number in followers:
            cluster.resume(number)
        cluster.wait_leader()
        assert idle.execute("SELECT 1", consistency="linearizable").fetchone() == (1,)


def test_a_linearizable_read_writes(single: LocalCluster, database: str) -> None:
    def version() -> int:
        (found,) = witness.execute("PRAGMA data_version").fetchone()
        return found

    with (
        closing(connect(single.addresses, database, autocommit=True)) as reader,
        closing(connect(single.addresses, database, autocommit=True)) as witness,
    ):
        reader.execute("CREATE TABLE t (v)")
        reader.execute("PRAGMA user_version = 7")
        seen = [version()]
        for consistency in ("leader", "linearizable", "leader", "linearizable", "linearizable"):
            assert reader.execute(READ, consistency=consistency).fetchall() == []
            seen.append(version())
        assert len(set(seen)) == 4, seen
        assert seen[0] == seen[1] != seen[2] == seen[3] != seen[4] != seen[5]
        assert reader.execute("PRAGMA user_version").fetchone() == (7,)
