"""Judges of histories: pure functions of what clients did and of what is stored in the end."""

from __future__ import annotations

from typing import Any, NamedTuple


class Findings(NamedTuple):
    """What is wrong: acknowledged and not there, there more than once, and all else in words."""

    lost: list[Any]
    duplicated: list[Any]
    anomalies: list[str]

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.anomalies)
