"""Sessions of people who signed in, and the tokens that prolong them."""

from sqlalchemy import ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big


class Session(Base):
    """One sign-in of a user. Access tokens name it, so what ends it ends them."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_id", "user_id"),
        Index("ix_sessions_organization_id", "organization_id"),
        Index("ix_sessions_expires_at", "expires_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(Big, ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[int] = mapped_column(Big)
    expires_at: Mapped[int] = mapped_column(Big)
    ended_at: Mapped[int | None] = mapped_column(Big)


class RefreshToken(Base):
    """A refresh token of a session, used or not; only its SHA-256 is stored."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_session_id", "session_id"), {"sqlite_with_rowid": False})

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    session_id: Mapped[int] = mapped_column(Big, ForeignKey("sessions.id", ondelete="CASCADE"))
    used_at: Mapped[int | None] = mapped_column(Big)
