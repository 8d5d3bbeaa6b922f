"""Service level policies: how soon tickets are to be answered and resolved."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, Entity, length


class SlaPolicy(Entity, Base):
    """Targets for the tickets of an organization that fit its conditions; of several, those of the first position."""

    __tablename__ = "sla_policies"
    __table_args__ = (
        Index("uq_sla_policies_organization_id_name", "organization_id", "name", unique=True),
        Index("ix_sla_policies_organization_id_position", "organization_id", "position", "id"),
        length("name", 200, 1),
        {"sqlite_autoincrement": True},
    )

    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    position: Mapped[int] = mapped_column(Integer)
    conditions: Mapped[dict[str, Any]] = mapped_column(JSON)
    targets: Mapped[dict[str, Any]] = mapped_column(JSON)
