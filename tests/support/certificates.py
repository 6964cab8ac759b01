"""Certificates of every kind that a gate meets, made by `dqlite_node.certs`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

try:
    import trustme
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("install it with: pip install trustme") from error

from dqlite_node import certs
from dqlite_node.tls import TLSFiles

HOSTS = ("127.0.0.1", "::1", "localhost")


class Certificates:
    """An authority with a pair for each role, and pairs that must be refused."""

    def __init__(self, directory: Path) -> None:
        """Make them in `directory`; another authority has `directory`/other."""
        self.directory = directory
        certs.make_authority(directory)
        for role in ("client", "backup", "operator"):
            certs.issue(directory, role, [role])
        certs.issue(directory, "member", ["member"], hosts=HOSTS)
        certs.issue(directory, "elsewhere", ["member"], hosts=["elsewhere.example"])
        certs.issue(directory, "numbered", ["member"], hosts=HOSTS, ids=[2])
        certs.issue(directory, "expired", ["member"], hosts=HOSTS, days=-1)
        certs.issue(directory, "ending", ["member"], hosts=HOSTS, days=7)
        certs.make_authority(directory / "other")
        for name in ("client", "member"):
            certs.issue(directory / "other", name, [name], hosts=HOSTS)

    def path(self, name: str) -> str:
        """Path of a file, such as `client.pem` or `other/client.key`."""
        return str(self.directory / name)

    def member(self, name: str = "member", **changes: Any) -> TLSFiles:
        """What a member with that pair is given."""
        return TLSFiles(
            self.path("ca.pem"), self.path(f"{name}.pem"), self.path(f"{name}.key"), **changes
        )

    def options(self, name: str | None = "client") -> dict[str, Any]:
        """Options of the driver for a client with that pair, or without one (None)."""
        if name is None:
            return {"tls_ca": self.path("ca.pem")}
        return self.member(name).client_options

    def copy(self, directory: Path, name: str = "member", **changes: Any) -> TLSFiles:
        """A member's files in a directory of their own, to be replaced."""
        directory.mkdir(exist_ok=True)
        self.replace(directory, name)
        paths = [str(directory / each) for each in ("ca.pem", "own.pem", "own.key")]
        return TLSFiles(*paths, **changes)

    def replace(self, directory: Path, name: str) -> None:
        """Put another pair in place of that directory's, a file at a time, as people do."""
        shutil.copy(self.path("ca.pem"), directory / "ca.pem")
        for kind in ("pem", "key"):
            shutil.copy(self.path(f"{name}.{kind}"), directory / f"own.{kind}")

    def bare(self, directory: Path) -> TLSFiles:
        """A pair that names no role, as other tools make it, and authorities for both kinds."""
        authority = trustme.CA()
        issued = authority.issue_cert(*HOSTS)
        paths = [directory / each for each in ("both.pem", "bare.pem", "bare.key")]
        paths[0].write_bytes(Path(self.path("ca.pem")).read_bytes() + authority.cert_pem.bytes())
        issued.cert_chain_pems[0].write_to_path(paths[1])
        issued.private_key_pem.write_to_path(paths[2])
        return TLSFiles(*map(str, paths))


def shared_pair(directory: Path, name: str, **changes: Any) -> TLSFiles:
    """A pair that is its own authority and belongs to all members, as go-dqlite's examples do."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "shared.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "shared.key").write_bytes(private)
    paths = str(directory / "shared.pem"), str(directory / "shared.key")
    return TLSFiles(paths[0], *paths, server_name=name, **changes)
