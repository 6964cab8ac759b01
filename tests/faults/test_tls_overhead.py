"""What TLS costs: inserts and connections on three members, plainly and through their gates.

make faults ARGS="tests/faults/test_tls_overhead.py"     # SECONDS=10 a case, ROUNDS=3
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from pathlib import Path

import pytest

import dqlite_dbapi
from dqlite_node import LocalCluster

SECONDS = float(os.environ.get("SECONDS", "4"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
WARM_UP = 30
CASES = [
    ("1 client, 100 B", 1, 100),
    ("8 clients, 100 B", 8, 100),
    ("1 client, 100 kB", 1, 100_000),
]


def cpu(cluster):
    """Seconds of processor time that the members have used."""
    ticks = 0
    for member in cluster.members:
        fields = Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def insert(cluster, options, database, size, until, times):
    connection = dqlite_dbapi.connect(cluster.addresses, database, autocommit=True, **options)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
        value = os.urandom(size // 2).hex()
        for number in range(WARM_UP + 10**9):
            started = time.perf_counter()
            connection.execute("INSERT INTO t VALUES (?)", (value,))
            now = time.perf_counter()
            if number >= WARM_UP:
                times.append(now - started)
            if now > until:
                return
    finally:
        connection.close()


def run_case(cluster, options, name, clients, size):
    """Milliseconds and rates of one case: p50, p95, p99, inserts/s, members' CPU ms an insert."""
    times: list[float] = []
    before, until = cpu(cluster), time.perf_counter() + SECONDS
    threads = [
        threading.Thread(
            target=insert, args=(cluster, options, f"{name}-{number}", size, until, times)
        )
        for number in range(clients)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    cuts = statistics.quantiles(times, n=100)
    return (
        *(1000 * cuts[cut] for cut in (49, 94, 98)),
        len(times) / took,
        1000 * (cpu(cluster) - before) / len(times),
    )


def connects(cluster, options):
    """Median milliseconds to connect and open at the leader."""
    leader, times = cluster.wait_leader(), []
    for _ in range(60):
        started = time.perf_counter()
        dqlite_dbapi.connect(leader, "c", **options).close()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


@pytest.mark.timeout(600)
def test_overhead(certificates, engine):
    kinds = {"plain": ({}, {}), "TLS": ({"tls": certificates.member()}, certificates.options())}
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    dialled: dict[str, list[float]] = {"plain": [], "TLS": []}
    for number in range(ROUNDS):
        for kind, (node_options, options) in kinds.items():
            with LocalCluster(3, launcher=engine.launcher, **node_options) as cluster:
                for name, clients, size in CASES:
                    figures = run_case(cluster, options, f"{number}-{size}", clients, size)
                    found.setdefault((name, kind), []).append(figures)
                dialled[kind].append(connects(cluster, options))
    print(f"\n{'':20} {'':6} {'p50 ms':>8} {'p95':>8} {'p99':>8} {'inserts/s':>10} {'CPU ms':>8}")
    medians = {}
    for (name, kind), rounds in found.items():
        row = medians[name, kind] = [
            statistics.median(column) for column in zip(*rounds, strict=True)
        ]
        cells = " ".join(f"{cell:8.2f}" for cell in row[:3])
        print(f"{name:20} {kind:6} {cells} {row[3]:10.0f} {row[4]:8.2f}")
    for kind, values in dialled.items():
        print(f"{'connect and open':20} {kind:6} {statistics.median(values):8.2f}")
    for name, _, _ in CASES:
        plain, secured = medians[name, "plain"], medians[name, "TLS"]
        assert secured[0] < 3 * plain[0] + 2, name
