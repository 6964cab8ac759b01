"""What the engine behind a session can do, probed on the wire and never told by a version."""

from __future__ import annotations

from typing import NamedTuple


class Flavour(NamedTuple):
    """Capabilities of one member (wire-protocol 12, "Detect the flavour").

    `wide_params`: more than 255 parameters fit one statement. `returning`: "free" (in and outside
    of transactions), "transaction" (only inside one) or "refused".
    """

    wide_params: bool
    returning: str

    @classmethod
    def probed(cls, *, knows_schemas: bool, denies_pragmas: bool) -> Flavour:
        """Conclude from two harmless probes.

        `knows_schemas`: LEADER with schema 1 was refused, as engines since 1.12 do.
        `denies_pragmas`: `PRAGMA read_uncommitted` was not authorized, as since 1.18.3.
        """
        if denies_pragmas:
            return cls(wide_params=True, returning="free")
        if knows_schemas:
            return cls(wide_params=True, returning="refused")
        return cls(wide_params=False, returning="transaction")
