"""The event log: what became of each entity."""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big

_LIFE = ("created", "updated", "deleted")
VERBS = {
    "ticket": (*_LIFE, "merged", "sla_warning", "sla_breached"),
    "comment": _LIFE,
    "contact": _LIFE,
    "user": _LIFE,
    "team": _LIFE,
}
"""What becomes of each kind of entity."""


class Event(Base):
    """One change of one entity. It names entities and people by bare numbers: it outlives them.

    Along `seq`, `reached_at` never goes back: it is the latest `created_at` of the log up to there. What is long in
    `data` stands in `EventText`, and `texts` tells where. The `data` of a history event is dropped when it is old; then
    `has_data` says so, and only `changes` are left.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("uq_events_organization_id_seq", "organization_id", "seq", unique=True),
        Index("ix_events_organization_id_type", "organization_id", "type", "seq"),
        Index("ix_events_organization_id_entity_id", "organization_id", "entity_id", "seq"),
        Index("ix_events_ticket_id", "ticket_id", "seq", sqlite_where=text("ticket_id IS NOT NULL")),
        # What gets too old: an event that is deleted then, or its data, which is dropped.
        Index("ix_events_created_at", "created_at", sqlite_where=text("has_data OR NOT is_history")),
        # None, unless the clock was set back.
        Index("ix_events_late", "organization_id", "seq", sqlite_where=text("created_at < reached_at")),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    seq: Mapped[int] = mapped_column(Big)
    type: Mapped[str] = mapped_column(String(40))
    entity_id: Mapped[int] = mapped_column(Big)
    ticket_id: Mapped[int | None] = mapped_column(Big)
    actor_type: Mapped[str] = mapped_column(String(10))
    actor_id: Mapped[int | None] = mapped_column(Big)
    actor_name: Mapped[str] = mapped_column(String(200))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    changes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    target: Mapped[str | None] = mapped_column(String(20))
    is_history: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[int] = mapped_column(Big)
    reached_at: Mapped[int] = mapped_column(Big, server_default="0")
    texts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    has_data: Mapped[bool] = mapped_column(Boolean, server_default="1")


class EventText(Base):
    """A long value of a field, as JSON, that events of an organization show; domain/event_texts.py writes it."""

    __tablename__ = "event_texts"
    __table_args__ = (Index("ix_event_texts_last_used_at", "last_used_at"),)

    organization_id: Mapped[int] = mapped_column(
        Big, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    digest: Mapped[str] = mapped_column(String(32), primary_key=True)
    last_used_at: Mapped[int] = mapped_column(Big)
    text: Mapped[str] = mapped_column(Text)
