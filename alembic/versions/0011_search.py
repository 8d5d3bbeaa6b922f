"""The search index; 0014 takes in all tickets and comments there are.

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "search_documents",
        sa.Column("place", BIG, autoincrement=False, nullable=False),
        sa.Column("ticket_id", BIG, nullable=False),
        sa.Column("comment_id", BIG, nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("seen_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name="fk_search_documents_ticket_id"),
        sa.ForeignKeyConstraint(["comment_id"], ["comments.id"], name="fk_search_documents_comment_id"),
        sa.PrimaryKeyConstraint("place", name="pk_search_documents"),
    )
    op.create_index("ix_search_documents_ticket_id", "search_documents", ["ticket_id"])
    op.create_index("uq_search_documents_comment_id", "search_documents", ["comment_id"], unique=True)
    op.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5(subject, body, seen_by,"
        " content='search_documents', content_rowid='place', tokenize='ascii', columnsize=0)"
    )
    for option, value in (("automerge", 8), ("crisismerge", 128)):  # never all at once: requests wait meanwhile
        op.execute(f"INSERT INTO search_index (search_index, rank) VALUES ('{option}', {value})")


def downgrade() -> None:
    """Undo."""
    op.execute("DROP TABLE search_index")
    op.drop_table("search_documents")
