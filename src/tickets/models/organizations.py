"""Tenants, and the counters that number things within each."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, Entity, length


class Organization(Entity, Base):
    """A tenant: everything else belongs to exactly one.

    One with `deleted_at` is there for nobody any more; its row goes last, when all that belongs to it is gone.
    """

    __tablename__ = "organizations"
    __table_args__ = (
        Index("uq_organizations_slug", "slug", unique=True, info={"found_with": "GET /organizations?slug="}),
        Index("ix_organizations_created_at", "created_at", "id"),
        Index("ix_organizations_updated_at", "updated_at", "id"),
        Index("ix_organizations_name", "name", "id"),
        Index("ix_organizations_deleted_at", "deleted_at", sqlite_where=text("deleted_at IS NOT NULL")),
        length("name", 200, 1),
        length("slug", 63, 1),
        {"sqlite_autoincrement": True},
    )

    name: Mapped[str] = mapped_column(String(200))
    slug: Mapped[str] = mapped_column(String(63))
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    deleted_at: Mapped[int | None] = mapped_column(Big)


class Counter(Base):
    """The last number given out in an organization, for example to its tickets."""

    __tablename__ = "counters"
    __table_args__ = ({"sqlite_with_rowid": False},)

    organization_id: Mapped[int] = mapped_column(
        Big, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[int] = mapped_column(Big)
