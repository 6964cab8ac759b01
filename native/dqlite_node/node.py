"""`Node`: one member of a cluster, as a state machine around a host of its own per start."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dqlite_node import files
from dqlite_node.admission import likely_id
from dqlite_node.dial import check_advertised
from dqlite_node.errors import ClusterJoinError, NodeCrashed, NodeError, NodeNotRunningError
from dqlite_node.level import await_level
from dqlite_node.member import ALL, LEADERSHIP, NOTHING, SERVING, Member
from dqlite_node.process import Child
from dqlite_node.settings import Facts, NodeOptions, Settings, check_cluster, doubts
from dqlite_node.sql import SqlCalls
from dqlite_node.states import TRANSITIONS, Restarts, State

if TYPE_CHECKING:
    from typing_extensions import Unpack

POLL = 0.01  #: seconds between looks of `wait_ready`

_log = logging.getLogger("dqlite_node")


@cache
def _warn_of_old_engine(version: str) -> None:
    _log.warning(
        "libdqlite, which calls itself %s here, has known ways to lose or corrupt data before "
        "1.18.6: use it for development only",
        version,
    )


class Node(SqlCalls):
    """One member of a dqlite cluster, hosted in a child process of its own.

    Methods may be called from any thread in any order; none is safe in a process forked from the
    one that made the node.

    Who and where:
    address: `host:port` or `[ipv6]:port` under which peers and clients reach the member; it is
        kept in the data directory and must stay.
    data_dir: made with mode 0700 if missing; one directory per member.
    node_id: kept in the directory and made when omitted. 1, and an omitted one without `cluster`,
        make an empty directory a cluster of its own; any other waits to be added.
    cluster: addresses of all members, the same list on each. The first founds the cluster, unless
        somebody listens at another one; the rest join in the background and become voters.
    bind_address: where to listen, by default `address`; names are resolved.

    Engine, where None leaves its own default and an engine that lacks the option refuses to start:
    network_latency_ms: one-way; elections start after 15 to 30 of it. failure_domain: a tag.
    snapshot_params: entries after which to snapshot, and entries to keep (at least 4 and no fewer
        than the first). snapshot_strategy: `static` or `dynamic`. snapshot_compression: a switch.
    block_size: bytes, a power of two. busy_timeout_ms: how long a writer waits for another one.
    pool_threads: threads for disk and SQL. auto_recovery: let the engine put a damaged file aside,
        with the rows in it, instead of refusing to start.

    Operation, times in seconds:
    min_free: bytes; with less room on its disk the member hands over and stops, until there is
        some more. None: 256 MiB or a tenth of the disk, what is less; 0: no watch.
    restart: how many crashes of its process within a minute are answered by a new start.
    connect_timeout: for one dialled peer address. start_timeout, stop_timeout: for the process to
        be up and down. handover_timeout: to give away leadership before. sql_timeout: for a call
        of `exec` or `query`, failovers included.
    in_process: host the member in this process, which libdqlite may then abort.
    join_role: what it becomes when it joins, a voter (0) or a spare (2) that others promote.
    launcher: words before the child's Python interpreter, such as another loader.
    tls: files that switch TLS on, between members and for clients.
    dialer: `engine` leaves libdqlite's own, slow TCP in place; for measurements only.
    """

    def __init__(  # noqa: PLR0913
        self,
        address: str,
        data_dir: str | os.PathLike[str],
        node_id: int | None = None,
        cluster: Iterable[str] | None = None,
        *,
        bind_address: str | None = None,
        restart: int = 3,
        start_timeout: float = 30.0,
        stop_timeout: float = 10.0,
        sql_timeout: float = 10.0,
        in_process: bool = False,
        launcher: Sequence[str] = (),
        **options: Unpack[NodeOptions],
    ) -> None:
        """Nothing is touched before `start`. Raises NodeError for impossible arguments."""
        unknown = options.keys() - NodeOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"Node has no option {', '.join(sorted(unknown))}")
        self._address = check_advertised(address)
        self._data_dir = Path(data_dir).absolute()
        self._settings = Settings(
            address=address,
            bind_address=bind_address or address,
            data_dir=str(self._data_dir),
            node_id=node_id,
            fresh_id=files.generate_id(),
            cluster=check_cluster(cluster),
            **options,
        )
        others, given = self._settings.others, self._settings.client_options
        super().__init__(address, others, sql_timeout, given)
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._in_process = in_process
        self._launcher = tuple(launcher)
        self._lock = threading.RLock()
        self._state = State.STOPPED
        self._host: Member | Child | None = None
        self._facts: Facts | None = None
        self._crash: NodeCrashed | None = None
        self._restarts = Restarts(restart)
        self._revival = threading.Event()

    @property
    def id(self) -> int:
        """Member id; settled by the first start, until then the likely one.

        NodeStartError if the directory's kept one contradicts.
        """
        facts = self._facts
        return facts.node_id if facts else likely_id(self._settings)

    @property
    def address(self) -> str:
        """Address under which peers and clients reach the member."""
        return self._address

    @property
    def bind_address(self) -> str:
        """Where the member listens, numeric while it runs, else as it was given."""
        facts = self._facts
        return facts.bind_address if facts else self._settings.bind_address

    @property
    def data_dir(self) -> Path:
        """Absolute path of the data directory."""
        return self._data_dir

    @property
    def is_running(self) -> bool:
        """Whether the member was started and its process lives (it may be paused, or waiting)."""
        host = self._host
        return host is not None and host.is_alive

    @property
    def status(self) -> str:
        """What it does: `serving`, `joining`, `no space`, or its state when it does not run."""
        host = self._host
        return host.phase if host is not None and host.is_alive else self._state.value

    @property
    def pid(self) -> int | None:
        """Process that hosts the member; None unless it runs."""
        host = self._host
        return host.pid if host is not None and host.is_alive else None

    @property
    def crash(self) -> NodeCrashed | None:
        """How the member's process last ended by itself since `start` was called; else None."""
        with self._lock:
            self._observe()
            return self._crash

    def set_bind_address(self, address: str) -> None:
        """Listen elsewhere from the next start on; NodeAlreadyRunningError while running."""
        with self._move("rebind"):
            self._settings = self._settings.bound_to(address)

    def start(self) -> None:
        """Start the member and wait until it listens, or waits to join its cluster.

        NodeAlreadyRunningError, NodeStartError (port, directory, identity, closed), NodeCrashed.
        """
        for doubt in doubts(self._settings):
            _log.warning("member %s: %s", self._address, doubt)
        with self._move("start"):
            self._launch()
            self._crash = None

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until the member serves as a part of its cluster.

        ClusterJoinError with the reason after `timeout` seconds, NodeNotRunningError if it ended.
        """
        deadline = time.monotonic() + timeout
        while self.status != SERVING:
            if self._state is not State.RUNNING and self._revival.is_set():
                raise NodeNotRunningError(f"member {self._address} does not run")
            if time.monotonic() > deadline:
                raise ClusterJoinError(
                    f"member {self._address} is {self.status} after {timeout} s:"
                    f" {getattr(self._host, 'trouble', '')}",
                    address=self._address,
                )
            time.sleep(POLL)

    def wait_level(self, timeout: float = 60.0) -> None:
        """Wait until it follows a leader, or leads, and has caught up: then others may stop.

        NoLeaderError, NodeNotRunningError, or ClusterJoinError after `timeout` seconds.
        """
        await_level(self, self._settings, timeout)

    def stop(self, *, handover: bool = True) -> None:
        """Hand over leadership, if others can take it, and stop; nothing happens if not running.

        Raises NodeCrashed, once, if its process had ended by itself, NodeStopError if it had to
        be killed. Either way it is stopped then.
        """
        with self._move("stop") as before:
            crash = self._crash if before is State.CRASHED else None
            self._drop_host(LEADERSHIP if handover else NOTHING)
        if crash is not None:
            raise crash

    def close(self, *, handover: bool = True) -> None:
        """Hand over leadership and the voter's part, if others can take them, and stop for good.

        A crash is not reported again. Raises NodeStopError like `stop`.
        """
        with self._move("close"):
            self._drop_host(ALL if handover else NOTHING)

    def kill(self) -> None:
        """End the member's process with SIGKILL, to see what a crash does. Not in-process.

        It is not started again. Raises NodeNotRunningError.
        """
        with self._move("kill"):
            self._child().kill()
            self._forget_host()

    def pause(self) -> None:
        """Freeze the member's process (SIGSTOP); NodeNotRunningError. Not in-process.

        Until `resume` it cannot notice that this process was killed, and would stay.
        """
        with self._move("signal"):
            self._child().pause()

    def resume(self) -> None:
        """Let a paused member go on (SIGCONT); NodeNotRunningError. Not in-process."""
        with self._move("signal"):
            self._child().send_signal(signal.SIGCONT)

    def reload_tls(self) -> None:
        """Have new connections use the certificate's files as they are now; NodeNotRunningError.

        Not needed in general: changed files are noticed within a second. Open connections stay,
        and so does the certificate in use if the new one is no good (see the log).
        """
        with self._move("signal"):
            if isinstance(self._host, Child):
                self._host.send_signal(signal.SIGHUP)
            elif self._host is not None:
                self._host.reload_tls()

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Node {self._address} {self.status} in {self._data_dir}>"

    @contextmanager
    def _move(self, call: str) -> Iterator[State]:
        """Hold the lock for one call of the table; gives the state before it."""
        with self._lock:
            self._observe()
            before = self._state
            target = TRANSITIONS[call, before]
            if not isinstance(target, State):
                message = f"{call}: member {self._address} is {before.value}"
                raise target(message, address=self._address)
            yield before
            self._state = target

    def _observe(self) -> None:
        host = self._host
        if isinstance(host, Child) and not host.is_alive:
            self._crash = host.crash()
            host.discard()
            self._forget_host()
            self._state = State.CRASHED

    def _launch(self) -> None:
        self._revival.set()
        revival = self._revival = threading.Event()
        host = self._new_host(revival)
        try:
            facts = self._facts = host.start()
        except BaseException:
            revival.set()
            raise
        self._host = host
        self._finalizer = weakref.finalize(self, host.abandon)
        if not facts.engine_recommended:
            _warn_of_old_engine(facts.engine_version)

    def _new_host(self, revival: threading.Event) -> Member | Child:
        if self._in_process:
            return Member(self._settings)
        node = weakref.ref(self)
        return Child(
            self._settings,
            start_timeout=self._start_timeout,
            stop_timeout=self._stop_timeout,
            launcher=self._launcher,
            on_crash=lambda: _revive_later(node, revival),
        )

    def _revive(self, revival: threading.Event) -> bool:
        """Answer a crash by a new start; True when that is settled, one way or the other."""
        with self._lock:
            self._observe()
            if revival.is_set() or self._state is not State.CRASHED:
                return True
            try:
                self._launch()
            except NodeError as error:
                _log.error("member %s could not be started again: %s", self._address, error)
                self._revival = revival
                revival.clear()
                return False
            self._state = State.RUNNING
            _log.warning("member %s was started again after a crash", self._address)
            return True

    def _next_delay(self) -> float | None:
        with self._lock:
            return self._restarts.delay(time.monotonic())

    def _child(self) -> Child:
        if not isinstance(self._host, Child):
            raise NodeError(
                f"member {self._address} shares this process, which would be hit too",
                hint="leave in_process out",
            )
        return self._host

    def _drop_host(self, giving: str) -> None:
        self._revival.set()
        self.close_databases()
        if self._host is not None:
            try:
                self._host.stop(giving)
            finally:
                self._forget_host()

    def _forget_host(self) -> None:
        self._finalizer.detach()
        self._host = None
        self._facts = None
        self._state = State.STOPPED


def _revive_later(reference: weakref.ref[Node], revival: threading.Event) -> None:
    """In a thread of its own, because the supervisor's must end."""
    threading.Thread(target=_revive_in_time, args=(reference, revival), daemon=True).start()


def _revive_in_time(reference: weakref.ref[Node], revival: threading.Event) -> None:
    while True:
        node = reference()
        if node is None or revival.is_set():
            return
        delay = node._next_delay()
        if delay is None:
            _log.error("member %s crashes too often: it stays down", node.address)
            return
        del node
        if revival.wait(delay):
            return
        node = reference()
        if node is None or node._revive(revival):
            return
        del node
