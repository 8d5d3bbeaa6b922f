"""The people who raise tickets."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, Entity, length


class Contact(Entity, Base):
    """An end user of an organization; one with an account is tied to it by `user_id`."""

    __tablename__ = "contacts"
    __table_args__ = (
        Index(
            "uq_contacts_organization_id_email",
            *("organization_id", "email"),
            unique=True,
            info={"found_with": "GET /contacts?email="},
        ),
        Index(
            "uq_contacts_organization_id_external_id",
            *("organization_id", "external_id"),
            unique=True,
            info={"found_with": "GET /contacts?external_id="},
        ),
        Index("uq_contacts_user_id", "user_id", unique=True),
        Index("ix_contacts_organization_id_created_at", "organization_id", "created_at", "id"),
        Index("ix_contacts_organization_id_updated_at", "organization_id", "updated_at", "id"),
        Index("ix_contacts_organization_id_name", "organization_id", "name", "id"),
        length("name", 200, 1),
        length("email", 254, 3),
        {"sqlite_autoincrement": True},
    )

    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(Big, ForeignKey("users.id", ondelete="SET NULL"))
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(200))
    external_id: Mapped[str | None] = mapped_column(String(255))
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)
