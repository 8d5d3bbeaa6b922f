"""Indexes of what waits for somebody, for a team or for nobody: they stay small while what is done with grows.

The tags of tickets that were breached have the time of that change: lists by tag did not follow it before.

Revision: 0013
Follows: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0009"
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
    now = "(SELECT updated_at FROM tickets WHERE id = ticket_id)"
    op.execute(f"UPDATE ticket_tags SET updated_at = {now} WHERE updated_at <> {now}")


def downgrade() -> None:
    """Undo."""
    for name, _, _ in _QUEUES:
        op.drop_index(f"ix_tickets_{name}_waiting", "tickets")
