"""Accounts: people and programs that sign in."""

from sqlalchemy import Boolean, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, Entity, length, one_of

ROLES = ("admin", "agent", "user", "platform")


class User(Entity, Base):
    """An account of an organization; its e-mail is unique in the whole service, stored in lower case."""

    __tablename__ = "users"
    __table_args__ = (
        Index("uq_users_email", "email", unique=True),
        Index("ix_users_organization_id_created_at", "organization_id", "created_at", "id"),
        Index("ix_users_organization_id_updated_at", "organization_id", "updated_at", "id"),
        Index("ix_users_organization_id_name", "organization_id", "name", "id"),
        Index("ix_users_organization_id_role", "organization_id", "role", "created_at", "id"),
        one_of("role", ROLES),
        length("name", 200, 1),
        length("email", 254, 3),
        {"sqlite_autoincrement": True},
    )

    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(10))
    is_active: Mapped[bool] = mapped_column(Boolean)
    email_verified_at: Mapped[int | None] = mapped_column(Big)
