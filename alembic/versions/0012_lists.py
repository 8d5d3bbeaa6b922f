"""Tags where indexes find them, and an index in the order of change for what lists are filtered by.

Revision: 0012
Follows: 0011
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "ticket_tags",
        sa.Column("ticket_id", BIG, nullable=False),
        sa.Column("tag", sa.String(length=50), nullable=False),
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name="fk_ticket_tags_ticket_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ticket_id", "tag", name="pk_ticket_tags"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT OR IGNORE INTO ticket_tags (ticket_id, tag, organization_id, created_at, updated_at)"
        " SELECT tickets.id, value, organization_id, created_at, updated_at FROM tickets, json_each(tags)"
    )
    for order, name in (("created_at", ""), ("updated_at", "_updated_at")):
        columns = ["organization_id", "tag", order, "ticket_id"]
        op.create_index(f"ix_ticket_tags_organization_id_tag{name}", "ticket_tags", columns)

    for order, other in (("created_at", "updated_at"), ("updated_at", "created_at")):
        name = f"ix_tickets_organization_id_{order}"
        op.drop_index(name, "tickets")
        op.create_index(name, "tickets", ["organization_id", order, "id", other])
    # With what it is about as a column, which the planner prefers to all others then.
    op.drop_index("ix_tickets_open", "tickets")
    op.create_index(
        "ix_tickets_open",
        "tickets",
        ["organization_id", "resolved_at", "created_at", "id"],
        sqlite_where=sa.text("resolved_at IS NULL"),
    )
    op.drop_index("ix_tickets_organization_id_assignee_id", "tickets")
    op.drop_index("ix_tickets_assignee_id", "tickets")
    for order, name in (("created_at", ""), ("updated_at", "_updated_at")):
        op.create_index(
            f"ix_tickets_assignee_id{name}",
            "tickets",
            ["assignee_id", order, "id"],
            sqlite_where=sa.text("assignee_id IS NOT NULL"),
        )
        op.create_index(
            f"ix_tickets_unassigned{name}",
            "tickets",
            ["organization_id", order, "id"],
            sqlite_where=sa.text("assignee_id IS NULL"),
        )
    op.create_index(
        "ix_tickets_organization_id_status_updated_at", "tickets", ["organization_id", "status", "updated_at", "id"]
    )
    op.create_index("ix_tickets_contact_id_updated_at", "tickets", ["contact_id", "updated_at", "id"])
    op.create_index(
        "ix_tickets_team_id_updated_at",
        "tickets",
        ["team_id", "updated_at", "id"],
        sqlite_where=sa.text("team_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Undo."""
    for what in ("team_id_updated_at", "contact_id_updated_at", "organization_id_status_updated_at"):
        op.drop_index(f"ix_tickets_{what}", "tickets")
    for what in ("unassigned_updated_at", "assignee_id_updated_at", "unassigned", "assignee_id"):
        op.drop_index(f"ix_tickets_{what}", "tickets")
    op.create_index(
        "ix_tickets_assignee_id", "tickets", ["assignee_id"], sqlite_where=sa.text("assignee_id IS NOT NULL")
    )
    op.create_index(
        "ix_tickets_organization_id_assignee_id", "tickets", ["organization_id", "assignee_id", "created_at", "id"]
    )
    op.drop_index("ix_tickets_open", "tickets")
    op.create_index(
        "ix_tickets_open",
        "tickets",
        ["organization_id", "created_at", "id"],
        sqlite_where=sa.text("resolved_at IS NULL"),
    )
    for order in ("created_at", "updated_at"):
        op.drop_index(f"ix_tickets_organization_id_{order}", "tickets")
        op.create_index(f"ix_tickets_organization_id_{order}", "tickets", ["organization_id", order, "id"])
    op.drop_table("ticket_tags")
