"""What the engine behind a session can do, probed on the wire and never told by a version."""

from __future__ import annotations

from typing import NamedTuple


class Flavour(NamedTuple):
    """Capabilities of one member (wire-protocol 12, "Detect the flavour").

    `wide_params`: more than 255 parameters fit one statement. `returning`: "free" (in and outside
    of transactions), "transaction" (only inside one) or "refused". `vacuum`: VACUUM works.
    `halfway`: a statement that fails after some rows, and keeps them, may run outside of a
    transaction. `temp_files`: large temporary tables may go to files. `exact_names`: a database is
    found by its whole name, not by the first that begins with it. `clean_drop`: a client may go
    away between the parts of a result within a write transaction, without leaving it locked.
    """

    wide_params: bool
    returning: str
    vacuum: bool = False
    halfway: bool = False
    temp_files: bool = False
    exact_names: bool = False
    clean_drop: bool = False

    @classmethod
    def probed(cls, *, knows_schemas: bool, denies_pragmas: bool) -> Flavour:
        """Conclude from two harmless probes.

        `knows_schemas`: LEADER with schema 1 was refused, as engines since 1.12 do.
        `denies_pragmas`: `PRAGMA read_uncommitted = 0` was not authorized, as since 1.18.3.
        """
        if denies_pragmas:
            return _LATEST
        return _MIDDLE if knows_schemas else EARLIEST


#: What a member may do whose engine is not known.
EARLIEST = Flavour(False, "transaction", vacuum=True, halfway=True, clean_drop=True)
_MIDDLE = Flavour(True, "refused", halfway=True, exact_names=True, clean_drop=True)
_LATEST = Flavour(True, "free", vacuum=True, temp_files=True, exact_names=True)
