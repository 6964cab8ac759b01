"""Reads the IANA time zone table that Debian's tzdata package installs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .errors import QuickstartError
from .models import Country, Zone

ZONEINFO = Path("/usr/share/zoneinfo")


def read_zone_table(folder: Path = ZONEINFO) -> list[Country]:
    """Return the countries that have zones, each with its zones attached.

    Raises QuickstartError when tzdata is not installed.
    """
    names = {code: name for code, name, *_ in _rows(folder / "iso3166.tab")}
    countries: dict[str, Country] = {}
    for code, coordinates, name, *rest in _rows(folder / "zone.tab"):
        country = countries.setdefault(code, Country(code=code, name=names[code]))
        latitude, longitude = _degrees(coordinates)
        country.zones.append(
            Zone(name=name, latitude=latitude, longitude=longitude, comment="".join(rest) or None)
        )
    return list(countries.values())


def _rows(path: Path) -> Iterator[list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise QuickstartError(f"{path} is missing; run: apt-get install -y tzdata") from None
    return (line.split("\t") for line in text.splitlines() if not line.startswith("#"))


def _degrees(iso6709: str) -> tuple[float, float]:
    """`+513030-0000731` (degrees, minutes, perhaps seconds) as (latitude, longitude)."""
    latitude, longitude = re.findall(r"[+-]\d+", iso6709)
    return _angle(latitude, 2), _angle(longitude, 3)


def _angle(text: str, width: int) -> float:
    digits = text[1:]
    minutes, seconds = digits[width : width + 2], digits[width + 2 :] or "0"
    angle = int(digits[:width]) + int(minutes) / 60 + int(seconds) / 3600
    return -angle if text.startswith("-") else angle
