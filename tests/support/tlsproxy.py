"""TLS in front of members that speak plainly, and the authorities that tests trust."""

from __future__ import annotations

import datetime
import select
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

try:
    import trustme
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("install it with: pip install trustme") from error

from tests.support.fakeserver import FakeServer, secured

_PATIENCE = 10.0


class ClientFiles(NamedTuple):
    """Paths of a client's certificate and key."""

    cert: str
    key: str


class Authority:
    """Signs certificates of servers and clients."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def write(self, directory: Path) -> str:
        """Write the authority's own certificate; returns the path of the file."""
        path = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(path)
        return str(path)

    def server(
        self, *names: str, clients: Authority | None = None, days: int = 30
    ) -> ssl.SSLContext:
        """A server's context for `names`, valid for `days` from now.

        With `clients` it requires a certificate of that authority.
        """
        now = datetime.datetime.now(datetime.timezone.utc)
        issued = self._ca.issue_cert(
            *names,
            not_before=now - datetime.timedelta(days=60),
            not_after=now + datetime.timedelta(days=days),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        if clients is not None:
            clients.trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, directory: Path) -> ClientFiles:
        """Write a client's certificate and key."""
        issued = self._ca.issue_cert("client@example.org")
        files = ClientFiles(str(directory / "client.pem"), str(directory / "client.key"))
        issued.cert_chain_pems[0].write_to_path(files.cert)
        issued.private_key_pem.write_to_path(files.key)
        return files

    def trust(self, context: ssl.SSLContext) -> None:
        """Let `context` trust this authority."""
        self._ca.configure_trust(context)


class TLSProxy(FakeServer):
    """Terminates TLS on a loopback port and passes the bytes on to a plain address."""

    def __init__(self, target: str, context: ssl.SSLContext) -> None:
        super().__init__(self._relay)
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._context = context

    def cut(self) -> None:
        """Drop every connection that is open now."""
        connections, self._connections = self._connections, []
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _relay(self, accepted: socket.socket) -> None:
        accepted.settimeout(_PATIENCE)
        with (
            secured(accepted, self._context) as client,
            socket.create_connection(self._target) as member,
        ):
            client.settimeout(_PATIENCE)
            while True:
                ready, _, _ = select.select([client, member], [], [])
                if client in ready and not _pass_on(client, member):
                    return
                if member in ready:
                    chunk = member.recv(65536)
                    if not chunk:
                        return
                    client.sendall(chunk)


def _pass_on(client: ssl.SSLSocket, member: socket.socket) -> bool:
    """Forward what has come; False at the end."""
    while True:
        client.settimeout(0)
        try:
            chunk = client.recv(65536)
        except ssl.SSLWantReadError:
            return True
        finally:
            client.settimeout(_PATIENCE)
        if not chunk:
            return False
        member.sendall(chunk)
