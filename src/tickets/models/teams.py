"""Groups of users that tickets are routed to."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from tickets.models.base import Base, Big, Entity, length


class Team(Entity, Base):
    """A named group of users of one organization."""

    __tablename__ = "teams"
    __table_args__ = (
        Index("uq_teams_organization_id_name", "organization_id", "name", unique=True),
        Index("ix_teams_organization_id_created_at", "organization_id", "created_at", "id"),
        Index("ix_teams_organization_id_updated_at", "organization_id", "updated_at", "id"),
        length("name", 200, 1),
        length("description", 2000),
        {"sqlite_autoincrement": True},
    )

    organization_id: Mapped[int] = mapped_column(Big, ForeignKey("organizations.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(2000))


class TeamMember(Base):
    """That a user belongs to a team."""

    __tablename__ = "team_members"
    __table_args__ = (Index("ix_team_members_user_id", "user_id"), {"sqlite_with_rowid": False})

    team_id: Mapped[int] = mapped_column(Big, ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(Big, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
