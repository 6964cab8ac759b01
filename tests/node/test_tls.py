from __future__ import annotations

import dataclasses
import json
import logging
import time

import pytest

from dqlite_node import NodeError, NodeStartError
from dqlite_node.tls import Keyring, TLSFiles, load

ADDRESS = "127.0.0.1:9001"


def test_a_pair_that_fits(certificates):
    for address in (ADDRESS, "localhost:1", "[::1]:9001"):
        own = load(certificates.member(), address).own
        assert own.roles == {"member"}
        assert own.expires > time.time()


@pytest.mark.parametrize(
    "name", ["client", "operator", "elsewhere", "expired", "other/member", "missing"]
)
def test_a_pair_that_no_peer_would_accept(certificates, name):
    with pytest.raises(NodeStartError) as caught:
        load(certificates.member(name), ADDRESS)
    assert caught.value.address == ADDRESS
    assert caught.value.hint


def test_files_that_do_not_fit_together(certificates):
    files = dataclasses.replace(certificates.member(), key=certificates.path("client.key"))
    with pytest.raises(NodeStartError):
        load(files, ADDRESS)


def test_a_shared_name(certificates):
    files = certificates.member("elsewhere", server_name="elsewhere.example")
    assert load(files, ADDRESS).own.holds("elsewhere.example")


@pytest.mark.parametrize("change", [{"default_role": "king"}, {"connections": 0}])
def test_impossible_settings(change):
    with pytest.raises(NodeError):
        TLSFiles("ca.pem", "own.pem", **change)


def test_relative_paths_are_settled_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = TLSFiles("ca.pem", "own.pem", "own.key")
    monkeypatch.chdir("/")
    assert files.ca == str(tmp_path / "ca.pem")


def test_they_travel_as_json(certificates):
    files = certificates.member(server_name="x", key_password="secret", connections=7)
    assert TLSFiles.from_json(json.loads(json.dumps(dataclasses.asdict(files)))) == files
    assert TLSFiles.from_json(None) is None


def test_new_files_are_taken_and_bad_ones_are_not(certificates, tmp_path, caplog):
    files = certificates.copy(tmp_path / "own")
    ring = Keyring(files, ADDRESS)
    first = ring.current
    ring.refresh()
    assert ring.current is first
    certificates.replace(tmp_path / "own", "expired")
    ring.refresh()
    assert ring.current is first
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    ring.refresh()
    assert len(caplog.records) == 1
    certificates.replace(tmp_path / "own", "ending")
    ring.refresh()
    assert ring.current.own.expires < first.own.expires
    current = ring.current
    ring.refresh(always=True)
    assert ring.current is not current


def test_half_a_change_is_survived(certificates, tmp_path):
    files = certificates.copy(tmp_path / "own")
    ring = Keyring(files, ADDRESS)
    first = ring.current
    (tmp_path / "own" / "own.key").unlink()
    ring.refresh()
    assert ring.current is first
    certificates.replace(tmp_path / "own", "numbered")
    ring.refresh()
    assert ring.current.own.ids == {2}


@pytest.mark.parametrize(("name", "warnings"), [("member", 0), ("ending", 1)])
def test_the_end_is_told_two_weeks_before_once(certificates, caplog, name, warnings):
    ring = Keyring(certificates.member(name), ADDRESS)
    ring.warn_of_expiry()
    ring.warn_of_expiry()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warnings
