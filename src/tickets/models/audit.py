"""The record of who asked for what."""

from sqlalchemy import ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big


class AuditEntry(Base):
    """One request and its answer. It names who asked by bare numbers: it outlives them."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_organization_id_created_at", "organization_id", "created_at", "id"),
        Index("ix_audit_log_created_at", "created_at", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    organization_id: Mapped[int | None] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(Big)
    api_key_id: Mapped[int | None] = mapped_column(Big)
    session_id: Mapped[int | None] = mapped_column(Big)
    method: Mapped[str] = mapped_column(String(40))
    operation: Mapped[str | None] = mapped_column(String(100))
    path: Mapped[str] = mapped_column(String(2000))
    query: Mapped[str] = mapped_column(String(2000))
    status: Mapped[int] = mapped_column(Integer)
    ip: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(500))
    duration_ms: Mapped[int] = mapped_column(Integer)
    body: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[int] = mapped_column(Big)
