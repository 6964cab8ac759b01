"""create books

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "books",
        sa.Column("isbn", sa.String, primary_key=True),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("author", sa.String, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("books")
