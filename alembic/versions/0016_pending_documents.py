"""Places at which the search index does not have yet what is there; documents outlive what they are of.

Revision: 0016
Follows: 0015
"""

import sqlalchemy as sa
from alembic import op

from tickets import clock

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ENTRIES = (
    "20 + (length({body}) + length({subject}))"
    " / CASE WHEN length({body}) = length(CAST({body} AS BLOB)) THEN 8 ELSE {other} END"
)
"""About as many as there are; no document is made anew for that."""
_PENDING = f"""
INSERT INTO search_pending (place, organization_id, comment_id, seen_by, words_changed, entries, deferred_at)
SELECT tickets.id * 65536, organization_id, NULL, '', 1,
    {_ENTRIES.format(subject="subject", body="description", other=1)}, :now
FROM tickets
WHERE NOT EXISTS (SELECT 1 FROM search_documents WHERE place = tickets.id * 65536)
UNION ALL
SELECT place, organization_id, comment_id, '', 1, entries, :now FROM (
    SELECT ticket_id, organization_id, id AS comment_id,
        {_ENTRIES.format(subject="''", body="body", other=1)} AS entries,
        coalesce(
            (
                SELECT max(place) FROM search_documents
                WHERE place BETWEEN comments.ticket_id * 65536 AND comments.ticket_id * 65536 + 65535
            ),
            comments.ticket_id * 65536
        ) + row_number() OVER (PARTITION BY ticket_id ORDER BY created_at, id) AS place
    FROM comments WHERE NOT EXISTS (SELECT 1 FROM search_documents WHERE comment_id = comments.id)
)
WHERE place < (ticket_id + 1) * 65536
"""
"""Tickets and comments without a document: what was pending when somebody went back to 0015."""
_JOB = """
INSERT INTO jobs (kind, payload, created_at, run_at, attempts)
SELECT 'update_search_index', '{}', :now, :now, 0 WHERE EXISTS (SELECT 1 FROM search_pending)
"""


def upgrade() -> None:
    """Apply."""
    _copy(
        [
            sa.Column("comment_id", BIG, nullable=True),
            sa.Column("is_public", sa.Boolean(), nullable=False),
            sa.Column("entries", sa.Integer(), nullable=False),
        ],
        f"place, comment_id, is_public, {_ENTRIES.format(subject='subject', body='body', other=3)}, subject, body",
    )
    comments = sa.text("comment_id IS NOT NULL")
    op.create_index("ix_search_documents_comment_id", "search_documents", ["comment_id"], sqlite_where=comments)
    op.create_table(
        "search_pending",
        sa.Column("place", BIG, nullable=False),
        sa.Column("organization_id", BIG, nullable=False),
        sa.Column("comment_id", BIG, nullable=True),
        sa.Column("seen_by", sa.Text(), nullable=False),
        sa.Column("words_changed", sa.Boolean(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("deferred_at", BIG, nullable=True),
        sa.Column("error", sa.String(length=100), nullable=True),
        sa.PrimaryKeyConstraint("place", name="pk_search_pending"),
    )
    op.create_index("ix_search_pending_comment_id", "search_pending", ["comment_id"], sqlite_where=comments)
    op.create_index(
        "ix_search_pending_deferred",
        "search_pending",
        ["organization_id", "place"],
        sqlite_where=sa.text("deferred_at IS NOT NULL AND error IS NULL"),
    )
    failed = sa.text("error IS NOT NULL")
    op.create_index("ix_search_pending_failed", "search_pending", ["organization_id"], sqlite_where=failed)
    for statement in (_PENDING, _JOB):
        op.get_bind().execute(sa.text(statement), {"now": clock.now()})


def downgrade() -> None:
    """Undo; what is pending is not found until it changes, or until the next upgrade."""
    op.execute(
        "DELETE FROM search_documents WHERE place IN (SELECT place FROM search_pending)"
        " OR place >> 16 NOT IN (SELECT id FROM tickets)"
    )
    op.drop_table("search_pending")
    _copy(
        [
            sa.Column("ticket_id", BIG, nullable=False),
            sa.Column("comment_id", BIG, nullable=True),
            sa.Column("is_public", sa.Boolean(), nullable=False),
            sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name="fk_search_documents_ticket_id"),
            sa.ForeignKeyConstraint(["comment_id"], ["comments.id"], name="fk_search_documents_comment_id"),
        ],
        "place, place >> 16, comment_id, is_public, subject, body",
    )
    op.create_index("ix_search_documents_ticket_id", "search_documents", ["ticket_id"])
    op.create_index("uq_search_documents_comment_id", "search_documents", ["comment_id"], unique=True)
    op.execute("INSERT INTO search_index (search_index) VALUES ('delete-all')")
    op.execute(
        "INSERT INTO search_index (rowid, subject, body, seen_by)"
        " SELECT place, d.subject, body, CASE WHEN is_public THEN organization_id || 'c' || contact_id ELSE '' END"
        " FROM search_documents AS d JOIN tickets ON tickets.id = ticket_id ORDER BY place"
    )


def _copy(columns: list[sa.schema.SchemaItem], values: str) -> None:
    """Make the documents anew, with these columns behind the place and before the words."""
    op.rename_table("search_documents", "documents_before")
    for index in ("ix_search_documents_ticket_id", "uq_search_documents_comment_id", "ix_search_documents_comment_id"):
        op.execute(f"DROP INDEX IF EXISTS {index}")
    op.create_table(
        "search_documents",
        sa.Column("place", BIG, autoincrement=False, nullable=False),
        *columns,
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_search_documents"),
    )
    op.execute(f"INSERT INTO search_documents SELECT {values} FROM documents_before ORDER BY place")
    op.drop_table("documents_before")
