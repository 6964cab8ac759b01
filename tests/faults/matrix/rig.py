"""Hosts of an application, each in a network namespace of its own, which faults can hurt."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from dqlite_dbapi import Client, Error, Role
from dqlite_node import App, Node, NodeError, NodeNotRunningError
from dqlite_node.member import SERVING
from tests.faults.matrix.links import Links
from tests.support.disks import Disks
from tests.support.engines import Engine
from tests.support.netns import Network
from tests.support.rotation import Rotation

READY = 30.0
PATIENCE = 60.0  #: seconds for members to be well after a fault
INTERVAL = 2.0  #: seconds between a leader's looks at the members' roles


class Host:
    """A machine that runs the application, or is down."""

    def __init__(self, rig: Rig, number: int, directory: Path, address: str) -> None:
        self.directory, self.address = directory, address
        self._crashes: list[str] = []
        self._rig, self._number = rig, number
        self._app: App | None = None

    @property
    def node(self) -> Node:
        """The member, while the host is up."""
        assert self._app is not None, f"{self.address} is down"
        return self._app.node

    @property
    def is_up(self) -> bool:
        """Whether the application runs."""
        return self._app is not None

    def start(self, engine: Engine | None = None) -> None:
        """Run the application, as its machine would, on `engine` from now on."""
        if self._app is not None:
            return
        rig = self._rig
        rig.engines[self._number] = engine or rig.engines[self._number]
        app = App(
            self.directory,
            self.address,
            rig.addresses,
            voters=rig.voters,
            adjust_interval=INTERVAL,
            tls=rig.rotation.members.files if rig.rotation else None,
            launcher=rig.engines[self._number].launcher,
        )
        with rig.network.inside(self._number + 1):
            app.start()
        self._app = app

    def ready(self) -> None:
        """Wait until it has its part in the cluster."""
        assert self._app is not None, f"{self.address} is down"
        self._app.ready(READY)

    def stop(self) -> None:
        """Hand over and stop, as an administrator would."""
        self._end(10.0)

    def kill(self) -> None:
        """Lose power."""
        with suppress(NodeNotRunningError):
            self.node.kill()
        self._end(0)

    def pause(self) -> None:
        """Freeze the member."""
        with suppress(NodeNotRunningError):
            self.node.pause()

    def resume(self) -> None:
        """Let it go on."""
        with suppress(NodeNotRunningError):
            self.node.resume()

    def wipe(self) -> None:
        """Lose the data of a host that is down."""
        assert self._app is None, f"{self.address} is up"
        shutil.rmtree(self.directory, ignore_errors=True)

    def trouble(self) -> str:
        """What is wrong with it by itself; "" if nothing is."""
        if self._app is None:
            return "down"
        if self._app.failure is not None:
            return f"gave up: {self._app.failure}"
        status = self._app.node.status
        return "" if status == SERVING else status

    def close(self) -> None:
        """Stop at once, whatever state it is in."""
        self._end(0)

    @property
    def crashes(self) -> list[str]:
        """How its member ended by itself, or did not stop."""
        crash = self._app.node.crash if self._app is not None else None
        return [*self._crashes, *([str(crash)] if crash else [])]

    def _end(self, handover_timeout: float) -> None:
        if self._app is None:
            return
        self._crashes = self.crashes
        app, self._app = self._app, None
        try:
            with self._rig.network.inside(self._number + 1):
                app.close(handover_timeout)
        except NodeError as error:
            self._crashes.append(str(error))


class Rig:
    """`count` hosts, and the links between them and to the clients.

    Hosts are numbered from 0 here, and from 1 in network and links.
    """

    def __init__(
        self, network: Network, folder: Path, engine: Engine, *, count: int, voters: int, port: int
    ) -> None:
        self.network = network
        self.links = Links(network, count)
        self.voters = voters
        self.engines = [engine] * count
        self.disks: Disks | None = None
        self.rotation: Rotation | None = None
        self.addresses = [f"{network.host(number + 1)}:{port}" for number in range(count)]
        self.hosts = [
            Host(self, number, folder / f"host{number}", address)
            for number, address in enumerate(self.addresses)
        ]

    @property
    def options(self) -> dict[str, Any]:
        """Options for clients to connect with."""
        return self.rotation.clients.files.client_options if self.rotation else {}

    def client(self, timeout: float = 5.0) -> Client:
        """A cluster client that knows all hosts, with the rights of a member."""
        options = self.rotation.members.files.client_options if self.rotation else {}
        return Client(self.addresses, timeout=timeout, **options)

    def leader(self) -> int:
        """Number of the host that leads; waits for one."""
        with self.client(20.0) as client:
            return self.addresses.index(client.leader())

    def together(self, action: Callable[[Host], None], numbers: Sequence[int]) -> None:
        """Do it to several hosts at the same moment."""
        with ThreadPoolExecutor(len(numbers)) as pool:
            pending = [pool.submit(action, self.hosts[number]) for number in numbers]
        for each in pending:
            each.result()

    def trouble(self) -> str:
        """What keeps the cluster from being well; "" if nothing does."""
        found = [f"{host.address} {trouble}" for host in self.hosts if (trouble := host.trouble())]
        if found:
            return ", ".join(found)
        try:
            with self.client(2.0) as client:
                health = client.health(2.0)
        except Error as error:
            return repr(error)
        voters = [member for member in health.members if member.role == Role.VOTER]
        followed = {member.follows for member in voters}  # standbys do not tell
        if not health.is_healthy or len(health.members) != len(self.hosts):
            return f"not healthy: {health.warnings}, members {len(health.members)}"
        if followed != {health.leader}:
            return f"they follow {followed}"
        return "" if len(voters) == self.voters else f"{len(voters)} voters"

    def wait_well(self, timeout: float = PATIENCE) -> None:
        """Wait until all hosts serve, follow one leader and have their votes; else TimeoutError."""
        deadline = monotonic() + timeout
        while trouble := self.trouble():
            if monotonic() > deadline:
                raise TimeoutError(f"not well after {timeout:g} s: {trouble}")
            sleep(0.1)

    @property
    def crashes(self) -> list[str]:
        """How members ended by themselves, or did not stop."""
        return [crash for host in self.hosts for crash in host.crashes]

    def close(self) -> None:
        """Undo what is done to links and stop all hosts."""
        self.links.heal()
        self.together(Host.close, range(len(self.hosts)))


@contextmanager
def running_rig(
    folder: Path,
    engine: Engine,
    *,
    count: int = 3,
    voters: int = 3,
    port: int = 9001,
    needs: Sequence[str] = (),
) -> Iterator[Rig]:
    """A cluster that is well, reachable from this thread; `needs`: "disks", "certificates"."""
    with ExitStack() as stack:
        network = stack.enter_context(Network(count))
        stack.enter_context(network.inside())
        rig = Rig(network, folder, engine, count=count, voters=voters, port=port)
        if "disks" in needs:
            rig.disks = Disks([host.directory for host in rig.hosts], stack)
        if "certificates" in needs:
            (folder / "certificates").mkdir(parents=True)
            hosts = [network.host(number + 1) for number in range(count)]
            rig.rotation = Rotation(folder / "certificates", hosts)
            rig.rotation.new_authority()
        stack.callback(rig.close)
        everyone = range(count)
        rig.together(Host.start, everyone)
        rig.together(Host.ready, everyone)
        rig.wait_well()
        yield rig
