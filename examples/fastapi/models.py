"""What the service keeps."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Knows the tables; migrations/ makes them."""


class Book(Base):
    """One book, known by its ISBN."""

    __tablename__ = "books"

    isbn: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    author: Mapped[str]
