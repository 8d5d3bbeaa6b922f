"""Tallies: how many tickets there are, kept with each change, since counting them anew takes longer with each."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, one_of
from tickets.models.tickets import PRIORITIES, STATUSES


class TicketTally(Base):
    """How many tickets of an organization have a status and a priority."""

    __tablename__ = "ticket_tallies"
    __table_args__ = (
        one_of("status", STATUSES),
        one_of("priority", PRIORITIES),
        {"sqlite_with_rowid": False},
    )

    organization_id: Mapped[int] = mapped_column(
        Big, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    status: Mapped[str] = mapped_column(String(20), primary_key=True)
    priority: Mapped[str] = mapped_column(String(20), primary_key=True)
    total: Mapped[int] = mapped_column(Big)


class CreatorTally(Base):
    """How many of the tickets that are there a user created."""

    __tablename__ = "creator_tallies"
    __table_args__ = (
        # The most, and among equals the lowest id.
        Index("ix_creator_tallies_organization_id_total", "organization_id", "total", "user_id"),
        {"sqlite_with_rowid": False},
    )

    user_id: Mapped[int] = mapped_column(
        Big, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    total: Mapped[int] = mapped_column(Big)
