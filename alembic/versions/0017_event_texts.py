"""Long texts of events once for each organization, and whether an event still has its data.

Revision: 0017
Follows: 0016
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; events that are there keep their texts."""
    op.create_table(
        "event_texts",
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("last_used_at", BIG, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_event_texts_organization_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("organization_id", "digest", name="pk_event_texts"),
    )
    op.create_index("ix_event_texts_last_used_at", "event_texts", ["last_used_at"])
    op.add_column("events", sa.Column("texts", sa.JSON(), nullable=True))
    op.add_column("events", sa.Column("has_data", sa.Boolean(), server_default="1", nullable=False))
    op.drop_index("ix_events_created_at", "events")
    op.create_index(
        "ix_events_created_at", "events", ["created_at"], sqlite_where=sa.text("has_data OR NOT is_history")
    )


def downgrade() -> None:
    """Undo: events get their texts back; data that was dropped is gone, and shows as an empty object."""
    connection = op.get_bind()
    fields = connection.execute(sa.text("SELECT DISTINCT key FROM events, json_each(events.texts)")).scalars().all()
    for field in fields:
        connection.execute(_PUT_BACK, {"path": f'$."{field}"'})
    op.execute("UPDATE events SET data = '{}' WHERE NOT has_data")
    op.drop_index("ix_events_created_at", "events")
    op.create_index("ix_events_created_at", "events", ["created_at"], sqlite_where=sa.text("NOT is_history"))
    op.drop_column("events", "has_data")
    op.drop_column("events", "texts")
    op.drop_table("event_texts")


_PUT_BACK = sa.text(
    "UPDATE events SET data = json_set(data, :path, json(event_texts.text)) FROM event_texts"
    " WHERE event_texts.organization_id = events.organization_id"
    " AND event_texts.digest = json_extract(events.texts, :path || '[0]')"
)
