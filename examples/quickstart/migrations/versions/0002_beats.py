"""make zone names unique, add comments (batch mode) and beats

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change zones by copy and move, as SQLite needs it for constraints."""
    with op.batch_alter_table("zones") as batch:
        batch.add_column(sa.Column("comment", sa.String(120)))
        batch.create_unique_constraint("uq_zones_name", ["name"])
    op.create_table(
        "beats",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("written_at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    """Undo it."""
    op.drop_table("beats")
    with op.batch_alter_table("zones") as batch:
        batch.drop_constraint("uq_zones_name", type_="unique")
        batch.drop_column("comment")
