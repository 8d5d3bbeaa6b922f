"""FastAPI as most would write it: sync handlers, an ORM session for each request, pydantic in and out."""

import base64
import functools
import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from bench.peers.schemas import Assignee, Few, Limit, Priority, Sort, Status, TicketCreate
from fastapi import Depends, FastAPI, HTTPException, Response, Security
from fastapi.security import APIKeyHeader
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, event, select, tuple_, update
from sqlalchemy.orm import Session, sessionmaker

from tickets.models import ApiKey, Contact, Counter, Ticket, User

engine = create_engine(f"sqlite:///{os.environ['BENCH_DATABASE']}", connect_args={"timeout": 30})
SessionLocal = sessionmaker(engine)
limiter = FixedWindowRateLimiter(MemoryStorage())
limit_of = functools.lru_cache(parse)
app = FastAPI()


@event.listens_for(engine, "connect")
def set_pragmas(connection: Any, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


class TicketRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    organization_id: int
    number: int
    subject: str
    description: str
    status: str
    priority: str
    type: str
    source: str
    contact_id: int
    assignee_id: int | None
    team_id: int | None
    created_by_id: int | None
    tags: list[str]
    custom_fields: dict[str, Any]
    version: int
    first_responded_at: datetime | None
    resolved_at: datetime | None
    closed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class TicketPage(BaseModel):
    data: list[TicketRead]
    next_cursor: str | None
    prev_cursor: str | None


def get_session() -> Iterator[Session]:
    with SessionLocal() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]


def get_caller(session: SessionDep, key: Annotated[str, Security(APIKeyHeader(name="x-api-key"))]) -> User:
    digest = hashlib.sha256(key.encode()).digest()
    found = session.execute(
        select(ApiKey, User)
        .join(User, User.id == ApiKey.user_id)
        .where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None), User.is_active.is_(True))
    ).one_or_none()
    if found is None or (found.ApiKey.expires_at is not None and found.ApiKey.expires_at <= time.time() * 1000):
        raise HTTPException(401, "The API key is not valid.", headers={"www-authenticate": "Bearer"})
    if not limiter.hit(limit_of(found.ApiKey.rate_limit or "5/second"), str(found.ApiKey.id)):
        raise HTTPException(429, "The limit is used up.")
    return found.User


CallerDep = Annotated[User, Depends(get_caller)]


@app.get("/api/v1/tickets/{ticket_id}", response_model=TicketRead)
def get_ticket(ticket_id: int, session: SessionDep, caller: CallerDep, response: Response):
    ticket = session.scalar(
        select(Ticket).where(Ticket.id == ticket_id, Ticket.organization_id == caller.organization_id)
    )
    if ticket is None:
        raise HTTPException(404, "There is no such ticket.")
    response.headers["etag"] = f'"{ticket.version}"'
    return ticket


@app.get("/api/v1/tickets", response_model=TicketPage)
def list_tickets(
    session: SessionDep,
    caller: CallerDep,
    sort: Sort = "-created_at",
    limit: Limit = 50,
    cursor: str | None = None,
    status: Annotated[list[Status] | None, Few] = None,
    priority: Annotated[list[Priority] | None, Few] = None,
    assigned_to: Annotated[list[Assignee] | None, Few] = None,
):
    query = select(Ticket).where(Ticket.organization_id == caller.organization_id)
    if status:
        query = query.where(Ticket.status.in_(status))
    if priority:
        query = query.where(Ticket.priority.in_(priority))
    if assigned_to:
        ids = [caller.id if word == "me" else int(word) for word in assigned_to if word != "none"]
        condition = Ticket.assignee_id.in_(ids)
        query = query.where(condition | Ticket.assignee_id.is_(None) if "none" in assigned_to else condition)
    name = sort.removeprefix("-")
    column = getattr(Ticket, name)
    here = tuple_(column, Ticket.id)
    if cursor is not None:
        there = tuple_(*json.loads(base64.urlsafe_b64decode(cursor)))
        query = query.where(here < there if sort.startswith("-") else here > there)
    order = (column.desc(), Ticket.id.desc()) if sort.startswith("-") else (column, Ticket.id)
    query = query.order_by(*order).limit(limit + 1)
    tickets = session.scalars(query).all()
    page, more = tickets[:limit], len(tickets) > limit
    following = base64.urlsafe_b64encode(json.dumps([getattr(page[-1], name), page[-1].id]).encode()) if more else None
    return {"data": page, "next_cursor": following, "prev_cursor": None}


@app.post("/api/v1/tickets", response_model=TicketRead, status_code=201)
def create_ticket(body: TicketCreate, session: SessionDep, caller: CallerDep, response: Response):
    contact = session.scalar(
        select(Contact).where(Contact.id == body.contact_id, Contact.organization_id == caller.organization_id)
    )
    if contact is None:
        raise HTTPException(404, "There is no such contact.")
    number = session.scalar(
        update(Counter)
        .where(Counter.organization_id == caller.organization_id, Counter.name == "tickets")
        .values(value=Counter.value + 1)
        .returning(Counter.value)
    )
    now = time.time_ns() // 1_000_000
    ticket = Ticket(
        **body.model_dump(),
        organization_id=caller.organization_id,
        number=number,
        status="open",
        source="api",
        created_by_id=caller.id,
        created_at=now,
        updated_at=now,
        version=1,
    )
    session.add(ticket)
    session.commit()
    session.refresh(ticket)
    response.headers["location"] = f"/api/v1/tickets/{ticket.id}"
    return ticket
