"""What goes to an address because somebody asked who need not be its owner."""

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big


class Mailbox(Base):
    """How many mails for a purpose went to an address of late, and how many wrong codes came for it.

    By the address and not by the account: one that is deleted and made anew shall not begin anew.
    """

    __tablename__ = "mailboxes"
    __table_args__ = (Index("ix_mailboxes_expires_at", "expires_at"), {"sqlite_with_rowid": False})

    email: Mapped[str] = mapped_column(String(254), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(20), primary_key=True)
    sent: Mapped[int] = mapped_column(Integer)
    misses: Mapped[int] = mapped_column(Integer)
    expires_at: Mapped[int] = mapped_column(Big)
