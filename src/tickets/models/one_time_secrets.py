"""Codes and tokens that are sent by mail and work once."""

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, one_of

PURPOSES = ("verify_email", "reset_password")


class OneTimeSecret(Base):
    """What a user was sent last for a purpose; only a keyed hash is stored."""

    __tablename__ = "one_time_secrets"
    __table_args__ = (
        Index("ix_one_time_secrets_digest", "digest"),
        Index("ix_one_time_secrets_expires_at", "expires_at"),
        one_of("purpose", PURPOSES),
        {"sqlite_with_rowid": False},
    )

    user_id: Mapped[int] = mapped_column(
        Big, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    purpose: Mapped[str] = mapped_column(String(20), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    expires_at: Mapped[int] = mapped_column(Big)
