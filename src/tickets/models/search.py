"""What is searched: the words of tickets and comments, and SQLite's full-text index over them (FTS5).

PostgreSQL will have a column and an index of its own here, and no table `search_index`.
"""

from typing import Any

from sqlalchemy import ForeignKey, Index, Text, column, event, table
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big

PLACES = 1 << 16
"""Documents a ticket has room for: its own, and those of its comments."""


class SearchDocument(Base):
    """The words of a ticket or of a comment, each behind the organization's prefix (domain/indexing.py).

    Attributes:
        place: `PLACES` times the ticket's id for the ticket itself; its comments follow. So the documents of a ticket
            lie side by side in the index, and tickets in the order in which they were raised.
        comment_id: None for the ticket itself.
        is_public: whether the ticket's contact may see it; the index has a word for who that is.
        subject: words of the subject; none of a comment.
        body: words of the description, or of the comment.
    """

    __tablename__ = "search_documents"
    __table_args__ = (
        Index("ix_search_documents_ticket_id", "ticket_id"),
        Index("uq_search_documents_comment_id", "comment_id", unique=True),
    )

    place: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    # No cascades: whoever deletes a ticket or comment and leaves its words in the index is refused.
    ticket_id: Mapped[int] = mapped_column(Big, ForeignKey("tickets.id"))
    comment_id: Mapped[int | None] = mapped_column(Big, ForeignKey("comments.id"))
    is_public: Mapped[bool]  # before the words: what is behind these is read with all of them
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)


MERGES = {"automerge": 8, "crisismerge": 128}
"""How many pieces of the index are merged, a little with each commit, and how many at once in the commit that finds so
many: by default 16, and such a commit takes 0.1 s and more."""

INDEX = table(
    "search_index", column("search_index"), column("rowid", Big), column("subject"), column("body"), column("seen_by")
)
"""The index; its `rowid` is a document's `place`, and to set the column of its own name commands it.

`seen_by` is one word that names the contact of the ticket; it has none of what is internal.
"""


@event.listens_for(SearchDocument.__table__, "after_create")
def _create_index(_: Any, connection: Any, **__: Any) -> None:
    if connection.dialect.name == "sqlite":
        # The words are made in domain/words.py: here they are only told apart. bm25, which is not used, needs nothing.
        connection.exec_driver_sql(
            "CREATE VIRTUAL TABLE search_index USING fts5(subject, body, seen_by,"
            " content='', tokenize='ascii', columnsize=0)"
        )
        for option, value in MERGES.items():
            connection.exec_driver_sql(f"INSERT INTO search_index (search_index, rank) VALUES ('{option}', {value})")
