"""Asks the cluster about its members."""

from __future__ import annotations

from collections.abc import Sequence

from dqlite_dbapi import Client, Error, Role


def roles(addresses: Sequence[str]) -> dict[str, str]:
    """Return every member's role, by address, as the leader sees it."""
    with Client(addresses) as client:
        return {member.address: Role(member.role).name.lower() for member in client.cluster()}


def is_alive(address: str) -> bool:
    """Say whether the member at `address` itself answers."""
    with Client(address, timeout=1.0) as client:
        try:
            client.describe(address)
        except Error:
            return False
        return True
