"""The tables, one file a noun."""

from tickets.models.api_keys import ApiKey
from tickets.models.base import Base
from tickets.models.comments import Comment
from tickets.models.contacts import Contact
from tickets.models.idempotency import IdempotencyRecord
from tickets.models.jobs import Job, PeriodicJob
from tickets.models.organizations import Counter, Organization
from tickets.models.teams import Team, TeamMember
from tickets.models.tickets import Ticket
from tickets.models.users import User

__all__ = [
    "ApiKey",
    "Base",
    "Comment",
    "Contact",
    "Counter",
    "IdempotencyRecord",
    "Job",
    "Organization",
    "PeriodicJob",
    "Team",
    "TeamMember",
    "Ticket",
    "User",
]
