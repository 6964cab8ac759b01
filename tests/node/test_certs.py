from __future__ import annotations

import ssl
import stat
import sys

import pytest
from click.testing import CliRunner

from dqlite_node import NodeError, certs
from dqlite_node.certs import certs as command
from dqlite_node.tls import Certificate, TLSFiles, load


def files(directory, name):
    pair = certs.pair_in(directory, name)
    return TLSFiles(str(directory / "ca.pem"), str(pair.cert), str(pair.key))


def run(*arguments):
    return CliRunner().invoke(command, [str(each) for each in arguments])


def test_a_set_for_a_cluster(tmp_path):
    directory = tmp_path / "pki"
    done = run(
        directory, "--member", "10.0.0.1,db1.example", "--member", "::1", "--client", "app",
        "--backup", "nightly", "--operator", "admin", "--days", 30,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    made = sorted(path.name for path in directory.iterdir())
    names = ["10.0.0.1", "_1", "admin", "app", "ca", "nightly"]
    assert made == sorted(f"{name}.{kind}" for name in names for kind in ("pem", "key"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for host in ("10.0.0.1", "db1.example"):
        own = load(files(directory, "10.0.0.1"), f"{host}:9001").own
        assert own.roles == {"member"}
        assert own.hosts == {"10.0.0.1", "db1.example"}
    assert load(files(directory, "::1"), "[::1]:9001").own.holds("::1")


def test_pairs_can_be_added_and_renewed_and_are_not_overwritten(tmp_path):
    assert run(tmp_path, "--client", "one").exit_code == 0
    before = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "one.pem").read_bytes()
    assert run(tmp_path, "--client", "two").exit_code == 0
    assert run(tmp_path, "--client", "one").exit_code == 1
    assert ((tmp_path / "ca.pem").read_bytes(), (tmp_path / "one.pem").read_bytes()) == before
    assert run(tmp_path, "--client", "one", "--renew").exit_code == 0
    assert (tmp_path / "ca.pem").read_bytes() == before[0]
    assert (tmp_path / "one.pem").read_bytes() != before[1]


@pytest.mark.parametrize("name", ["app", "nightly", "admin"])
def test_a_client_cannot_pose_as_a_member(tmp_path, name):
    run(tmp_path, "--client", "app", "--backup", "nightly", "--operator", "admin")
    with pytest.raises(NodeError):
        load(files(tmp_path, name), "127.0.0.1:9001")


def test_ids_stand_in_the_certificate(tmp_path):
    assert run(tmp_path, "--member", "localhost", "--id", 3, "--id", 5).exit_code == 0
    assert load(files(tmp_path, "localhost"), "localhost:1").own.ids == {3, 5}


@pytest.mark.parametrize(
    "arguments", [["--member", ","], ["--member", "bücher"], ["--client", "ca"]]
)
def test_what_cannot_be_made(tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)


@pytest.mark.parametrize(("roles", "hosts"), [([], ["h"]), (["king"], ["h"]), (["member"], [])])
def test_roles_are_checked(tmp_path, roles, hosts):
    certs.make_authority(tmp_path)
    with pytest.raises(NodeError):
        certs.issue(tmp_path, "x", roles, hosts=hosts)


def test_half_an_authority(tmp_path):
    certs.make_authority(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(NodeError) as caught:
        certs.make_authority(tmp_path)
    assert caught.value.hint
    with pytest.raises(NodeError):
        certs.issue(tmp_path, "x", ["client"])


def test_without_cryptography(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(NodeError) as caught:
        certs.make_authority(tmp_path)
    assert "pip install" in caught.value.hint
    assert run(tmp_path).exit_code == 1


def test_a_key_is_never_shown(tmp_path):
    shown = repr(TLSFiles("ca", "cert", "key", key_password="secret"))
    assert "secret" not in shown


def test_a_certificate_of_strangers():
    decoded = {
        "subjectAltName": (("DNS", "*.Example.org"), ("URI", "dqlite://role/king"), ("URI", "x:y")),
        "notAfter": "Jan  5 09:34:43 2030 GMT",
    }
    found = Certificate.from_peer(decoded)
    assert not found.roles
    assert not found.allowed
    assert not Certificate.from_peer(decoded, "client").roles
    assert Certificate.from_peer({}, "client").roles == {"client"}
    assert found.holds("db1.example.org")
    assert not found.holds("a.b.example.org")
    assert not found.holds("example.org")
    assert found.expires == ssl.cert_time_to_seconds(decoded["notAfter"])
