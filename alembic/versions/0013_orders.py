"""What walks along lists need: indexes of queues, the times of tags, and how late it was in the log.

The queue of somebody, of a team or of nobody stays small while what is done with grows. The tags of tickets that were
breached get the time of that change: lists by tag did not follow it before.

Revision: 0013
Follows: 0012
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_QUEUES = (
    ("assignee_id", ["assignee_id"], "assignee_id IS NOT NULL"),
    ("team_id", ["team_id"], "team_id IS NOT NULL"),
    ("unassigned", ["organization_id", "assignee_id"], "assignee_id IS NULL"),
)


def upgrade() -> None:
    """Apply."""
    for name, columns, condition in _QUEUES:
        op.create_index(
            f"ix_tickets_{name}_waiting",
            "tickets",
            [*columns, "resolved_at", "created_at", "id"],
            sqlite_where=sa.text(f"{condition} AND resolved_at IS NULL"),
        )
    op.add_column("events", sa.Column("reached_at", BIG, nullable=False, server_default="0"))
    op.execute(
        "UPDATE events SET reached_at = told.reached_at FROM ("
        "SELECT id, max(created_at) OVER (PARTITION BY organization_id ORDER BY seq) AS reached_at FROM events"
        ") AS told WHERE told.id = events.id"
    )
    op.create_index(
        "ix_events_late", "events", ["organization_id", "seq"], sqlite_where=sa.text("created_at < reached_at")
    )
    now = "(SELECT updated_at FROM tickets WHERE id = ticket_id)"
    op.execute(f"UPDATE ticket_tags SET updated_at = {now} WHERE updated_at <> {now}")


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_events_late", "events")
    op.drop_column("events", "reached_at")
    for name, _, _ in _QUEUES:
        op.drop_index(f"ix_tickets_{name}_waiting", "tickets")
