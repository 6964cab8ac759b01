"""What a member is started with, checked; plain values, so that they travel to a child as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from dqlite_node.dial import check_advertised, is_loopback
from dqlite_node.errors import NodeError
from dqlite_node.tls import TLSFiles

MAX_ID = 2**64 - 1
MAX_LATENCY_MS = 3_600_000
MIN_TRAILING = 4
STRATEGIES = ("static", "dynamic")
DIALERS = ("own", "engine")
BLOCK_SIZES = tuple(2**power for power in range(9, 19))
_TWO = 2


class NodeOptions(TypedDict, total=False):
    """Further keywords of `Node`; what each means is told there."""

    network_latency_ms: int
    failure_domain: int
    snapshot_params: tuple[int, int] | None
    snapshot_strategy: str | None
    snapshot_compression: bool | None
    block_size: int | None
    busy_timeout_ms: int | None
    pool_threads: int | None
    auto_recovery: bool
    min_free: int | None
    connect_timeout: float
    handover_timeout: float
    join_role: int
    tls: TLSFiles | None
    dialer: str


@dataclass(frozen=True)
class Settings:
    """One member; `fresh_id` is the id that it takes when it joins and has none.

    An empty `cluster` means: alone, or added by somebody else. See `Node` for the rest.
    """

    address: str
    bind_address: str
    data_dir: str
    node_id: int | None
    fresh_id: int
    cluster: tuple[str, ...] = ()
    network_latency_ms: int = 15
    failure_domain: int = 0
    snapshot_params: tuple[int, int] | None = None
    snapshot_strategy: str | None = None
    snapshot_compression: bool | None = None
    block_size: int | None = None
    busy_timeout_ms: int | None = None
    pool_threads: int | None = None
    auto_recovery: bool = False
    min_free: int | None = None
    connect_timeout: float = 2.0
    handover_timeout: float = 5.0
    join_role: int = 0
    tls: TLSFiles | None = None
    dialer: str = "own"

    def __post_init__(self) -> None:
        for problem, applies in (*self._engine_problems(), *self._other_problems()):
            if applies:
                raise NodeError(problem, address=self.address)

    def _engine_problems(self) -> Iterable[tuple[str, bool]]:
        """Pairs of a text and whether it applies."""
        latency, params, strategy = (
            self.network_latency_ms,
            self.snapshot_params,
            self.snapshot_strategy,
        )
        yield f"network_latency_ms is not 1 to {MAX_LATENCY_MS}", not 0 < latency <= MAX_LATENCY_MS
        too_few = params is not None and params[1] < max(MIN_TRAILING, params[0])
        yield "snapshot_params: the second is below 4 or below the first", too_few
        yield f"snapshot_strategy {strategy!r} is unknown", strategy not in (None, *STRATEGIES)
        yield "snapshot_strategy needs snapshot_params", bool(strategy) and params is None
        odd = self.block_size not in (None, *BLOCK_SIZES)
        yield "block_size is no power of two from 512 to 262144", odd
        yield "pool_threads is below 1", self.pool_threads is not None and self.pool_threads < 1

    def _other_problems(self) -> Iterable[tuple[str, bool]]:
        node_id = self.node_id
        no_id = node_id is not None and not 0 < node_id <= MAX_ID
        yield f"node_id {node_id} is not 1 to {MAX_ID}", no_id
        yield f"dialer {self.dialer!r} is unknown", self.dialer not in DIALERS
        for name in ("busy_timeout_ms", "min_free", "connect_timeout", "handover_timeout"):
            yield f"{name} is negative", (getattr(self, name) or 0) < 0

    @property
    def others(self) -> tuple[str, ...]:
        """The addresses of `cluster` that are not this member's."""
        return tuple(each for each in self.cluster if each != self.address)

    @property
    def is_first(self) -> bool:
        """Whether this member is the one that may found the cluster."""
        return self.cluster[:1] == (self.address,)

    @property
    def client_options(self) -> dict[str, Any]:
        """Options of the driver for reaching this member and its peers."""
        return {} if self.tls is None else self.tls.client_options

    def bound_to(self, address: str) -> Settings:
        """The same, listening elsewhere."""
        return replace(self, bind_address=address)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """Rebuild from what `dataclasses.asdict` and JSON made of it."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return cls(**{**values, "tls": TLSFiles.from_json(values.get("tls"))})


@dataclass(frozen=True)
class Facts:
    """What a started member tells: who it is, where it listens, whether its engine is recommended.

    `phase` is one of `member.PHASES`.
    """

    node_id: int
    bind_address: str
    engine_version: str
    engine_recommended: bool
    phase: str


def check_cluster(cluster: Iterable[str] | None) -> tuple[str, ...]:
    """The listed addresses without repetition; NodeError for one that peers could not dial."""
    if isinstance(cluster, str):
        raise NodeError(f"cluster is {cluster!r}", hint="give a list of addresses")
    return tuple(dict.fromkeys(check_advertised(each) for each in cluster or ()))


def doubts(settings: Settings) -> list[str]:
    """Sentences about a membership that will work less well than its user may think."""
    members = dict.fromkeys((settings.address, *settings.cluster))
    found = []
    if len(members) == _TWO:
        found.append(
            "two members survive no failure: when either is down, neither takes writes; use three"
        )
    elsewhere = not all(is_loopback(each) for each in members)
    named = settings.address.startswith("localhost:")
    if len(members) > 1 and is_loopback(settings.address) and (named or elsewhere):
        found.append(
            f"{settings.address} means another machine on each machine: members elsewhere cannot"
            " reach this one; give an address that all of them can dial"
        )
    return found
