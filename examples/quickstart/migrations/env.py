"""Alembic's environment: connect and run the revisions in one transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import engine_from_config, pool

from dqlite_node.quickstart.models import Base


def run_migrations() -> None:
    """Run what the command asks for over one connection."""
    section = context.config.get_section(context.config.config_ini_section, {})
    engine = engine_from_config(section, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()


run_migrations()
