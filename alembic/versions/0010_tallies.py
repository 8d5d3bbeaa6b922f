"""Tallies of tickets, and an index of when they were resolved.

Revision: 0010
Follows: 0009
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    words = " OR ".join(f"{column} = '{value}'" for value in values)
    return sa.CheckConstraint(words, name=op.f(f"ck_ticket_tallies_{column}"))


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "ticket_tallies",
        sa.Column("organization_id", BIG, autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.String(length=20), nullable=False),
        sa.Column("total", BIG, nullable=False),
        _one_of("status", "open", "in_progress", "pending", "resolved", "closed"),
        _one_of("priority", "low", "medium", "high", "urgent"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_ticket_tallies_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("organization_id", "status", "priority", name="pk_ticket_tallies"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "creator_tallies",
        sa.Column("user_id", BIG, autoincrement=False, nullable=False),
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("total", BIG, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_creator_tallies_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_creator_tallies_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_creator_tallies"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_creator_tallies_organization_id_total", "creator_tallies", ["organization_id", "total", "user_id"]
    )
    op.create_index(
        "ix_tickets_resolved",
        "tickets",
        ["organization_id", "resolved_at", "created_at"],
        sqlite_where=sa.text("resolved_at IS NOT NULL"),
    )
    op.execute(
        "INSERT INTO ticket_tallies (organization_id, status, priority, total)"
        " SELECT organization_id, status, priority, count(*) FROM tickets GROUP BY organization_id, status, priority"
    )
    op.execute(
        "INSERT INTO creator_tallies (user_id, organization_id, total)"
        " SELECT created.by_id, users.organization_id, created.total"
        " FROM (SELECT created_by_id AS by_id, count(*) AS total FROM tickets WHERE created_by_id IS NOT NULL"
        " GROUP BY created_by_id) AS created JOIN users ON users.id = created.by_id"
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_tickets_resolved", "tickets")
    op.drop_table("creator_tallies")
    op.drop_table("ticket_tallies")
