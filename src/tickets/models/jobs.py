"""Work that is done after the commit that asked for it, and what is done again and again."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, length

MAX_ERROR = 500
"""Characters of what went wrong that are kept."""


class Job(Base):
    """A piece of work: it waits, or a worker holds it by a lease, or it is a dead letter.

    `run_at` is when it may be taken: its due time while it waits, the end of the lease while it is held.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_run_at", "run_at", "id", sqlite_where=text("dead_at IS NULL")),
        Index("ix_jobs_dead_at", "dead_at", "id", sqlite_where=text("dead_at IS NOT NULL")),
        Index("ix_jobs_organization_id", "organization_id", sqlite_where=text("organization_id IS NOT NULL")),
        length("kind", 50, 1),
        length("last_error", MAX_ERROR),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    organization_id: Mapped[int | None] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(50))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(Big)
    run_at: Mapped[int] = mapped_column(Big)
    attempts: Mapped[int] = mapped_column(Integer)
    lease: Mapped[str | None] = mapped_column(String(32))
    last_error: Mapped[str | None] = mapped_column(String(MAX_ERROR))
    dead_at: Mapped[int | None] = mapped_column(Big)


class PeriodicJob(Base):
    """The slot of time for which a periodic job was last put into the queue: whoever raises it does so."""

    __tablename__ = "periodic_jobs"
    __table_args__ = ({"sqlite_with_rowid": False},)

    kind: Mapped[str] = mapped_column(String(50), primary_key=True)
    slot: Mapped[int] = mapped_column(Big)
