"""Jobs, and the slots of periodic ones.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "jobs",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("organization_id", BIG, nullable=True),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("run_at", BIG, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease", sa.String(length=32), nullable=True),
        sa.Column("last_error", sa.String(length=500), nullable=True),
        sa.Column("dead_at", BIG, nullable=True),
        sa.CheckConstraint("length(kind) BETWEEN 1 AND 50", name=op.f("ck_jobs_kind_length")),
        sa.CheckConstraint("length(last_error) BETWEEN 0 AND 500", name=op.f("ck_jobs_last_error_length")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_jobs_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_dead_at", "jobs", ["dead_at", "id"], sqlite_where=sa.text("dead_at IS NOT NULL"))
    op.create_index(
        "ix_jobs_organization_id", "jobs", ["organization_id"], sqlite_where=sa.text("organization_id IS NOT NULL")
    )
    op.create_index("ix_jobs_run_at", "jobs", ["run_at", "id"], sqlite_where=sa.text("dead_at IS NULL"))
    op.create_table(
        "periodic_jobs",
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("slot", BIG, nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_periodic_jobs"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("periodic_jobs")
    op.drop_table("jobs")
