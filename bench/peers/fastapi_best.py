"""FastAPI at its best: async, Core inline on the event loop, statements made once, orjson out."""

import base64
import functools
import hashlib
import os
import time
from typing import Annotated, Any

import orjson
from bench.peers.schemas import Assignee, Few, Limit, Priority, Sort, Status, TicketCreate
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import Text, bindparam, create_engine, event, insert, or_, select, tuple_, type_coerce, update
from sqlalchemy.pool import NullPool

from tickets.clock import rfc3339
from tickets.models import ApiKey, Contact, Counter, Ticket, User

engine = create_engine(
    f"sqlite:///{os.environ['BENCH_DATABASE']}", poolclass=NullPool, connect_args={"cached_statements": 512}
)
limiter = FixedWindowRateLimiter(MemoryStorage())
limit_of = functools.lru_cache(parse)
app = FastAPI()


@event.listens_for(engine, "connect")
def set_pragmas(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


# The loop's thread is the only one, so one connection reads and one writes.
reader = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
writer = engine.connect().execution_options(isolation_level="AUTOCOMMIT")

T = Ticket.__table__.c
# JSON columns go from the database into the answer as the text they are.
COLUMNS = [
    T.id,
    T.organization_id,
    T.number,
    T.subject,
    T.description,
    T.status,
    T.priority,
    T.type,
    T.source,
    T.contact_id,
    T.assignee_id,
    T.team_id,
    T.created_by_id,
    T.version,
    type_coerce(T.tags, Text).label("tags"),
    type_coerce(T.custom_fields, Text).label("custom_fields"),
    T.first_responded_at,
    T.resolved_at,
    T.closed_at,
    T.created_at,
    T.updated_at,
]
NAMES = [column.name for column in COLUMNS]
FRAGMENTS = ("tags", "custom_fields")
MOMENTS = ("first_responded_at", "resolved_at", "closed_at", "created_at", "updated_at")

KEY = (
    select(ApiKey.id, ApiKey.rate_limit, ApiKey.expires_at, User.id.label("user_id"), User.organization_id)
    .join(User, User.id == ApiKey.user_id)
    .where(ApiKey.digest == bindparam("digest"), ApiKey.revoked_at.is_(None), User.is_active.is_(True))
)
GET = select(*COLUMNS).where(T.id == bindparam("id"), T.organization_id == bindparam("organization_id"))
CONTACT = select(Contact.id).where(
    Contact.id == bindparam("id"), Contact.organization_id == bindparam("organization_id")
)
NUMBER = (
    update(Counter)
    .where(Counter.organization_id == bindparam("of"), Counter.name == "tickets")
    .values(value=Counter.value + 1)
    .returning(Counter.value)
)
INSERT = insert(Ticket.__table__).values(
    {
        name: bindparam(name, type_=Text() if name in FRAGMENTS else None)
        for name in NAMES
        if name not in {"id", "first_responded_at", "resolved_at", "closed_at"}
    }
)


class Caller:
    __slots__ = ("organization_id", "user_id")

    def __init__(self, user_id: int, organization_id: int) -> None:
        self.user_id = user_id
        self.organization_id = organization_id


async def get_caller(request: Request) -> Caller:
    key = request.headers.get("x-api-key")
    if key is None:
        raise HTTPException(401, "Send an API key.", headers={"www-authenticate": "Bearer"})
    found = reader.execute(KEY, {"digest": hashlib.sha256(key.encode()).digest()}).first()
    if found is None or (found.expires_at is not None and found.expires_at <= time.time() * 1000):
        raise HTTPException(401, "The API key is not valid.", headers={"www-authenticate": "Bearer"})
    if not limiter.hit(limit_of(found.rate_limit or "5/second"), str(found.id)):
        raise HTTPException(429, "The limit is used up.")
    return Caller(found.user_id, found.organization_id)


CallerDep = Annotated[Caller, Depends(get_caller)]


def show(ticket: dict[str, Any]) -> dict[str, Any]:
    for name in FRAGMENTS:
        ticket[name] = orjson.Fragment(ticket[name])
    for name in MOMENTS:
        if ticket[name] is not None:
            ticket[name] = rfc3339(ticket[name])
    return ticket


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


@app.get("/api/v1/tickets/{ticket_id}")
async def get_ticket(ticket_id: int, caller: CallerDep) -> Response:
    found = reader.execute(GET, {"id": ticket_id, "organization_id": caller.organization_id}).first()
    if found is None:
        raise HTTPException(404, "There is no such ticket.")
    return answer(show(dict(zip(NAMES, found, strict=True))), headers={"etag": f'"{found.version}"'})


@functools.lru_cache(maxsize=256)
def page_query(statuses: bool, priorities: bool, assignees: bool, unassigned: bool, sort: str, cursor: bool) -> Any:  # noqa: FBT001
    query = select(*COLUMNS).where(T.organization_id == bindparam("organization_id"))
    if statuses:
        query = query.where(T.status.in_(bindparam("status", expanding=True)))
    if priorities:
        query = query.where(T.priority.in_(bindparam("priority", expanding=True)))
    if assignees or unassigned:
        among = T.assignee_id.in_(bindparam("assignee", expanding=True))
        query = query.where(or_(among, T.assignee_id.is_(None)) if unassigned else among)
    column = T[sort.removeprefix("-")]
    if cursor:
        here, there = tuple_(column, T.id), tuple_(bindparam("key"), bindparam("after"))
        query = query.where(here < there if sort.startswith("-") else here > there)
    order = (column.desc(), T.id.desc()) if sort.startswith("-") else (column, T.id)
    return query.order_by(*order).limit(bindparam("limit"))


@app.get("/api/v1/tickets")
async def list_tickets(
    caller: CallerDep,
    sort: Sort = "-created_at",
    limit: Limit = 50,
    cursor: str | None = None,
    status: Annotated[list[Status] | None, Few] = None,
    priority: Annotated[list[Priority] | None, Few] = None,
    assigned_to: Annotated[list[Assignee] | None, Few] = None,
) -> Response:
    bound: dict[str, Any] = {"organization_id": caller.organization_id, "limit": limit + 1}
    if status:
        bound["status"] = status
    if priority:
        bound["priority"] = priority
    if assigned_to:
        bound["assignee"] = [caller.user_id if word == "me" else int(word) for word in assigned_to if word != "none"]
    if cursor is not None:
        bound["key"], bound["after"] = orjson.loads(base64.urlsafe_b64decode(cursor))
    unassigned = assigned_to is not None and "none" in assigned_to
    query = page_query(bool(status), bool(priority), bool(assigned_to), unassigned, sort, cursor is not None)
    rows = reader.execute(query, bound).all()
    page, more = rows[:limit], len(rows) > limit
    following = None
    if more:
        last = page[-1]
        following = base64.urlsafe_b64encode(orjson.dumps([getattr(last, sort.removeprefix("-")), last.id])).decode()
    data = [show(dict(zip(NAMES, row, strict=True))) for row in page]
    return answer({"data": data, "next_cursor": following, "prev_cursor": None})


@app.post("/api/v1/tickets", status_code=201)
async def create_ticket(body: TicketCreate, caller: CallerDep) -> Response:
    now = time.time_ns() // 1_000_000
    writer.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        bound = {"id": body.contact_id, "organization_id": caller.organization_id}
        if writer.execute(CONTACT, bound).first() is None:
            raise HTTPException(404, "There is no such contact.")  # noqa: TRY301
        ticket = {
            **body.model_dump(),
            "organization_id": caller.organization_id,
            "number": writer.execute(NUMBER, {"of": caller.organization_id}).scalar_one(),
            "status": "open",
            "source": "api",
            "created_by_id": caller.user_id,
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
        for name in FRAGMENTS:
            ticket[name] = orjson.dumps(ticket[name]).decode()
        ticket["id"] = writer.execute(INSERT, ticket).inserted_primary_key[0]
        writer.exec_driver_sql("COMMIT")
    except BaseException:
        writer.exec_driver_sql("ROLLBACK")
        raise
    ticket |= {"first_responded_at": None, "resolved_at": None, "closed_at": None}
    return answer(show(ticket), 201, {"location": f"/api/v1/tickets/{ticket['id']}", "etag": '"1"'})
