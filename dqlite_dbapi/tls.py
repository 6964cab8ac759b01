"""TLS on the client's side: who is trusted, which name is expected, and why a peer was refused.

There is no way to switch the verification off. `ssl` is imported on first use only.
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dqlite_dbapi.errors import ConnectionLost, Error, InterfaceError, OperationalError, Timeout
from dqlite_dbapi.options import Options, split_address

if TYPE_CHECKING:
    import ssl

Path = str | os.PathLike[str]
_log = logging.getLogger("dqlite_dbapi.connection")
_REFUSED = "is the client certificate accepted?"
_OLD = None, "SSLv2", "SSLv3", "TLSv1", "TLSv1.1"  # as `ssl.SSLSocket.version` calls them
_HOSTNAME_MISMATCH, _IP_MISMATCH = 62, 64  # X509_V_ERR_ of OpenSSL's x509_vfy.h


@dataclass(frozen=True)
class Files:
    """Paths of the `tls_` options; authorities are the system's if `ca` is None."""

    ca: str | None
    cert: str | None
    key: str | None
    key_password: str | None = field(repr=False)

    def stamps(self) -> list[tuple[int, int, int] | None]:
        """What tells the files from those that take their places; None for a missing one."""
        return [_stamp(path) for path in (self.ca, self.cert, self.key) if path is not None]

    def load(self) -> ssl.SSLContext:
        """A context of the files as they are now; `InterfaceError` names a bad one."""
        return tls_context(ca=self.ca, cert=self.cert, key=self.key, key_password=self.key_password)


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class TLS:
    """What a runner needs: a context that verifies, and a name in place of each address's host."""

    def __init__(self, source: ssl.SSLContext | Files, server_name: str | None = None) -> None:
        """A context stays what it is; files are read again once they have changed."""
        self.server_name = server_name
        self._files = source if isinstance(source, Files) else None
        self._stamps = source.stamps() if isinstance(source, Files) else []
        self._context = source.load() if isinstance(source, Files) else source

    @property
    def context(self) -> ssl.SSLContext:
        """The context for a new connection.

        The one in use stays while changed files are no good, as when a key is still the old one.
        """
        files = self._files
        if files is not None and (stamps := files.stamps()) != self._stamps:
            self._stamps = stamps
            try:
                self._context = files.load()
            except InterfaceError as error:
                _log.warning("the TLS files in use stay: %s", error)
        return self._context

    def name_for(self, address: str) -> str:
        """The name that the certificate of the member at `address` must hold.

        `InterfaceError` for an abstract socket, which has no host, without a server name.
        """
        if self.server_name is not None:
            return self.server_name
        if address.startswith("@"):
            raise InterfaceError(
                f"{address} has no host name that a certificate could hold",
                hint="give tls_server_name",
            )
        return split_address(address)[0]

    def wrap(self, fresh: socket.socket, address: str) -> ssl.SSLSocket:
        """Take over a socket that is not connected; `connect()` and `do_handshake()` follow.

        A connected one would be leaked if its peer has gone (CPython's `SSLSocket`). This and
        `connect()` raise ValueError for a host that cannot stand in a certificate: see `bad_name`.
        """
        name = self.name_for(address)
        name.encode("idna")  # CPython does so when it has taken the socket, which it then leaks
        return self.context.wrap_socket(fresh, server_hostname=name, do_handshake_on_connect=False)

    @classmethod
    def shake_hands(cls, connected: ssl.SSLSocket) -> None:
        """The handshake of a connected socket; see `check_version` for what it may come to."""
        connected.do_handshake()
        cls.check_version(connected)

    @staticmethod
    def check_version(shaken: ssl.SSLSocket | ssl.SSLObject) -> None:
        """`ssl.SSLError` for less than TLS 1.2: contexts may leave the choice to OpenSSL."""
        import ssl

        if (version := shaken.version()) in _OLD:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, f"it chose {version}, less than TLS 1.2")

    @staticmethod
    def bad_name(address: str) -> Error:
        """The error for a host that cannot stand in a certificate."""
        return OperationalError(
            "the host is no name that a certificate could hold", address=address
        )

    @staticmethod
    def is_handshake(error: Exception) -> bool:
        """True for an error that a handshake may have raised, False for one of the socket's."""
        import ssl

        return isinstance(error, (ssl.SSLError, ConnectionResetError, ConnectionAbortedError))

    def failure(self, error: Exception | None, address: str) -> Error:
        """The driver's error for one in a handshake, or in the first read after it (None: closed).

        `OperationalError` (final) for a peer that is refused or refuses; `Timeout` and
        `ConnectionLost`, which may be tried again. In TLS 1.3 a server that refuses the client's
        certificate can be seen to do so only at the first read.
        """
        import ssl

        if isinstance(error, TimeoutError):
            return Timeout("no TLS handshake in time", address=address)
        if isinstance(error, ssl.SSLCertVerificationError):
            return _refused_server(error, address)
        if not isinstance(error, ssl.SSLError) or isinstance(
            error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
        ):
            return ConnectionLost(
                f"the server closed before answering; does it speak TLS, and {_REFUSED}",
                address=address,
                hint="the server's log tells why",
            )
        reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
        if "alert" in reason:
            return OperationalError(
                f"the server refused TLS ({reason}); {_REFUSED}", address=address, hint=_REFUSED
            )
        return OperationalError(
            f"the peer does not speak TLS as it should ({reason})",
            address=address,
            hint="is TLS switched on at this address?",
        )


def _refused_server(error: ssl.SSLCertVerificationError, address: str) -> OperationalError:
    if error.verify_code in (_HOSTNAME_MISMATCH, _IP_MISMATCH):
        hint = "for a cluster whose members share one name, give it as tls_server_name"
    else:
        hint = "tls_ca names the file with the authority that signs the members' certificates"
    reason = error.verify_message.rstrip(".")
    return OperationalError(
        f"the server's certificate is refused: {reason}", address=address, hint=hint
    )


def tls_context(
    *,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    key_password: str | None = None,
) -> ssl.SSLContext:
    """A context that takes TLS 1.2 or newer and verifies certificate and name of the server.

    `ca`: PEM file or directory of authorities, the system's if omitted. `cert` and `key`: PEM files
    of the client; `key` may be omitted if `cert` holds both. `InterfaceError` names a bad file.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is None:
        context.load_default_certs()
    else:
        _load_authorities(context, os.fspath(ca))
    if cert is not None:
        _load_client(context, os.fspath(cert), key, key_password)
    elif key is not None or key_password is not None:
        raise InterfaceError("a key without a certificate", hint="give tls_cert as well")
    return context


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    try:
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(path)
    except OSError as error:
        raise _bad_file("tls_ca", path, error) from None


def _load_client(
    context: ssl.SSLContext, cert: str, key: Path | None, password: str | None
) -> None:
    """OpenSSL would ask on the terminal for a password that is not given."""
    path = cert if key is None else os.fspath(key)

    def refuse() -> str:
        raise InterfaceError(f"the key in {path} is encrypted", hint="give tls_key_password")

    for name, file in (("tls_cert", cert), ("tls_key", path)):
        try:
            with open(file, "rb"):
                pass
        except OSError as error:
            raise _bad_file(name, file, error) from None
    try:
        context.load_cert_chain(cert, path, password=refuse if password is None else password)
    except (OSError, ValueError) as error:
        files = cert if key is None else f"{cert} with {path}"
        raise _bad_file("tls_cert", files, error) from None


def _bad_file(option: str, path: str, error: Exception) -> InterfaceError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return InterfaceError(f"{option}: {path} cannot be used: {reason}", hint="it is a PEM file")


def from_options(options: Options) -> TLS | None:
    """What `ssl` and the `tls_` options ask for; None for plain sockets.

    `InterfaceError` for a bad file, for options that contradict each other and for a context that
    does not verify.
    """
    files = (options.tls_ca, options.tls_cert, options.tls_key, options.tls_key_password)
    has_files = any(value is not None for value in files)
    wanted = options.ssl
    if wanted is None:
        wanted = True if has_files or options.tls_server_name is not None else None
    elif wanted is False and (has_files or options.tls_server_name is not None):
        raise InterfaceError("ssl is false, and tls_ options are given", hint="leave one out")
    if wanted is None or wanted is False:
        return None
    if wanted is not True:
        if has_files:
            raise InterfaceError(
                "ssl is a context, and tls_ files are given", hint="load them into the context"
            )
        return TLS(_checked(wanted), options.tls_server_name)
    return TLS(Files(*files), options.tls_server_name)


def _checked(context: object) -> ssl.SSLContext:
    import ssl

    if not isinstance(context, ssl.SSLContext):
        raise InterfaceError(f"ssl is {context!r}; it takes true or an ssl.SSLContext")
    if context.verify_mode == ssl.CERT_NONE or not context.check_hostname:
        raise InterfaceError(
            "the ssl context does not verify the server",
            hint="use tls_ca for a private authority and tls_server_name for a shared name",
        )
    # Below 0 there is no version in it: some systems' Python leaves that to OpenSSL, and so to
    # `check_version`, even in `ssl.create_default_context()`.
    if 0 < context.minimum_version < ssl.TLSVersion.TLSv1_2:
        raise InterfaceError(
            "the ssl context takes less than TLS 1.2",
            hint="set its minimum_version to ssl.TLSVersion.TLSv1_2",
        )
    return context
