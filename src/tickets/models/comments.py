"""What is said on a ticket."""

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, Entity, length, one_of

VISIBILITIES = ("public", "internal")
AUTHOR_TYPES = ("user", "contact")


class Comment(Entity, Base):
    """A public answer or an internal note, written by a user or by a contact."""

    __tablename__ = "comments"
    __table_args__ = (
        Index("ix_comments_organization_id_created_at", "organization_id", "created_at", "id"),
        Index("ix_comments_organization_id_updated_at", "organization_id", "updated_at", "id"),
        Index("ix_comments_ticket_id_created_at", "ticket_id", "created_at", "id"),
        Index("ix_comments_ticket_id_updated_at", "ticket_id", "updated_at", "id"),
        Index("ix_comments_user_id", "user_id"),
        Index("ix_comments_contact_id", "contact_id"),
        one_of("visibility", VISIBILITIES),
        one_of("author_type", AUTHOR_TYPES),
        length("body", 50_000, 1),
        {"sqlite_autoincrement": True},
    )

    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    ticket_id: Mapped[int] = mapped_column(Big, ForeignKey("tickets.id", ondelete="CASCADE"))
    author_type: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[int | None] = mapped_column(Big, ForeignKey("users.id", ondelete="SET NULL"))
    contact_id: Mapped[int | None] = mapped_column(Big, ForeignKey("contacts.id", ondelete="SET NULL"))
    body: Mapped[str] = mapped_column(Text)
    visibility: Mapped[str] = mapped_column(String(10))
