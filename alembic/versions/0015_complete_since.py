"""Since when the event log of an organization is complete: the number of the last event that was deleted.

Revision: 0015
Follows: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # What is missing before an event that is there, or else at the end.
    op.execute(
        "INSERT INTO counters (organization_id, name, value)"
        " SELECT organization_id, 'events_purged', CASE"
        "  WHEN value > coalesce((SELECT max(seq) FROM events AS e WHERE e.organization_id = c.organization_id), 0)"
        "  THEN value"
        "  ELSE coalesce((SELECT e.seq - 1 FROM events AS e"
        "   WHERE e.organization_id = c.organization_id AND e.seq > 1 AND NOT EXISTS ("
        "    SELECT 1 FROM events AS p WHERE p.organization_id = e.organization_id AND p.seq = e.seq - 1)"
        "   ORDER BY e.seq DESC LIMIT 1), 0)"
        " END FROM counters AS c WHERE name = 'events'"
    )


def downgrade() -> None:
    """Undo."""
    op.execute("DELETE FROM counters WHERE name = 'events_purged'")
