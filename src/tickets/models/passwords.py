"""Passwords, apart from the accounts: no list or answer of users can show one."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big


class Password(Base):
    """The password of a user, as argon2id leaves it; who has none signs in with keys only."""

    __tablename__ = "passwords"

    user_id: Mapped[int] = mapped_column(
        Big, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    hash: Mapped[str] = mapped_column(String(200))
