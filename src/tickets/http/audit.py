"""The audit log's rows: those of writes in the write's own transaction, all others by the batch.

An audit that fails never breaks a request: it is logged and counted.
"""

import asyncio
import contextlib
import time
from collections import deque
from functools import partial
from itertools import islice
from typing import Any

import structlog
from sqlalchemy import bindparam, insert, select

from tickets import clock
from tickets.db import Statement, Transaction
from tickets.errors import Problem, ServiceUnavailable, forget_origin
from tickets.http import redaction
from tickets.http.exchange import Exchange, Scope
from tickets.http.transaction import Writer
from tickets.models import AuditEntry, Organization
from tickets.settings import Settings

BITE = 200
"""Most rows of one piece: they are written on the event loop, which other requests wait for meanwhile."""
MAX_WAITING = 10_000
"""Most rows that wait; beyond, the oldest are lost."""
EARLY = 1_000
"""With so many rows waiting, the next flush does not wait for its time."""

MAX_REFUSED = 300
"""Most characters that are kept of path, query and agent of a request that was refused."""
MAX_REFUSED_BODY = 2_000
"""Most characters that are kept of its body if the caller is known, otherwise `MAX_REFUSED`."""

_REFUSED = 400
_INTERNAL_ERROR = 500

_STORE = Statement(
    insert(AuditEntry).values(
        {
            **{name: bindparam(name) for name in AuditEntry.__table__.c.keys() if name != "id"},  # noqa: SIM118 - a collection of columns, no dictionary
            # Whose organization was deleted meanwhile still asked.
            "organization_id": select(Organization.id)
            .where(Organization.id == bindparam("organization_id"), Organization.deleted_at.is_(None))
            .scalar_subquery(),
        }
    )
)

_PLAIN: dict[str, Any] = {
    **dict.fromkeys(AuditEntry.__table__.c.keys()),
    **dict.fromkeys(("method", "path", "query", "ip", "request_id"), ""),
    **dict.fromkeys(("status", "duration_ms", "created_at"), 0),
}
"""A minimal row: when the database does not store even this one, the fault is not in the other rows."""

log = structlog.get_logger("tickets.audit")


class _UndoneError(Exception):
    """Ends a savepoint whose work shall not stay."""


class Audit:
    """Writes the audit log.

    Args:
        settings: whether, and how long rows may wait.
        writer: what writes.

    Attributes:
        lost: rows that were given up: too many waited, or the database did not take them until the end.
        failures: how often the database did not take rows.
    """

    def __init__(self, settings: Settings, writer: Writer) -> None:
        self.lost = 0
        self.failures = 0
        self._is_on = settings.audit == "on"
        self._pause = settings.audit_flush_seconds
        self._writer = writer
        self._waiting: deque[dict[str, Any]] = deque()
        self._wake = asyncio.Event()
        self._end = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush."""
        if self._is_on:
            self._flusher = asyncio.create_task(self._flush_for_ever())

    async def close(self) -> None:
        """Write what waits, as far as the database takes it; the writer must be open still."""
        if self._flusher is not None:
            self._end.set()
            self._wake.set()
            await self._flusher
            await self._flush()
        self._give_up(len(self._waiting))

    def store(self, tx: Transaction, scope: Scope, exchange: Exchange, status: int) -> bool:
        """Write the row of a request in its own transaction; tells whether it is there.

        Raises:
            ServiceUnavailable: the transaction itself is undone.
        """
        if not self._is_on:
            return True
        try:
            tx.run(_STORE, **_row(scope, exchange, status))
        except Exception as error:
            if not tx.is_open:
                raise
            self._failed(error)
            return False
        return True

    def note(self, scope: Scope, exchange: Exchange, status: int) -> None:
        """Have the row of a request written soon."""
        if not self._is_on:
            return
        try:
            row = _row(scope, exchange, status)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request has its answer
            self._failed(error)
            self.lost += 1
            return
        self._waiting.append(row)
        if len(self._waiting) >= EARLY:
            self._wake.set()
            self._give_up(len(self._waiting) - MAX_WAITING)

    def _give_up(self, count: int) -> None:
        if count > 0:
            for _ in range(count):
                self._waiting.popleft()
            self.lost += count

    def _put_aside(self, row: dict[str, Any], error: BaseException) -> None:
        """Give up a row that cannot be stored, and log all of it that is no text of the request."""
        self.lost += 1
        shown = {name: row[name] for name in ("request_id", "operation", "status", "user_id", "organization_id")}
        log.error("audit row cannot be stored", error=type(error).__name__, **shown)

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        # Other errors may quote what is to be stored.
        said = error.detail if isinstance(error, Problem) else type(error).__name__
        log.error("audit failed", error=said, waiting=len(self._waiting), lost=self.lost)

    async def _flush_for_ever(self) -> None:
        while not self._end.is_set():
            if await self._flush():
                await self._pause_until(self._wake)
                self._wake.clear()
            else:
                await self._pause_until(self._end)

    async def _pause_until(self, event: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await event.wait()

    async def _flush(self) -> bool:
        """Write what waits now, piece by piece; tells whether the database took it."""
        # Not what comes meanwhile: that would be many small commits, each dearer than all of its rows.
        due = len(self._waiting)
        while due > 0 and self._waiting:
            piece = list(islice(self._waiting, min(due, BITE)))
            due -= len(piece)
            try:
                unstorable = await self._writer.run(partial(_store_all, rows=piece))
            except Exception as error:  # noqa: BLE001 - whatever it is, the rows wait for the next time
                self._failed(error)
                return False
            for row, reason in unstorable:
                self._put_aside(row, reason)
            # What waited too long may be gone meanwhile, from the same end.
            for row in piece:
                if self._waiting and self._waiting[0] is row:
                    self._waiting.popleft()
        return True


def _store_all(tx: Transaction, rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], BaseException]]:
    """Store rows; returns those that cannot be stored, with the reason of each.

    Raises:
        ServiceUnavailable: the database takes none at the moment.
    """
    try:
        with tx.savepoint():
            tx.many(_STORE, rows)
    except ServiceUnavailable:
        raise
    except Exception:
        unstorable = [(row, error) for row in rows if (error := _store(tx, row)) is not None]
        if len(unstorable) == len(rows) and not _takes_rows(tx):
            raise
        return unstorable
    return []


def _takes_rows(tx: Transaction) -> bool:
    """Tell whether the database would store a row that has nothing unusual."""
    try:
        with tx.savepoint():
            tx.run(_STORE, **_PLAIN)
            raise _UndoneError  # noqa: TRY301 - it ends the savepoint
    except _UndoneError:
        return True
    except Exception:  # noqa: BLE001 - whatever it is, it is no fault of the rows
        return False


def _store(tx: Transaction, row: dict[str, Any]) -> BaseException | None:
    try:
        with tx.savepoint():
            tx.run(_STORE, **row)
    except ServiceUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this row's alone
        forget_origin(error)
        return error
    return None


def _row(scope: Scope, exchange: Exchange, status: int) -> dict[str, Any]:
    took = round((time.perf_counter() - exchange.started) * 1000)
    query = scope["query_string"]
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), None)
    row = {
        "organization_id": exchange.organization_id,
        "user_id": exchange.user_id,
        "api_key_id": exchange.api_key_id,
        "session_id": exchange.session_id,
        "method": scope["method"][:40],
        "operation": exchange.operation_id or _operation(scope),
        "path": exchange.path,
        "query": redaction.query(query) if query else "",
        "status": status or _INTERNAL_ERROR,
        "ip": exchange.client[:64],
        "user_agent": None if agent is None else redaction.agent(agent),
        "duration_ms": took,
        "body": None if exchange.body is None else redaction.body(exchange.body, exchange.body_size),
        "request_id": exchange.request_id,
        "created_at": clock.now() - took,
    }
    if row["status"] >= _REFUSED:
        body = MAX_REFUSED if exchange.user_id is None else MAX_REFUSED_BODY
        for name, most in (("path", MAX_REFUSED), ("query", MAX_REFUSED), ("user_agent", MAX_REFUSED), ("body", body)):
            row[name] = row[name] and redaction.cut(row[name], most)
    return row


def _operation(scope: Scope) -> str | None:
    """Name the operation of a request that was refused before it reached it."""
    routing = scope["extensions"].get("connexion_routing") or {}
    found: str | None = routing.get("operation_id")
    return found
