"""The tables, as any SQLAlchemy program would declare them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Double, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Holds the metadata that Alembic compares with the database."""


class Country(Base):
    """A country of iso3166.tab."""

    __tablename__ = "countries"

    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    zones: Mapped[list[Zone]] = relationship(back_populates="country")


class Zone(Base):
    """A time zone of zone.tab; coordinates in degrees, north and east positive."""

    __tablename__ = "zones"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    latitude: Mapped[float] = mapped_column(Double)
    longitude: Mapped[float] = mapped_column(Double)
    country_code: Mapped[str] = mapped_column(ForeignKey("countries.code"), index=True)
    comment: Mapped[str | None] = mapped_column(String(120))
    country: Mapped[Country] = relationship(back_populates="zones")


class Beat(Base):
    """A row of the writer that goes on while the leader dies; `number` is its own key."""

    __tablename__ = "beats"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    written_at: Mapped[datetime]
