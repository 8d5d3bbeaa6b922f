"""Bound the stored answers of an organization: note the running size of their bodies, and drop what exceeds the bound.

Revision: 0018
Follows: 0017
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


MOST_KEPT = 64 << 20


def upgrade() -> None:
    """Apply; the oldest bodies beyond the room go here, so that no request has to wait until they are dropped."""
    op.add_column("idempotency_records", sa.Column("running_size", BIG, nullable=True))
    op.execute(
        "UPDATE idempotency_records"
        " SET running_size = CASE WHEN length(body) = 0 THEN 0 ELSE sums.running_size END FROM ("
        " SELECT organization_id, scope, sum(length(body)) OVER ("
        "  PARTITION BY organization_id ORDER BY expires_at, scope ROWS UNBOUNDED PRECEDING"
        " ) AS running_size FROM idempotency_records"
        ") AS sums WHERE sums.organization_id = idempotency_records.organization_id"
        " AND sums.scope = idempotency_records.scope"
    )
    op.create_index(
        "ix_idempotency_records_running_size",
        "idempotency_records",
        ["organization_id", "running_size"],
        sqlite_where=sa.text("running_size IS NOT NULL"),
    )
    op.execute(
        "UPDATE idempotency_records SET body = x'', running_size = NULL FROM ("
        f" SELECT organization_id, max(running_size) - {MOST_KEPT} AS last FROM idempotency_records"
        " GROUP BY organization_id"
        ") AS excess WHERE excess.organization_id = idempotency_records.organization_id"
        " AND running_size > 0 AND running_size <= last"
    )


def downgrade() -> None:
    """Undo."""
    # What has no body any more would be answered as if it had never had one.
    op.execute("DELETE FROM idempotency_records WHERE running_size IS NULL")
    op.drop_index("ix_idempotency_records_running_size", "idempotency_records")
    op.drop_column("idempotency_records", "running_size")
