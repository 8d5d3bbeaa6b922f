"""The search index anew: words of any composition, and a contact that changes without what was said.

Revision: 0014
Follows: 0013
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from tickets.domain.words import words

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

AT_ONCE = 5_000
"""Tickets to one statement; all are in the step's transaction."""

_SIGHT = "ticket.organization_id || 'c' || ticket.contact_id"
_DOCUMENTS = """
INSERT INTO search_documents (place, ticket_id, comment_id, {column}, subject, body)
SELECT place, ticket_id, comment_id, {column}, subject, body FROM (
    SELECT ticket.id * 65536 AS place, ticket.id AS ticket_id, NULL AS comment_id, {whole} AS {column},
        indexed(ticket.organization_id, ticket.subject) AS subject,
        indexed(ticket.organization_id, ticket.description) AS body
    FROM tickets AS ticket WHERE ticket.id BETWEEN :first AND :last
    UNION ALL
    SELECT ticket.id * 65536 + row_number() OVER (PARTITION BY ticket.id ORDER BY said.created_at, said.id),
        ticket.id, said.id, CASE said.visibility WHEN 'public' THEN {whole} ELSE {nobody} END,
        '', indexed(ticket.organization_id, said.body)
    FROM comments AS said JOIN tickets AS ticket ON ticket.id = said.ticket_id
    WHERE said.ticket_id BETWEEN :first AND :last
)
WHERE place < (ticket_id + 1) * 65536 ORDER BY place
"""
_INDEX = """
INSERT INTO search_index (rowid, subject, body, seen_by)
SELECT document.place, document.subject, document.body, {seen_by}
FROM search_documents AS document JOIN tickets AS ticket ON ticket.id = document.ticket_id
WHERE document.place BETWEEN :first * 65536 AND (:last + 1) * 65536 - 1 ORDER BY document.place
"""


def upgrade() -> None:
    """Apply."""
    _make(sa.Column("is_public", sa.Boolean(), nullable=False), words_last=True, content="content=''")
    _fill("is_public", whole="1", nobody="0", seen_by=f"CASE WHEN document.is_public THEN {_SIGHT} ELSE '' END")


def downgrade() -> None:
    """Undo."""
    content = "content='search_documents', content_rowid='place'"
    _make(sa.Column("seen_by", sa.Text(), nullable=False), words_last=False, content=content)
    _fill("seen_by", whole=_SIGHT, nobody="''", seen_by="document.seen_by")


def _make(seen: sa.Column[Any], *, words_last: bool, content: str) -> None:
    """Make the tables anew, with a column that tells who sees a document."""
    op.execute("DROP TABLE search_index")
    op.drop_table("search_documents")
    text = [sa.Column("subject", sa.Text(), nullable=False), sa.Column("body", sa.Text(), nullable=False)]
    op.create_table(
        "search_documents",
        sa.Column("place", BIG, autoincrement=False, nullable=False),
        sa.Column("ticket_id", BIG, nullable=False),
        sa.Column("comment_id", BIG, nullable=True),
        *([seen, *text] if words_last else [*text, seen]),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name="fk_search_documents_ticket_id"),
        sa.ForeignKeyConstraint(["comment_id"], ["comments.id"], name="fk_search_documents_comment_id"),
        sa.PrimaryKeyConstraint("place", name="pk_search_documents"),
    )
    op.create_index("ix_search_documents_ticket_id", "search_documents", ["ticket_id"])
    op.create_index("uq_search_documents_comment_id", "search_documents", ["comment_id"], unique=True)
    op.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5(subject, body, seen_by,"
        f" {content}, tokenize='ascii', columnsize=0)"
    )
    for option, value in (("automerge", 8), ("crisismerge", 128)):  # never all at once: requests wait meanwhile
        op.execute(f"INSERT INTO search_index (search_index, rank) VALUES ('{option}', {value})")


def _fill(column: str, *, whole: str, nobody: str, seen_by: str) -> None:
    """Take in all tickets with their comments.

    Args:
        column: of a document, that tells who sees it.
        whole: what it holds where the contact does.
        nobody: where nobody but the staff does.
        seen_by: what the index is told.
    """
    connection = op.get_bind()
    driver: Any = connection.connection.driver_connection
    driver.create_function("indexed", 2, _indexed, deterministic=True)
    last = connection.execute(sa.text("SELECT coalesce(max(id), 0) FROM tickets")).scalar_one()
    for first in range(1, last + 1, AT_ONCE):
        bounds = {"first": first, "last": first + AT_ONCE - 1}
        connection.execute(sa.text(_DOCUMENTS.format(column=column, whole=whole, nobody=nobody)), bounds)
        connection.execute(sa.text(_INDEX.format(seen_by=seen_by)), bounds)
    op.execute("INSERT INTO search_index (search_index) VALUES ('optimize')")


def _indexed(organization_id: int, text: str) -> str:
    return " ".join(f"{organization_id}x{word}" for word in words(text))
