"""What other programs and readers of logs get to see of a program that holds secrets."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import create_engine, text

import dqlite_dbapi
from dqlite_dbapi import Error
from dqlite_node import Client, NodeError, NodeStartError
from dqlite_node.tls import TLSFiles

SECRET = "the-password-of-the-key"
VALUE = "a-value-that-is-nobody's-business"


@pytest.fixture
def locked(certificates, tmp_path):
    """Files of a member and of a client whose keys are encrypted."""

    def lock(name):
        key = serialization.load_pem_private_key(
            Path(certificates.path(f"{name}.key")).read_bytes(), None
        )
        cipher = serialization.BestAvailableEncryption(SECRET.encode())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        path = tmp_path / f"{name}.locked"
        path.write_bytes(key.private_bytes(*form, cipher))
        return TLSFiles(
            certificates.path("ca.pem"), certificates.path(f"{name}.pem"), str(path), SECRET
        )

    return {name: lock(name) for name in ("member", "client")}


def text_of(pid):
    """Command line and environment of a process, as its owner and root can read them."""
    folder = Path(f"/proc/{pid}")
    return (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()


def test_the_password_of_a_members_key(make_node, locked, caplog):
    caplog.set_level(logging.DEBUG)
    node = make_node(tls=locked["member"])
    shown = [repr(node), str(node), repr(locked["member"])]
    with node, Client(node.address, **locked["client"].client_options) as client:
        assert client.leader() == node.address
        shown += [repr(node), repr(client), text_of(node.pid).decode()]
    assert SECRET not in "".join(shown) + caplog.text


def test_a_password_that_is_wrong(make_node, locked, caplog):
    caplog.set_level(logging.DEBUG)
    ours = locked["member"]
    node = make_node(tls=TLSFiles(ours.ca, ours.cert, ours.key, SECRET[::-1]))
    with pytest.raises(NodeError) as caught:
        node.start()
    shown = repr(caught.value) + "".join(traceback.format_exception(caught.value))
    assert SECRET[::-1] not in shown + caplog.text
    assert isinstance(caught.value, NodeStartError)


def test_the_password_in_sqlalchemys_arguments(make_node, locked, caplog):
    caplog.set_level(logging.DEBUG)
    with make_node(tls=locked["member"]) as node:
        options = locked["client"].client_options
        engine = create_engine(f"dqlite://{node.address}/app", connect_args=options, echo=True)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
            shown = [repr(engine), repr(connection), repr(engine.url), repr(engine.pool)]
        engine.dispose()
    assert SECRET not in "".join(shown) + caplog.text


def test_values_of_statements(single, database, caplog):
    """The slow log and errors have the text of a statement, and not what was bound to it."""
    caplog.set_level(logging.DEBUG)
    connection = dqlite_dbapi.connect(single.addresses, database, slow_query=0.0)
    connection.execute("CREATE TABLE t (a UNIQUE)")
    connection.execute("INSERT INTO t VALUES (?)", (VALUE,))
    shown = []
    for sql, values in [
        ("INSERT INTO t VALUES (?)", (VALUE,)),
        ("SELECT ? FROM nowhere", (VALUE,)),
        ("SELECT ?, ?", (VALUE,)),
        ("SELECT :a", {"b": VALUE}),
    ]:
        with pytest.raises(Error) as caught:
            connection.execute(sql, values)
        shown += [repr(caught.value), *traceback.format_exception(caught.value)]
    connection.close()
    assert "INSERT INTO t" in caplog.text
    assert VALUE not in "".join(shown) + caplog.text


def test_a_members_process_inherits_no_socket(make_node, single, database):
    """It has its own and the channel to its parent, none of those that were open before."""
    connection = dqlite_dbapi.connect(single.addresses, database)
    before = sockets(os.getpid())
    with make_node() as node:
        assert before
        assert not before & sockets(node.pid)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()


def sockets(pid):
    """The sockets that a process has open, by their kernel's names."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(entry))
        except FileNotFoundError:
            continue
    return {name for name in found if name.startswith("socket:")}
