"""What `serve-status` gives Prometheus; the names are those of docs/reference/metrics.md."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dqlite_dbapi import Health, Role
from dqlite_dbapi.cli.history import Finding

_ROLES = (*(role.name.lower() for role in Role), "unknown")
_ROUND_TRIPS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_ELECTIONS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)


class Present(Collector):
    """Gauges of the newest look, and of a member's directory on this machine."""

    def __init__(self, directory: Path | None) -> None:
        """`directory`: of a member, or None."""
        self._directory = directory
        self.health: Health | None = None

    def collect(self) -> Iterator[Metric]:
        """The gauges as they are now; none before the first look."""
        if self.health is not None:
            yield from _members(self.health)
            quorum = "1 when enough voters answer for a majority and a member leads."
            serves = self.health.has_quorum and self.health.leader is not None
            yield GaugeMetricFamily("dqlite_quorum_ok", quorum, value=float(serves))
        if self._directory is not None:
            yield from _directory(self._directory)


def _members(health: Health) -> Iterator[Metric]:
    up = GaugeMetricFamily("dqlite_node_up", "1 when the member answers.", labels=["node"])
    leads = GaugeMetricFamily("dqlite_node_is_leader", "1 when the member leads.", labels=["node"])
    for member in health.members:
        up.add_metric([member.address], float(member.reachable))
        leads.add_metric([member.address], float(member.is_leader))
    yield up
    yield leads
    roles = Tally(member.role_name for member in health.members)
    nodes = GaugeMetricFamily("dqlite_cluster_nodes", "Members by role.", labels=["role"])
    for role in _ROLES:
        nodes.add_metric([role], roles[role])
    yield nodes


def _directory(path: Path) -> Iterator[Metric]:
    sizes, snapshots = [], []
    for entry in path.iterdir():
        try:
            found = entry.stat()
        except FileNotFoundError:
            continue
        sizes.append(found.st_size)
        if entry.name.startswith("snapshot-") and entry.suffix == ".meta":
            snapshots.append(found.st_mtime)
    text = "Size of the member's directory."
    yield GaugeMetricFamily("dqlite_data_dir_bytes", text, value=sum(sizes))
    if snapshots:
        text, age = "Since the member's newest snapshot.", time.time() - max(snapshots)
        yield GaugeMetricFamily("dqlite_snapshot_age_seconds", text, value=max(age, 0.0))


class Metrics:
    """A registry of its own, which takes in each look."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory`: of a member on this machine, whose size and snapshots are told too."""
        self.registry = CollectorRegistry()
        self._present = Present(directory)
        self.registry.register(self._present)
        self._changes = Counter(
            "dqlite_leader_changes", "New leaders seen.", registry=self.registry
        )
        self._elections = Histogram(
            "dqlite_election_seconds",
            "From the last look with the old leader to the first with the new one.",
            buckets=_ELECTIONS,
            registry=self.registry,
        )
        self._requests = Histogram(
            "dqlite_request_seconds",
            "Round trip of what is asked of members.",
            ["kind"],
            buckets=_ROUND_TRIPS,
            registry=self.registry,
        )
        self._errors = Counter(
            "dqlite_errors", "What looks have found.", ["code"], registry=self.registry
        )

    def add(self, finding: Finding) -> None:
        """Take in a look."""
        health = self._present.health = finding.health
        for member in health.members:
            if member.round_trip is not None:
                self._requests.labels("health").observe(member.round_trip / 1000)
            if not member.reachable:
                self._errors.labels("unreachable").inc()
        for code, is_so in (
            ("no_leader", health.leader is None),
            ("no_quorum", not health.has_quorum),
            ("unconfirmed", health.confirmed is False),
        ):
            if is_so:
                self._errors.labels(code).inc()
        if finding.is_new_leader:
            self._changes.inc()
        if finding.outage is not None:
            self._elections.observe(finding.outage)
