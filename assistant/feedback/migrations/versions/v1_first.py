"""The first two tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("day", sa.Date, nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("verdict", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("correction", sa.Text, nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("history", sa.JSON, nullable=False),
        sa.Column("modality", sa.String(64)),
        sa.Column("anatomy", sa.String(64)),
        sa.Column("confidence", sa.Float),
        sa.Column("abstained", sa.Boolean, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("index_id", sa.String(64)),
        sa.Column("patient_key", sa.String(32)),
        sa.Column("study_key", sa.String(32)),
    )
    op.create_table(
        "feedback_picture",
        sa.Column("feedback_id", sa.String(64), sa.ForeignKey("feedback.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("content_id", sa.String(32), nullable=False, index=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("png", sa.LargeBinary),
    )


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    op.drop_table("feedback_picture")
    op.drop_table("feedback")
