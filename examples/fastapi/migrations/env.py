"""Alembic's environment: over the service's connection, or one of its own on the command line."""

from __future__ import annotations

from contextlib import nullcontext

from alembic import context
from models import Base
from sqlalchemy import create_engine, pool


def run_migrations() -> None:
    """Run what the command asks for in one transaction, which no other instance can be in."""
    given = context.config.attributes.get("connection")
    url = context.config.get_main_option("sqlalchemy.url", "")
    own = create_engine(url, poolclass=pool.NullPool)
    with nullcontext(given) if given else own.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()


run_migrations()
