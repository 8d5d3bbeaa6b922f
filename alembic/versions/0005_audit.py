"""The audit log.

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_log",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("organization_id", BIG, nullable=True),
        sa.Column("user_id", BIG, nullable=True),
        sa.Column("api_key_id", BIG, nullable=True),
        sa.Column("session_id", BIG, nullable=True),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("operation", sa.String(length=100), nullable=True),
        sa.Column("path", sa.String(length=2000), nullable=False),
        sa.Column("query", sa.String(length=2000), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("ip", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=500), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_audit_log_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_log_organization_id_created_at", "audit_log", ["organization_id", "created_at", "id"])
    op.create_index("ix_audit_log_created_at", "audit_log", ["created_at", "id"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("audit_log")
