"""Loads the zone table through the ORM and asks it something."""

from __future__ import annotations

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from .models import Country, Zone


def load(engine: Engine, countries: list[Country]) -> tuple[int, int]:
    """Store the countries and their zones in one transaction; return how many of each are there."""
    with Session(engine) as session, session.begin():
        session.add_all(countries)
    with Session(engine) as session:
        stored = session.scalar(select(func.count(Country.code)))
        zones = session.scalar(select(func.count(Zone.id)))
    return stored or 0, zones or 0


def countries_with_most_zones(engine: Engine, limit: int) -> list[tuple[str, int]]:
    """Join and aggregate: (country, number of zones), the richest first."""
    zones = func.count(Zone.id)
    query = (
        select(Country.name, zones)
        .join(Country.zones)
        .group_by(Country.code)
        .order_by(zones.desc(), Country.name)
        .limit(limit)
    )
    with Session(engine) as session:
        return [(name, count) for name, count in session.execute(query)]


def northernmost_zone(engine: Engine) -> str:
    """Follow a relationship from one row: the zone nearest to the pole and its country."""
    with Session(engine) as session:
        zone = session.scalars(select(Zone).order_by(Zone.latitude.desc()).limit(1)).one()
        return f"{zone.name} ({zone.country.name})"
