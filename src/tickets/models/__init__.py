"""The tables, one file a noun."""

from tickets.models.api_keys import ApiKey
from tickets.models.audit import AuditEntry
from tickets.models.base import Base
from tickets.models.comments import Comment
from tickets.models.contacts import Contact
from tickets.models.events import Event, EventText
from tickets.models.idempotency import IdempotencyRecord
from tickets.models.jobs import Job, PeriodicJob
from tickets.models.mailboxes import Mailbox
from tickets.models.one_time_secrets import OneTimeSecret
from tickets.models.organizations import Counter, Organization
from tickets.models.passwords import Password
from tickets.models.search import PendingDocument, SearchDocument
from tickets.models.sessions import RefreshToken, Session
from tickets.models.sla_policies import SlaPolicy
from tickets.models.tallies import CreatorTally, TicketTally
from tickets.models.teams import Team, TeamMember
from tickets.models.tickets import Ticket, TicketTag
from tickets.models.users import User

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Base",
    "Comment",
    "Contact",
    "Counter",
    "CreatorTally",
    "Event",
    "EventText",
    "IdempotencyRecord",
    "Job",
    "Mailbox",
    "OneTimeSecret",
    "Organization",
    "Password",
    "PendingDocument",
    "PeriodicJob",
    "RefreshToken",
    "SearchDocument",
    "Session",
    "SlaPolicy",
    "Team",
    "TeamMember",
    "Ticket",
    "TicketTag",
    "TicketTally",
    "User",
]
