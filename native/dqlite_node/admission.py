"""Who a member is when it starts: the one it was, the founder of a cluster, or one that joins.

Founding happens once: a directory with an identity never founds again, and the first of a cluster's
list founds only while nobody listens at any other address of that list. A member that has still to
join does not listen (it holds its port only), so whoever listens belongs to a cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dqlite_node import files
from dqlite_node.dial import served
from dqlite_node.errors import NodeStartError
from dqlite_node.files import BOOTSTRAP_ID, BOOTSTRAP_IDS, SPARE, VOTER, Identity
from dqlite_node.settings import Settings

ASK_TIMEOUT = 1.0  #: seconds that the other listed members have to accept a connection


class Admission(NamedTuple):
    """Identity to start under, and whether the member has still to join a cluster."""

    identity: Identity
    joins: bool


def likely_id(settings: Settings) -> int:
    """The id that the member has, or takes at its first start unless others are there already.

    NodeStartError if the directory's kept one contradicts.
    """
    directory = Path(settings.data_dir)
    kept = files.read_identity(directory)
    if kept is not None:
        _check_id(settings, kept)
        return kept.id
    if _is_orphaned(settings, directory):
        raise _orphaned(directory)
    if settings.cluster and not settings.is_first:
        return _joining_id(settings)
    return settings.node_id or BOOTSTRAP_ID


def admit(settings: Settings) -> Admission:
    """Decide, from the directory and by asking the other listed members; the lock is held.

    NodeStartError for a directory of another member, or with data but no identity.
    """
    directory = Path(settings.data_dir)
    kept = files.read_identity(directory)
    if kept is not None:
        _check_identity(settings, kept)
        joins = bool(settings.cluster) and files.is_joining(directory)
        if joins or files.has_data(directory) or not settings.cluster:
            return Admission(kept, joins)
    elif _is_orphaned(settings, directory):
        raise _orphaned(directory)
    elif settings.node_id is not None and files.has_data(directory):
        role = VOTER if settings.node_id in BOOTSTRAP_IDS else SPARE
        return Admission(Identity(settings.node_id, settings.address, role), False)
    return _newcomer(settings)


def _newcomer(settings: Settings) -> Admission:
    if not settings.cluster:
        number = settings.node_id or BOOTSTRAP_ID
        role = VOTER if number in BOOTSTRAP_IDS else SPARE
        return Admission(Identity(number, settings.address, role), False)
    if settings.is_first and not served(settings.others, ASK_TIMEOUT):
        return Admission(Identity(_founding_id(settings), settings.address, VOTER), False)
    return Admission(Identity(_joining_id(settings), settings.address, SPARE), True)


def _founding_id(settings: Settings) -> int:
    if settings.node_id not in (None, *BOOTSTRAP_IDS):
        raise NodeStartError(
            f"the first member of a new cluster cannot have the id {settings.node_id}",
            address=settings.address,
            hint="leave node_id out, or give 1",
        )
    return settings.node_id or BOOTSTRAP_ID


def _joining_id(settings: Settings) -> int:
    """An engine with a bootstrap id and an empty directory would found a cluster of its own."""
    wanted = settings.node_id
    return settings.fresh_id if wanted is None or wanted in BOOTSTRAP_IDS else wanted


def _check_id(settings: Settings, kept: Identity) -> None:
    wanted = settings.node_id
    if wanted in (None, kept.id) or (settings.cluster and wanted in BOOTSTRAP_IDS):
        return
    raise NodeStartError(
        f"data directory {settings.data_dir} belongs to member {kept.id}, not {wanted}",
        address=settings.address,
        hint="leave node_id out, or give another directory",
    )


def _check_identity(settings: Settings, kept: Identity) -> None:
    _check_id(settings, kept)
    if kept.address != settings.address:
        raise NodeStartError(
            f"data directory {settings.data_dir} belongs to member {kept.id} at {kept.address}, "
            f"not at {settings.address}",
            address=settings.address,
            hint="peers know a member by this id and address; use them, or another directory",
        )


def _is_orphaned(settings: Settings, directory: Path) -> bool:
    return settings.node_id is None and files.has_data(directory)


def _orphaned(directory: Path) -> NodeStartError:
    return NodeStartError(
        f"data directory {directory} has a member's data but no {files.INFO_FILE}",
        hint="give the node_id that the cluster lists for this address",
    )
