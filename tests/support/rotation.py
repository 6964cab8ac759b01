"""Certificates of members and clients, and their authority, that are replaced while in use."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from dqlite_node import certs
from dqlite_node.tls import TLSFiles
from tests.support.certificates import HOSTS

NOTICED = 3.0  #: seconds that files need to be seen


class Place:
    """Where members or clients have their files, which are replaced by renaming."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        ca, cert, key = (str(directory / name) for name in ("ca.pem", "own.pem", "own.key"))
        self.files = TLSFiles(ca, cert, key)

    def put(self, name: str, *sources: Path) -> None:
        """Replace a file by the contents of `sources`."""
        fresh = self._directory / f"{name}.new"
        with open(fresh, "wb") as out:
            for source in sources:
                out.write(source.read_bytes())
        fresh.replace(self._directory / name)

    def trust(self, *authorities: Path) -> None:
        """Trust the authorities in these directories, and no other."""
        self.put("ca.pem", *[certs.pair_in(each, "ca").cert for each in authorities])

    def use(self, pair: certs.Pair) -> None:
        """Prove who one is with another pair."""
        self.put("own.key", pair.key)
        self.put("own.pem", pair.cert)


class Rotation:
    """One authority after the other for one place of members and one of clients."""

    def __init__(self, directory: Path, hosts: Sequence[str] = HOSTS) -> None:
        self._directory = directory
        self._hosts = hosts
        self.members = Place(directory / "members")
        self.clients = Place(directory / "clients")
        self._authority: Path | None = None
        self._made = 0

    @property
    def _places(self) -> tuple[Place, Place]:
        return self.members, self.clients

    def new_authority(self) -> None:
        """Trust the new one, then get pairs from it, then forget the old one."""
        old = self._authority
        self._made += 1
        self._authority = self._directory / f"authority{self._made}"
        certs.make_authority(self._authority)
        for place in self._places:
            place.trust(*filter(None, [old, self._authority]))
        time.sleep(NOTICED if old else 0)
        self.new_pairs()
        time.sleep(NOTICED if old else 0)
        for place in self._places:
            place.trust(self._authority)
        if old:
            shutil.rmtree(old)

    def new_pairs(self) -> None:
        """As a nightly job would: new keys as well."""
        assert self._authority is not None, "new_authority comes first"
        self.members.use(certs.issue(self._authority, "member", ["member"], hosts=self._hosts))
        self.clients.use(certs.issue(self._authority, "client", ["client"]))
