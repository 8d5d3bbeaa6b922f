"""Tickets, with an index for each filter and sort a list offers."""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, Entity, length, one_of

STATUSES = ("open", "in_progress", "pending", "resolved", "closed")
WAITING = ("open", "in_progress", "pending")
"""What waits for work: no time of resolution is set."""
PRIORITIES = ("low", "medium", "high", "urgent")
TYPES = ("question", "incident", "problem", "task")
SOURCES = ("api", "import", "simulation")


class Ticket(Entity, Base):
    """What a contact asks for, and how far it has come."""

    __tablename__ = "tickets"
    __table_args__ = (
        Index("uq_tickets_organization_id_number", "organization_id", "number", unique=True),
        # Each with the other time, by which a walk in its order leaves rows out without fetching them.
        Index("ix_tickets_organization_id_created_at", "organization_id", "created_at", "id", "updated_at"),
        Index("ix_tickets_organization_id_updated_at", "organization_id", "updated_at", "id", "created_at"),
        *(
            Index(f"ix_tickets_organization_id_{column}", "organization_id", column, "created_at", "id")
            for column in ("status", "priority", "type")
        ),
        Index("ix_tickets_organization_id_status_updated_at", "organization_id", "status", "updated_at", "id"),
        # The queue: what is open and urgent.
        Index(
            "ix_tickets_organization_id_status_priority", "organization_id", "status", "priority", "created_at", "id"
        ),
        # What waits for work, and what is done with.
        Index(
            "ix_tickets_open",
            *("organization_id", "resolved_at", "created_at", "id"),
            sqlite_where=text("resolved_at IS NULL"),
        ),
        Index("ix_tickets_closed", "organization_id", "closed_at", "id", sqlite_where=text("closed_at IS NOT NULL")),
        # What is known to be breached, and what is not; with `breaches_at`, an index alone is enough to count these.
        Index(
            "ix_tickets_organization_id_is_breached_created_at",
            *("organization_id", "is_breached", "created_at", "id", "breaches_at"),
        ),
        Index(
            "ix_tickets_organization_id_is_breached_updated_at", "organization_id", "is_breached", "updated_at", "id"
        ),
        # What fell due since the last sweep, and what the next one tells.
        Index("ix_tickets_breaches_at", "organization_id", "breaches_at", sqlite_where=text("breaches_at IS NOT NULL")),
        Index("ix_tickets_sla_next_at", "sla_next_at", sqlite_where=text("sla_next_at IS NOT NULL")),
        # How long resolution took, without a look at the ticket.
        Index(
            "ix_tickets_resolved",
            "organization_id",
            "resolved_at",
            "created_at",
            sqlite_where=text("resolved_at IS NOT NULL"),
        ),
        # A contact, assignee or team implies the organization; these also serve what goes with a deleted one.
        Index("ix_tickets_contact_id", "contact_id", "created_at", "id"),
        Index("ix_tickets_contact_id_updated_at", "contact_id", "updated_at", "id"),
        *(
            Index(f"ix_tickets_{column}{name}", column, sort, "id", sqlite_where=text(f"{column} IS NOT NULL"))
            for column in ("assignee_id", "team_id")
            for sort, name in (("created_at", ""), ("updated_at", "_updated_at"))
        ),
        # The queue of somebody, of a team, of nobody yet: it stays short while what they are done with grows.
        *(
            Index(
                f"ix_tickets_{name}_waiting",
                *(*columns, "resolved_at", "created_at", "id"),
                sqlite_where=text(f"{condition} AND resolved_at IS NULL"),
            )
            for name, columns, condition in (
                ("assignee_id", ["assignee_id"], "assignee_id IS NOT NULL"),
                ("team_id", ["team_id"], "team_id IS NOT NULL"),
                ("unassigned", ["organization_id", "assignee_id"], "assignee_id IS NULL"),
            )
        ),
        *(
            Index(
                f"ix_tickets_unassigned{name}", "organization_id", sort, "id", sqlite_where=text("assignee_id IS NULL")
            )
            for sort, name in (("created_at", ""), ("updated_at", "_updated_at"))
        ),
        Index("ix_tickets_created_by_id", "created_by_id"),
        one_of("status", STATUSES),
        one_of("priority", PRIORITIES),
        one_of("type", TYPES),
        one_of("source", SOURCES),
        length("subject", 255, 1),
        length("description", 50_000),
        {"sqlite_autoincrement": True},
    )

    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Big)
    subject: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20))
    priority: Mapped[str] = mapped_column(String(20))
    type: Mapped[str] = mapped_column(String(20))
    source: Mapped[str] = mapped_column(String(20))
    contact_id: Mapped[int] = mapped_column(Big, ForeignKey("contacts.id"))
    assignee_id: Mapped[int | None] = mapped_column(Big, ForeignKey("users.id", ondelete="SET NULL"))
    team_id: Mapped[int | None] = mapped_column(Big, ForeignKey("teams.id", ondelete="SET NULL"))
    created_by_id: Mapped[int | None] = mapped_column(Big, ForeignKey("users.id", ondelete="SET NULL"))
    tags: Mapped[list[str]] = mapped_column(JSON)
    custom_fields: Mapped[dict[str, Any]] = mapped_column(JSON)
    first_responded_at: Mapped[int | None] = mapped_column(Big)
    resolved_at: Mapped[int | None] = mapped_column(Big)
    closed_at: Mapped[int | None] = mapped_column(Big)
    # A bare number: where a ticket went is true also when the other is deleted.
    merged_into_id: Mapped[int | None] = mapped_column(Big)
    # Service levels; domain/sla.py says what these mean, and is alone to set them. The policy is a bare number as well:
    # what it said is copied to here.
    sla_policy_id: Mapped[int | None] = mapped_column(Big)
    first_response_minutes: Mapped[int] = mapped_column(Integer, server_default="0")
    resolution_minutes: Mapped[int] = mapped_column(Integer, server_default="0")
    first_response_due_at: Mapped[int] = mapped_column(Big, server_default="0")
    resolution_due_at: Mapped[int] = mapped_column(Big, server_default="0")
    sla_paused_at: Mapped[int | None] = mapped_column(Big)
    is_breached: Mapped[bool] = mapped_column(Boolean, server_default="0")
    breaches_at: Mapped[int | None] = mapped_column(Big)
    sla_told: Mapped[int] = mapped_column(Integer, server_default="0")
    sla_next_at: Mapped[int | None] = mapped_column(Big)


class TicketTag(Base):
    """A tag of a ticket once more, where indexes find it; domain/tags.py keeps it in step with `Ticket.tags`.

    With the times that lists are sorted by, since an index has one order and cannot look into another table.
    """

    __tablename__ = "ticket_tags"
    __table_args__ = (
        Index("ix_ticket_tags_organization_id_tag", "organization_id", "tag", "created_at", "ticket_id"),
        Index("ix_ticket_tags_organization_id_tag_updated_at", "organization_id", "tag", "updated_at", "ticket_id"),
        {"sqlite_with_rowid": False},
    )

    ticket_id: Mapped[int] = mapped_column(Big, ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(50), primary_key=True)
    organization_id: Mapped[int] = mapped_column(Big)
    created_at: Mapped[int] = mapped_column(Big)
    updated_at: Mapped[int] = mapped_column(Big)
