"""The options for TLS: what they make, what they refuse, and the secret that they keep."""

from __future__ import annotations

import ssl
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

import dqlite_dbapi
from dqlite_dbapi import InterfaceError
from dqlite_dbapi.options import parse
from dqlite_dbapi.tls import from_options, tls_context
from tests.support.tlsproxy import Authority

SECRET = "the-password-of-the-key"


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def ca(authority, tmp_path):
    return authority.write(tmp_path)


def test_no_option_means_no_tls():
    assert from_options(parse("m:1")) is None
    assert from_options(parse("m:1", ssl=False)) is None


@pytest.mark.parametrize("switch", [{"ssl": True}, {"tls_server_name": "name"}])
def test_tls_verifies_unless_told_how(switch):
    tls = from_options(parse("m:1", **switch))
    assert tls.context.verify_mode == ssl.CERT_REQUIRED
    assert tls.context.check_hostname
    assert tls.context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("address", "shared", "expected"),
    [
        ("host.example:9001", None, "host.example"),
        ("[::1]:9001", None, "::1"),
        ("10.0.0.1:9001", "name", "name"),
        ("@abstract", "name", "name"),
    ],
)
def test_the_expected_name(address, shared, expected):
    tls = from_options(parse(address, ssl=True, tls_server_name=shared))
    assert tls.name_for(address) == expected


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def nameless():
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


def ancient():
    context = ssl.create_default_context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.parametrize(
    "context",
    [unverified, nameless, ancient, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), object],
)
def test_a_context_that_does_not_verify_is_refused(context):
    with pytest.raises(InterfaceError):
        from_options(parse("m:1", ssl=context()))


@pytest.mark.parametrize("oldest", ["MINIMUM_SUPPORTED", "TLSv1_3", "MAXIMUM_SUPPORTED"])
def test_a_context_that_names_no_old_version_is_taken(oldest):
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion[oldest]
    assert from_options(parse("m:1", ssl=context)).context is context


@pytest.mark.parametrize(
    "options",
    [
        {"ssl": False, "tls_ca": "ca.pem"},
        {"ssl": ssl.create_default_context(), "tls_ca": "ca.pem"},
        {"tls_key": "key.pem"},
        {"tls_key_password": SECRET},
    ],
)
def test_options_that_contradict_each_other(options):
    with pytest.raises(InterfaceError):
        from_options(parse("m:1", **options))


@pytest.mark.parametrize("option", ["tls_ca", "tls_cert", "tls_key"])
@pytest.mark.parametrize("content", [None, "this is no certificate"])
def test_a_bad_file_is_named(option, content, authority, ca, tmp_path):
    bad = tmp_path / "bad.pem"
    if content is not None:
        bad.write_text(content)
    files = authority.client(tmp_path)
    options = {"tls_ca": ca, "tls_cert": files.cert, "tls_key": files.key, option: str(bad)}
    with pytest.raises(InterfaceError) as caught:
        from_options(parse("m:1", **options))
    assert str(bad) in str(caught.value)


def test_certificate_and_key_may_share_a_file(authority, ca, tmp_path):
    files = authority.client(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(Path(files.cert).read_bytes() + Path(files.key).read_bytes())
    assert tls_context(ca=ca, cert=both).get_ca_certs()


@pytest.fixture
def encrypted(authority, tmp_path):
    """A client's files with an encrypted key."""
    files = authority.client(tmp_path)
    path = Path(files.key)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    cipher = serialization.BestAvailableEncryption(SECRET.encode())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    path.write_bytes(key.private_bytes(*form, cipher))
    return {"tls_cert": files.cert, "tls_key": files.key}


def test_an_encrypted_key(encrypted, ca):
    assert from_options(parse("m:1", tls_ca=ca, tls_key_password=SECRET, **encrypted)) is not None
    for password in ({}, {"tls_key_password": "wrong"}):
        with pytest.raises(InterfaceError) as caught:
            from_options(parse("m:1", tls_ca=ca, **encrypted, **password))
        assert encrypted["tls_key"] in str(caught.value)


def test_the_password_is_shown_nowhere(encrypted, ca, tmp_path, caplog):
    options = {"tls_ca": ca, "tls_key_password": SECRET, **encrypted, "connect_timeout": 0.2}
    parsed = parse("127.0.0.1:1", **options)
    tls = from_options(parsed)
    shown = [repr(parsed), str(parsed), repr(tls), str(tls)]
    failing = [
        lambda: dqlite_dbapi.connect("127.0.0.1:1", **options),
        lambda: from_options(parse("m:1", **{**options, "tls_key": str(tmp_path / "none")})),
        lambda: from_options(parse("m:1", **{**options, "tls_cert": encrypted["tls_key"]})),
        lambda: parse("m:1", **{**options, "timeout": "soon"}),
    ]
    for action in failing:
        with pytest.raises(dqlite_dbapi.Error) as caught:
            action()
        shown += [repr(caught.value), *traceback.format_exception(caught.value)]
    assert SECRET not in "".join(shown) + caplog.text
