"""A member in the process that hosts it: joins, watches its disk's room, leaves in order."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from dqlite_dbapi.errors import Error, NoLeader
from dqlite_node import _lib, files, membership, space
from dqlite_node.admission import admit
from dqlite_node.errors import NodeStartError
from dqlite_node.files import Identity
from dqlite_node.host import Host
from dqlite_node.settings import Facts, Settings

SERVING, JOINING, NO_SPACE = "serving", "joining", "no space"
PHASES = (SERVING, JOINING, NO_SPACE)
#: What `stop` gives away before: all, leadership only, nothing.
ALL, LEADERSHIP, NOTHING = "all", "leadership", "nothing"
TICK = 0.25  #: seconds between looks at the disk
RETRY = 0.5  #: seconds after something failed
WAIT_FOR_KEEPER = 0.5

_log = logging.getLogger("dqlite_node")


def ignore(_phase: str, _trouble: str) -> None:
    """Hear nothing of phases."""


class Member:
    """One start of one member in this process; `start` once, then `stop`.

    `phase` is one of PHASES, `trouble` why a wait in it has not ended ("" if it goes well).
    """

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[str, str], None] = ignore,
        *,
        exits: bool = False,
    ) -> None:
        """`tell` is called with phase and trouble at each change, in any thread.

        `exits` if the process does so after `stop`.
        """
        self.phase = SERVING
        self.trouble = ""
        self._settings = settings
        self._directory = Path(settings.data_dir)
        self._tell = tell
        self._exits = exits
        self._process = os.getpid()
        self._guard = threading.RLock()
        self._ending = threading.Event()
        self._lock: files.DirectoryLock | None = None
        self._host: Host | None = None

    @property
    def pid(self) -> int:
        """Process that hosts the member."""
        return self._process

    @property
    def is_alive(self) -> bool:
        """True until `stop`: what hosts the member is this very process."""
        return self._lock is not None

    def start(self) -> Facts:
        """Lock the directory, settle the identity, bind; run the engine unless it has to wait.

        It waits to join a cluster, or for room on the disk. All is undone on failure. Raises
        NodeStartError, or NodeError if the C part is missing.
        """
        files.prepare_directory(self._directory)
        self._lock = files.DirectoryLock(self._directory)
        try:
            if not self._settings.auto_recovery:
                files.check_damage(self._directory)
            self._identity, joins = admit(self._settings)
            self.phase = self._first_phase(joins)
            bound = self._settings.bind_address
            if self.phase != NO_SPACE:  # libdqlite 1.11 creates no handle on a full disk
                self._host = Host(self._settings, self._identity.id)
                self._host.prepare()
                bound = self._host.bind_address
            self._note_identity(joins)
            if self._host is not None and self._may_run():
                self._host.run()
        except BaseException:
            self._release()
            raise
        self._keeper = threading.Thread(target=self._keep, name="dqlite_node keeper", daemon=True)
        self._keeper.start()
        return Facts(
            self._identity.id, bound, _lib.engine_version(), _lib.is_recommended(), self.phase
        )

    def stop(self, giving: str = NOTHING) -> None:
        """Give away what is asked for, within `handover_timeout`, then stop and free everything.

        NodeStopError if libdqlite refuses. In a process forked from the hosting one this does
        nothing: the member is not there.
        """
        if self._lock is None or os.getpid() != self._process:
            return
        self._ending.set()
        self._hand_over(giving)
        with self._guard:
            self._release()
        if self._keeper is not threading.current_thread():
            self._keeper.join(WAIT_FOR_KEEPER)

    def reload_tls(self) -> None:
        """Read the certificate's files again for the connections that come, if there are any."""
        host = self._host
        if host is not None:
            host.reload_tls()

    def abandon(self) -> None:
        """Stop the member because its owner is gone, at the latest at interpreter exit."""
        self.stop()

    def _release(self) -> None:
        if self._host is not None:
            self._host.stop(exits=self._exits)
            self._host = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _note_identity(self, joins: bool) -> None:
        if joins:
            files.begin_join(self._directory)
        if files.read_identity(self._directory) != self._identity:
            files.write_identity(self._directory, self._identity)

    def _first_phase(self, joins: bool) -> str:
        room = space.look(self._directory, self._settings.min_free)
        if room.is_low:
            self.trouble = f"too little room in {self._directory}: {room}"
            _log.error("member %s waits: %s", self._settings.address, self.trouble)
            return NO_SPACE
        return JOINING if joins else SERVING

    def _may_run(self) -> bool:
        """Whether the engine may run now; one that is to join and has an empty log may not.

        One with data may be a voter whom the cluster waits for.
        """
        has_part = self.phase == SERVING or files.has_data(self._directory)
        return self.phase != NO_SPACE and has_part

    def _hand_over(self, giving: str) -> None:
        """In a thread, because a step of the client may outlast the time that there is."""
        if giving == NOTHING or self.phase != SERVING:
            return
        helper = threading.Thread(target=self._try_hand_over, args=(giving == ALL,), daemon=True)
        helper.start()
        helper.join(self._settings.handover_timeout)
        if helper.is_alive():
            _log.warning("member %s was not relieved in time", self._settings.address)

    def _try_hand_over(self, with_role: bool) -> None:
        try:
            membership.hand_over(self._settings, with_role=with_role)
        except Error as error:
            _log.info("member %s was not relieved: %s", self._settings.address, error)

    def _keep(self) -> None:
        while not self._ending.is_set():
            pause = TICK
            try:
                self._tick()
            except Error as error:
                pause = RETRY
                self._enter(self.phase, error.message, quiet=isinstance(error, NoLeader))
            except Exception as error:
                pause = RETRY
                self._enter(self.phase, f"its keeper goes on after {error!r}")
            self._ending.wait(pause)

    def _tick(self) -> None:
        room = space.look(self._directory, self._settings.min_free)
        if self.phase == NO_SPACE:
            if room.is_enough:
                self._return(room)
        elif room.is_low:
            self._leave(room)
        elif self.phase == JOINING:
            is_blank = not files.has_data(self._directory)
            membership.join(self._settings, self._identity.id, self._run, is_blank=is_blank)
            self._joined()

    def _run(self) -> None:
        """Run the engine, in a new handle where an earlier one is used up."""
        with self._guard:
            if self._ending.is_set():
                raise NodeStartError("the member is being stopped")
            if self._host is None:
                self._host = Host(self._settings, self._identity.id)
                self._host.prepare()
            if not self._host.runs:
                try:
                    self._host.run()
                except NodeStartError:
                    self._host = None
                    raise

    def _joined(self) -> None:
        role = self._settings.join_role
        identity = Identity(self._identity.id, self._settings.address, role)
        files.write_identity(self._directory, identity)
        files.end_join(self._directory)
        _log.info("member %s has joined", self._settings.address)
        self._enter(SERVING)

    def _leave(self, room: space.Room) -> None:
        problem = f"too little room in {self._directory}: {room}"
        _log.error("member %s stops until there is more: %s", self._settings.address, problem)
        self._hand_over(LEADERSHIP)
        with self._guard:
            if self._host is not None:
                self._host.stop()
                self._host = None
        self._enter(NO_SPACE, problem, quiet=True)

    def _return(self, room: space.Room) -> None:
        _log.warning("member %s comes back: %s", self._settings.address, room)
        joins = bool(self._settings.cluster) and files.is_joining(self._directory)
        if not joins or files.has_data(self._directory):
            self._run()
        self._enter(JOINING if joins else SERVING)

    def _enter(self, phase: str, trouble: str = "", *, quiet: bool = False) -> None:
        if (phase, trouble) == (self.phase, self.trouble):
            return
        self.phase, self.trouble = phase, trouble
        if trouble:
            level = logging.INFO if quiet else logging.WARNING
            _log.log(level, "member %s, %s: %s", self._settings.address, phase, trouble)
        self._tell(phase, trouble)
