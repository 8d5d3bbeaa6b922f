"""The event log, and its counter in each organization.

Revision: 0008
Follows: 0007
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "events",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("entity_id", BIG, nullable=False),
        sa.Column("ticket_id", BIG, nullable=True),
        sa.Column("actor_type", sa.String(length=10), nullable=False),
        sa.Column("actor_id", BIG, nullable=True),
        sa.Column("actor_name", sa.String(length=200), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=True),
        sa.Column("is_history", sa.Boolean(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_events_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_events_organization_id_seq", "events", ["organization_id", "seq"], unique=True)
    op.create_index("ix_events_organization_id_type", "events", ["organization_id", "type", "seq"])
    op.create_index("ix_events_organization_id_entity_id", "events", ["organization_id", "entity_id", "seq"])
    op.create_index(
        "ix_events_ticket_id", "events", ["ticket_id", "seq"], sqlite_where=sa.text("ticket_id IS NOT NULL")
    )
    op.create_index("ix_events_created_at", "events", ["created_at"], sqlite_where=sa.text("NOT is_history"))
    op.add_column("tickets", sa.Column("merged_into_id", BIG, nullable=True))
    op.create_index(
        "ix_tickets_open",
        "tickets",
        ["organization_id", "created_at", "id"],
        sqlite_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index(
        "ix_tickets_closed",
        "tickets",
        ["organization_id", "closed_at", "id"],
        sqlite_where=sa.text("closed_at IS NOT NULL"),
    )
    op.execute("INSERT INTO counters (organization_id, name, value) SELECT id, 'events', 0 FROM organizations")


def downgrade() -> None:
    """Undo."""
    op.execute("DELETE FROM counters WHERE name = 'events'")
    op.drop_index("ix_tickets_closed", "tickets")
    op.drop_index("ix_tickets_open", "tickets")
    op.drop_column("tickets", "merged_into_id")
    op.drop_table("events")
