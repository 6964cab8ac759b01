"""`python -m dqlite_node run`: a member under a service manager."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from dqlite_dbapi import Client
from dqlite_node.local import reserve_port


class Manager:
    """What a service manager does: starts a member, hears of it, signals it."""

    def __init__(self, directory, number, engine):
        self.data_dir = directory / f"member{number}"
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(f"\0{self.data_dir}")
        self._inbox.settimeout(20)
        self._log = (directory / f"log{number}").open("w+")
        self._engine = engine
        self.process = None

    def start(self, address, *arguments):
        """Start it, once more if it has ended."""
        if self.process is not None:
            self.process.communicate()
        command = [*self._engine.launcher, sys.executable, "-m", "dqlite_node", "run"]
        self.process = subprocess.Popen(
            [*command, "--data-dir", self.data_dir, "--address", address, *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "NOTIFY_SOCKET": f"@{self.data_dir}"},
        )

    def hear(self):
        return self._inbox.recv(1000).decode()

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def stop(self, number=signal.SIGTERM):
        """End the service; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.communicate()
        self._inbox.close()
        self._log.close()


@pytest.fixture
def managers(tmp_path, engine):
    made = []

    def make(n):
        made.extend(Manager(tmp_path, number, engine) for number in range(n))
        return made

    yield make
    for manager in made:
        manager.close()


@pytest.fixture
def addresses():
    held = [reserve_port() for _ in range(3)]
    yield [f"127.0.0.1:{each.getsockname()[1]}" for each in held]
    for reservation in held:
        reservation.close()


def leader(addresses):
    with Client(addresses, timeout=5) as client:
        return client.leader()


def test_three_services_make_a_cluster_and_hand_over(managers, addresses):
    services = managers(3)
    for service, address in zip(services, addresses, strict=True):
        service.start(address, "--cluster", ",".join(addresses), "--adjust-interval", "1")
    for service in services:
        assert service.hear().startswith("READY=1\n")
    led = addresses.index(leader(addresses))
    assert services[led].stop() == 0
    assert services[led].hear() == "STOPPING=1"
    assert leader(addresses) != addresses[led]
    services[led].start(addresses[led])
    assert services[led].hear().startswith("READY=1\n")
    assert services[led - 1].stop(signal.SIGINT) == 0, services[led - 1].log()


def test_a_service_that_is_ended_while_it_joins(managers, addresses):
    (service,) = managers(1)
    service.start(addresses[0], "--cluster", addresses[1], "--cluster", addresses[0])
    while not (service.data_dir / "cluster.yaml").exists():
        assert service.process.poll() is None
    assert service.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--voters", "2"], 1), (["--bind", "nowhere.invalid:1"], 1), (["--tls-ca", "ca"], 2)],
)
def test_what_cannot_start(managers, addresses, arguments, status):
    (service,) = managers(1)
    service.start(addresses[0], *arguments)
    assert service.process.wait(20) == status
    assert service.log()


def test_the_log_goes_to_standard_error(managers, addresses):
    (service,) = managers(1)
    service.start(addresses[0], "--bind", addresses[0], "--log-level", "info")
    service.hear()
    assert service.stop() == 0
    assert addresses[0] in service.log()
    assert service.process.stdout.read() == b""


def test_a_member_that_crashes_is_started_again(managers, addresses, eventually):
    (service,) = managers(1)
    service.start(addresses[0])
    service.hear()
    os.kill(child(service.process.pid), signal.SIGKILL)
    assert leader(addresses[:1]) == addresses[0]
    assert service.stop() == 0


def child(pid):
    """The only child of a process."""
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return int(children.read().split()[0])
