"""Answers kept so that a repeated POST is answered, not done, again."""

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big


class IdempotencyRecord(Base):
    """The first answer to a POST with an Idempotency-Key; it commits with the effect it tells of.

    Its body may be gone before the rest: an organization has only so much room for them. `running_size` counts the
    bytes of the organization's bodies up to and with this one, so that an index finds the oldest ones; it is null when
    the body is gone, and 0 when the answer had none.
    """

    __tablename__ = "idempotency_records"
    __table_args__ = (
        Index("ix_idempotency_records_expires_at", "expires_at"),
        Index(
            "ix_idempotency_records_running_size",
            "organization_id",
            "running_size",
            sqlite_where=text("running_size IS NOT NULL"),
        ),
    )

    organization_id: Mapped[int] = mapped_column(
        Big, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    scope: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    status: Mapped[int] = mapped_column(Integer)
    content_type: Mapped[str] = mapped_column(String(100))
    location: Mapped[str | None] = mapped_column(String(255))
    etag: Mapped[str | None] = mapped_column(String(40))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    running_size: Mapped[int | None] = mapped_column(Big)
    expires_at: Mapped[int] = mapped_column(Big)
