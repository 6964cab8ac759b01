"""A member's certificates: the files, what a certificate says, and new files without a restart.

Roles stand in the certificate as URIs, `dqlite://role/member`; `frames.ROLES` tells what each may
do. A member's certificate may also name the ids that it is good for, `dqlite://id/17`.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from dqlite_dbapi import Error, tls_context
from dqlite_node.dial import split_address
from dqlite_node.errors import NodeError, NodeStartError
from dqlite_node.frames import ROLES

ROLE_URI = "dqlite://role/"
ID_URI = "dqlite://id/"
MEMBER = "member"
DAY = 86400.0
WARN_DAYS = 14
_STEPS = 8

_log = logging.getLogger("dqlite_node")


@dataclass(frozen=True)
class TLSFiles:
    """PEM files with which a member proves who it is, to peers and to clients, and trusts them.

    ca: certificates of the authorities to trust. cert, key: the member's own; `key` may be left out
    if `cert` holds both. key_password: for an encrypted key.
    server_name: the name that all members share in their certificates; by default each address's
        host must stand there.
    default_role: role of a certificate that names none, such as go-dqlite's; refused if None.
    connections: how many one address may have open; members do not count.
    """

    ca: str
    cert: str
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    server_name: str | None = None
    default_role: str | None = None
    connections: int = 256

    def __post_init__(self) -> None:
        for name in ("ca", "cert", "key"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, os.path.abspath(os.fspath(value)))
        if self.default_role not in (None, *ROLES):
            raise NodeError(f"default_role {self.default_role!r} is none of {', '.join(ROLES)}")
        if self.connections < 1:
            raise NodeError("connections is not positive")

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> TLSFiles | None:
        """Rebuild from what `dataclasses.asdict` and JSON made of it."""
        return None if data is None else cls(**data)

    @property
    def client_options(self) -> dict[str, Any]:
        """Options for `dqlite_dbapi.connect` and `Client` with the same files."""
        names = {"server_name": "tls_server_name", "key_password": "tls_key_password"}
        kept = ("ca", "cert", "key", "key_password", "server_name")
        given = {name: value for name, value in asdict(self).items() if name in kept}
        return {
            names.get(name, f"tls_{name}"): value
            for name, value in given.items()
            if value is not None
        }

    def name_for(self, address: str) -> str:
        """What the certificate of the member at `address` must hold."""
        return self.server_name or split_address(address)[0]

    def client_context(self) -> ssl.SSLContext:
        """For dialling; InterfaceError names a bad file."""
        return tls_context(ca=self.ca, cert=self.cert, key=self.key, key_password=self.key_password)

    def server_context(self) -> ssl.SSLContext:
        """For listening: every peer needs a certificate of the same authorities."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        if os.path.isdir(self.ca):
            context.load_verify_locations(capath=self.ca)
        else:
            context.load_verify_locations(self.ca)
        context.load_cert_chain(self.cert, self.key, password=self.key_password or "")
        return context


class Certificate(NamedTuple):
    """What a verified peer's certificate says; `expires` in seconds since 1970."""

    hosts: frozenset[str]
    roles: frozenset[str]
    ids: frozenset[int]
    expires: float

    @classmethod
    def from_peer(
        cls, decoded: Mapping[str, Any] | None, default_role: str | None = None
    ) -> Certificate:
        """Read what `SSLSocket.getpeercert` gives."""
        decoded = decoded or {}
        alternatives = decoded.get("subjectAltName", ())
        uris = [value for kind, value in alternatives if kind == "URI"]
        roles = {uri[len(ROLE_URI) :] for uri in uris if uri.startswith(ROLE_URI)}
        ids = {uri[len(ID_URI) :] for uri in uris if uri.startswith(ID_URI)}
        if not roles and default_role is not None:
            roles = {default_role}
        return cls(
            frozenset(_plain(v) for kind, v in alternatives if kind in ("DNS", "IP Address")),
            frozenset(roles & ROLES.keys()),
            frozenset(int(number) for number in ids if number.isascii() and number.isdigit()),
            ssl.cert_time_to_seconds(decoded["notAfter"]) if "notAfter" in decoded else 0.0,
        )

    @property
    def allowed(self) -> frozenset[int]:
        """Request types that the roles allow together."""
        return frozenset().union(*(ROLES[role] for role in self.roles))

    def holds(self, host: str) -> bool:
        """Whether the certificate is good for a host; `*.domain` covers one label."""
        wanted = _plain(host)
        _, dot, parent = wanted.partition(".")
        return wanted in self.hosts or (bool(dot) and f"*.{parent}" in self.hosts)


def _plain(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host.strip()))
    except ValueError:
        return host.strip().lower().rstrip(".")


class Credentials(NamedTuple):
    """A pair of contexts that were tried against each other, and the own certificate."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    own: Certificate


def load(files: TLSFiles, address: str) -> Credentials:
    """Read the files and try them: would a peer accept this member at `address`?

    NodeStartError if they are unusable, do not fit together, expired, lack the address's host or
    the role of a member.
    """
    try:
        client, server = files.client_context(), files.server_context()
        decoded = _try_handshake(client, server, files.name_for(address))
    except ssl.SSLCertVerificationError as error:
        raise _unusable(address, f"{files.cert}: {error.verify_message.rstrip('.')}") from error
    except Error as error:
        raise _unusable(address, error.message) from error
    except (OSError, ValueError) as error:
        raise _unusable(address, f"{files.cert}: {error}") from error
    own = Certificate.from_peer(decoded, files.default_role)
    if MEMBER not in own.roles:
        raise _unusable(address, f"{files.cert} has no role {ROLE_URI}{MEMBER}")
    return Credentials(server, client, own)


def _unusable(address: str, reason: str) -> NodeStartError:
    return NodeStartError(
        f"TLS cannot be used: {reason}",
        address=address,
        hint="python -m dqlite_node certs makes certificates that fit",
    )


def _try_handshake(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str
) -> Mapping[str, Any] | None:
    """Let the two shake hands in memory; what the client sees of the server's certificate."""
    upwards, downwards = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(downwards, upwards, server_hostname=name)
    theirs = server.wrap_bio(upwards, downwards, server_side=True)
    waiting = [ours, theirs]
    for _ in range(_STEPS):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return ours.getpeercert()
    raise ValueError("no handshake with itself")


class Keyring:
    """The credentials in use; new files replace them, for the connections that come."""

    def __init__(self, files: TLSFiles, address: str) -> None:
        """Raises what `load` does."""
        self.files = files
        self._address = address
        self._seen = self._look()
        self._warned = 0.0
        self.current = load(files, address)

    def _look(self) -> list[tuple[int, int, int]]:
        """What changes when a file does; the missing one will be named when it is read."""
        found = []
        for path in (self.files.ca, self.files.cert, self.files.key):
            try:
                stat = os.stat(path or self.files.cert)
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return found

    def refresh(self, *, always: bool = False) -> None:
        """Read files that changed; bad ones are reported and the old credentials stay."""
        seen = self._look()
        if seen == self._seen and not always:
            return
        self._seen = seen
        try:
            self.current = load(self.files, self._address)
        except NodeStartError as error:
            _log.error("member %s keeps its old certificate: %s", self._address, error.message)
        else:
            self._warned = 0.0
            _log.info("member %s uses the new files of its certificate", self._address)

    def warn_of_expiry(self) -> None:
        """Say once a day that the certificate in use ends within WARN_DAYS."""
        now = time.time()
        left = (self.current.own.expires - now) / DAY
        if left < WARN_DAYS and now - self._warned > DAY:
            self._warned = now
            _log.warning(
                "member %s: its certificate %s expires in %d days",
                self._address,
                self.files.cert,
                max(int(left), 0),
            )
