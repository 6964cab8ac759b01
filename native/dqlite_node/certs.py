"""`python -m dqlite_node certs`: an authority and certificates whose roles the gate knows.

It needs the package `cryptography`.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dqlite_node.errors import NodeError
from dqlite_node.frames import ROLES
from dqlite_node.tls import ID_URI, MEMBER, ROLE_URI

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

DAYS = 365
AUTHORITY_DAYS = 3650
CLOCK_SKEW = datetime.timedelta(minutes=5)
AUTHORITY = "ca"


class Pair(NamedTuple):
    """Paths of a certificate and its key, PEM files of mode 0600."""

    cert: Path
    key: Path


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise NodeError(
            "making certificates needs the package cryptography",
            hint="pip install 'dqlite-python[tls]'",
        ) from error


def pair_in(directory: Path, name: str) -> Pair:
    """Where the pair called `name` is kept."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".") or "_"
    return Pair(directory / f"{plain}.pem", directory / f"{plain}.key")


def make_authority(directory: Path, *, days: int = AUTHORITY_DAYS) -> tuple[Pair, bool]:
    """Make `ca.pem` and `ca.key` unless they are there; gives them, and whether they are new.

    The directory is made with mode 0700 if missing. NodeError without `cryptography`, or if only
    one of the two files is there.
    """
    _need_cryptography()
    from cryptography import x509

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pair = pair_in(directory, AUTHORITY)
    there = [path for path in pair if path.exists()]
    if len(there) == 1:
        raise NodeError(f"{there[0]} is alone", hint=f"{pair.cert} and {pair.key} belong together")
    if there:
        return pair, False
    key = _new_key()
    name = _name("dqlite authority")
    builder = _builder(name, name, key, days).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    _write(pair, builder.add_extension(_usage(signs=True), critical=True), key, key)
    return pair, True


def issue(
    directory: Path,
    name: str,
    roles: Iterable[str],
    *,
    hosts: Sequence[str] = (),
    ids: Iterable[int] = (),
    days: int = DAYS,
) -> Pair:
    """Make a pair signed by the directory's authority, in place of an earlier one of that name.

    `hosts`: host names and IP addresses, needed for a member. `ids`: the only member ids that a
    member's certificate is good for. NodeError for an unknown role, or one that fits not.
    """
    _need_cryptography()
    from cryptography import x509

    wanted = sorted(set(roles))
    _check(name, wanted, hosts)
    uris = [f"{ROLE_URI}{role}" for role in wanted] + [f"{ID_URI}{number}" for number in ids]
    names: list[Any] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [_general_name(host) for host in hosts]
    key = _new_key()
    authority, signer = _load(pair_in(directory, AUTHORITY))
    builder = (
        _builder(_name(name), authority.subject, key, days)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_purposes(MEMBER in wanted)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    pair = pair_in(directory, name)
    _write(pair, builder, key, signer)
    return pair


def _check(name: str, roles: list[str], hosts: Sequence[str]) -> None:
    unknown = set(roles) - ROLES.keys()
    if unknown or not roles:
        raise NodeError(f"role {', '.join(unknown) or 'missing'} is none of {', '.join(ROLES)}")
    if MEMBER in roles and not hosts:
        raise NodeError(f"{name}: a member's certificate needs the host that others dial")
    if pair_in(Path(), name) == pair_in(Path(), AUTHORITY):
        raise NodeError(f"{name} is the authority's own name")


def _purposes(is_member: bool) -> list[x509.ObjectIdentifier]:
    """A client's certificate is no server's, so that nobody can pose as a member with it."""
    from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

    servers = [Purpose.SERVER_AUTH] if is_member else []
    return [*servers, Purpose.CLIENT_AUTH]


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise NodeError(f"{host!r} is no host name: {error}") from error


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW - datetime.timedelta(days=max(0, -days)))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _load(pair: Pair) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
        key = load_pem_private_key(pair.key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise NodeError(f"the authority {pair.cert} cannot be used: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NodeError(f"the authority {pair.key} was not made by this command")
    return certificate, key


def _write(
    pair: Pair,
    builder: x509.CertificateBuilder,
    key: EllipticCurvePrivateKey,
    signer: EllipticCurvePrivateKey,
) -> None:
    """Both files, each replaced in one step; a gate that reads between the two reads again."""
    from cryptography.hazmat.primitives import hashes, serialization

    certificate = builder.sign(signer, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for path, content in ((pair.key, private), (pair.cert, certificate.public_bytes(pem))):
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--member", "members", multiple=True, metavar="HOST[,HOST...]",
    help="A member's pair, named after its first host; give all hosts and IP addresses it has.",
)  # fmt: skip
@click.option("--client", "clients", multiple=True, metavar="NAME", help="For SQL.")
@click.option("--backup", "backups", multiple=True, metavar="NAME", help="For SQL and snapshots.")
@click.option("--operator", "operators", multiple=True, metavar="NAME", help="For membership too.")
@click.option("--id", "ids", multiple=True, type=int, help="The only ids the members may have.")
@click.option("--days", default=DAYS, show_default=True, help="How long the pairs are valid.")
@click.option("--renew", is_flag=True, help="Replace pairs that are there.")
def certs(
    directory: Path,
    members: tuple[str, ...],
    clients: tuple[str, ...],
    backups: tuple[str, ...],
    operators: tuple[str, ...],
    ids: tuple[int, ...],
    days: int,
    renew: bool,
) -> None:
    """Make an authority in DIRECTORY, unless it is there, and pairs of certificate and key."""
    wanted: list[tuple[str, list[str], list[str]]] = []
    for member in members:
        hosts = [host.strip() for host in member.split(",") if host.strip()]
        wanted.append((hosts[0] if hosts else member, [MEMBER], hosts))
    wanted += [(name, ["client"], []) for name in clients]
    wanted += [(name, ["client", "backup"], []) for name in backups]
    wanted += [(name, ["operator"], []) for name in operators]
    try:
        pair, is_new = make_authority(directory)
        click.echo(f"{'made' if is_new else 'kept'} {pair.cert}, {pair.key}")
        for name, roles, hosts in wanted:
            pair = pair_in(directory, name)
            if not renew and any(path.exists() for path in pair):
                raise NodeError(f"{pair.cert} is there already", hint="--renew replaces it")
            issue(directory, name, roles, hosts=hosts, ids=ids if hosts else (), days=days)
            click.echo(f"made {pair.cert}, {pair.key}")
    except NodeError as error:
        raise click.ClickException(str(error)) from None
