"""Service level policies, and the clocks of tickets.

Revision: 0009
Follows: 0008
"""

import time

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = (
    ("sla_policy_id", BIG, None),
    ("first_response_minutes", sa.Integer(), "0"),
    ("resolution_minutes", sa.Integer(), "0"),
    ("first_response_due_at", BIG, "0"),
    ("resolution_due_at", BIG, "0"),
    ("sla_paused_at", BIG, None),
    ("is_breached", sa.Boolean(), "0"),
    ("breaches_at", BIG, None),
    ("sla_told", sa.Integer(), "0"),
    ("sla_next_at", BIG, None),
)

# What is there falls under the targets that are built in. Of the clocks it is known when they began and since when they
# stand still; a standstill that is over counts. What has passed is no news: no event tells of it.
FILL = """
UPDATE tickets SET
    first_response_minutes = f.response,
    resolution_minutes = f.resolution,
    first_response_due_at = f.response_due,
    resolution_due_at = f.resolution_due,
    sla_paused_at = f.paused_at,
    is_breached = f.response_missed OR f.resolution_missed,
    breaches_at = CASE
        WHEN f.response_missed OR f.resolution_missed THEN NULL
        WHEN f.answered_at IS NULL AND (f.paused_at IS NOT NULL OR f.response_due <= f.resolution_due)
        THEN f.response_due
        WHEN f.paused_at IS NULL THEN f.resolution_due END,
    sla_told = f.told,
    sla_next_at = CASE
        WHEN f.response_next IS NULL OR f.resolution_next < f.response_next THEN f.resolution_next
        ELSE f.response_next END
FROM (
    SELECT e.*,
        e.response_due < coalesce(e.answered_at, :now) AS response_missed,
        e.resolution_due < coalesce(e.paused_at, :now) AS resolution_missed,
        CAST(e.response_due - e.response * 12000 < coalesce(e.answered_at, :now) AS INTEGER)
        + 2 * CAST(e.response_due < coalesce(e.answered_at, :now) AS INTEGER)
        + 4 * CAST(e.resolution_due - e.resolution * 12000 < coalesce(e.paused_at, :now) AS INTEGER)
        + 8 * CAST(e.resolution_due < coalesce(e.paused_at, :now) AS INTEGER) AS told,
        CASE WHEN e.answered_at IS NOT NULL THEN NULL
            WHEN e.response_due - e.response * 12000 >= :now THEN e.response_due - e.response * 12000
            WHEN e.response_due >= :now THEN e.response_due END AS response_next,
        CASE WHEN e.paused_at IS NOT NULL THEN NULL
            WHEN e.resolution_due - e.resolution * 12000 >= :now THEN e.resolution_due - e.resolution * 12000
            WHEN e.resolution_due >= :now THEN e.resolution_due END AS resolution_next
    FROM (
        SELECT d.*,
            d.created_at + d.response * 60000 AS response_due,
            d.created_at + d.resolution * 60000 AS resolution_due
        FROM (
            SELECT id, created_at,
                coalesce(first_responded_at, resolved_at) AS answered_at,
                CASE WHEN resolved_at IS NOT NULL THEN resolved_at WHEN status = 'pending' THEN updated_at END
                AS paused_at,
                CASE priority WHEN 'urgent' THEN 15 WHEN 'high' THEN 60 WHEN 'medium' THEN 240 ELSE 480 END AS response,
                CASE priority WHEN 'urgent' THEN 240 WHEN 'high' THEN 480 WHEN 'medium' THEN 1440 ELSE 4320 END
                AS resolution
            FROM tickets
        ) AS d
    ) AS e
) AS f
WHERE f.id = tickets.id
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sla_policies",
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("updated_at", BIG, nullable=False),
        sa.Column("version", BIG, server_default="1", nullable=False),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 200", name=op.f("ck_sla_policies_name_length")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_sla_policies_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sla_policies"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_sla_policies_organization_id_name", "sla_policies", ["organization_id", "name"], unique=True)
    op.create_index("ix_sla_policies_organization_id_position", "sla_policies", ["organization_id", "position", "id"])
    op.add_column("events", sa.Column("target", sa.String(length=20), nullable=True))
    for name, kind, default in COLUMNS:
        op.add_column("tickets", sa.Column(name, kind, server_default=default, nullable=default is None))
    op.execute(sa.text(FILL).bindparams(now=time.time_ns() // 1_000_000))
    op.create_index(
        "ix_tickets_organization_id_is_breached_created_at",
        "tickets",
        ["organization_id", "is_breached", "created_at", "id", "breaches_at"],
    )
    op.create_index(
        "ix_tickets_organization_id_is_breached_updated_at",
        "tickets",
        ["organization_id", "is_breached", "updated_at", "id"],
    )
    op.create_index(
        "ix_tickets_breaches_at",
        "tickets",
        ["organization_id", "breaches_at"],
        sqlite_where=sa.text("breaches_at IS NOT NULL"),
    )
    op.create_index(
        "ix_tickets_sla_next_at", "tickets", ["sla_next_at"], sqlite_where=sa.text("sla_next_at IS NOT NULL")
    )


def downgrade() -> None:
    """Undo."""
    for name in (
        "ix_tickets_sla_next_at",
        "ix_tickets_breaches_at",
        "ix_tickets_organization_id_is_breached_updated_at",
        "ix_tickets_organization_id_is_breached_created_at",
    ):
        op.drop_index(name, "tickets")
    for name, _, _ in reversed(COLUMNS):
        op.drop_column("tickets", name)
    op.drop_column("events", "target")
    op.drop_table("sla_policies")
