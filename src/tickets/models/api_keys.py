"""Keys with which programs sign in."""

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, Entity, length


class ApiKey(Entity, Base):
    """A key of a user. Only its SHA-256 is stored; a revoked key stays for the record."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("uq_api_keys_digest", "digest", unique=True),
        Index("ix_api_keys_organization_id_created_at", "organization_id", "created_at", "id"),
        Index("ix_api_keys_organization_id_updated_at", "organization_id", "updated_at", "id"),
        Index("ix_api_keys_user_id", "user_id", "created_at", "id"),
        Index("ix_api_keys_user_id_live", "user_id", "expires_at", sqlite_where=text("revoked_at IS NULL")),
        length("name", 200, 1),
        {"sqlite_autoincrement": True},
    )

    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(Big, ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(11))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    rate_limit: Mapped[str | None] = mapped_column(String(40))
    expires_at: Mapped[int | None] = mapped_column(Big)
    last_used_at: Mapped[int | None] = mapped_column(Big)
    revoked_at: Mapped[int | None] = mapped_column(Big)
    replaced_by_id: Mapped[int | None] = mapped_column(Big)
