"""What is searched: the words of tickets and comments, and SQLite's full-text index over them (FTS5).

PostgreSQL will have a column and an index of its own here, and no table `search_index`.
"""

from typing import Any

from sqlalchemy import Index, String, Text, column, event, table, text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big

PLACES = 1 << 16
"""Documents a ticket has room for: its own, and those of its comments."""


class SearchDocument(Base):
    """The words that the index has of a ticket or of a comment, each behind the organization's prefix.

    To delete an entry, FTS5 must be given its words again, since it keeps no text. So a document stays until the index
    is updated, even when its ticket or comment is gone: a `PendingDocument` marks it, and it has no foreign key.

    Attributes:
        place: `PLACES` times the ticket's id for the ticket itself; its comments follow. So the documents of a ticket
            lie side by side in the index, and tickets in the order in which they were raised.
        comment_id: None for the ticket itself. A comment that moves has two documents until the index has followed.
        is_public: whether the ticket's contact may see it; the index has a word for who that is.
        entries: about how many entries the index has of it (domain/documents.py).
        subject: words of the subject; none of a comment.
        body: words of the description, or of the comment.
    """

    __tablename__ = "search_documents"
    __table_args__ = (
        Index("ix_search_documents_comment_id", "comment_id", sqlite_where=text("comment_id IS NOT NULL")),
    )

    place: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    comment_id: Mapped[int | None] = mapped_column(Big)
    is_public: Mapped[bool]  # before the words: what is behind these is read with all of them
    entries: Mapped[int]
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)


class PendingDocument(Base):
    """A place at which the index does not have yet what is there now: no search finds it.

    Attributes:
        place: as of a document.
        organization_id: whose it is; a bare number, since the organization may be gone before the index has followed.
        comment_id: the comment that is there, or was; None for the ticket itself.
        seen_by: the word of who may see it, as the index has it.
        words_changed: whether more changed than who may see it.
        entries: about how many entries of the index have to go and to come.
        deferred_at: since when a job has to do it; None while the transaction that changed it goes on.
        error: what kind of error kept it from being indexed; it is left alone until it changes or is indexed anew.
    """

    __tablename__ = "search_pending"
    __table_args__ = (
        Index("ix_search_pending_comment_id", "comment_id", sqlite_where=text("comment_id IS NOT NULL")),
        Index(
            "ix_search_pending_deferred",
            *("organization_id", "place"),
            sqlite_where=text("deferred_at IS NOT NULL AND error IS NULL"),
        ),
        Index("ix_search_pending_failed", "organization_id", sqlite_where=text("error IS NOT NULL")),
    )

    place: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=False)
    organization_id: Mapped[int] = mapped_column(Big)
    comment_id: Mapped[int | None] = mapped_column(Big)
    seen_by: Mapped[str] = mapped_column(Text)
    words_changed: Mapped[bool]
    entries: Mapped[int]
    deferred_at: Mapped[int | None] = mapped_column(Big)
    error: Mapped[str | None] = mapped_column(String(100))


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
