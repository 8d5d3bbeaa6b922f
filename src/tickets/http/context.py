"""What a handler may ask for: the transaction it runs in and who is asking."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flask

from tickets.contract.document import Document
from tickets.db import Database, Row, Transaction
from tickets.domain import records
from tickets.domain.access import Principal, Rights
from tickets.domain.expansion import Beside
from tickets.domain.history import History
from tickets.domain.listing import Listing
from tickets.domain.one_time_secrets import OneTimeSecrets
from tickets.domain.search import Search
from tickets.domain.sessions import Opened
from tickets.domain.slices import Slice, end_of
from tickets.errors import InputError, InvalidRequest, PreconditionFailed, Problem
from tickets.http import problems
from tickets.http.exchange import Exchange
from tickets.http.fair_queue import Tenant
from tickets.http.pagination import MOST_ROWS, Cursors, binding
from tickets.http.pool import Pool
from tickets.http.rate_limit import FailedLogins
from tickets.http.transaction import Reader
from tickets.security import AccessTokens
from tickets.settings import Settings

MAX_OFFSET = 2**62
"""Far beyond any list, and within what a database takes."""

_WRITTEN = re.compile(r"""(?P<weak>W/)?(?P<quote>"?)(?P<version>[0-9]{1,19})(?P=quote)""", re.ASCII)


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the application."""

    settings: Settings
    database: Database
    document: Document
    cursors: Cursors
    tokens: AccessTokens
    one_time: OneTimeSecrets
    failed_logins: FailedLogins
    rights: Rights
    revision: str
    started_at: int


class Call:
    """One call of one operation.

    Args:
        services: what lives as long as the application.
        caller: who is asking; None where nobody has to say.
        transaction: an open one, or the reader that opens one when first needed.
        exchange: what is known of the request.
        operation_id: the operation.
        if_match: the If-Match header.

    Attributes:
        is_newer_than_version: whether what is shown differs from what was shown with the same version before, so that
            who has that version gets an answer all the same; a handler says so.
    """

    __slots__ = (
        "_caller",
        "_exchange",
        "_transaction",
        "if_match",
        "is_newer_than_version",
        "operation_id",
        "services",
    )

    def __init__(
        self,
        services: Services,
        caller: Principal | None,
        transaction: Transaction | Reader,
        exchange: Exchange,
        operation_id: str,
        if_match: str | None = None,
    ) -> None:
        self.services = services
        self._caller = caller
        self._transaction = transaction
        self._exchange = exchange
        self.operation_id = operation_id
        self.if_match = if_match
        self.is_newer_than_version = False

    @property
    def tx(self) -> Transaction:
        """The transaction; a read opens its snapshot here."""
        if isinstance(self._transaction, Reader):
            self._transaction = self._transaction.begin()
        return self._transaction

    @property
    def caller(self) -> Principal:
        """Who is asking."""
        if self._caller is None:
            raise LookupError(f"{self.operation_id} is public: it has no caller")
        return self._caller

    def describe(self, problem: Problem) -> dict[str, Any]:
        """Make the problem document of a failure that is only a part of the answer."""
        return problems.document(problem, path=self._exchange.path, request_id=self._exchange.request_id)

    def expect(self, record: Row, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Check that the caller has seen the record as it is (RFC 9110, 13.1.1), and return the changes.

        Args:
            record: as it is now.
            body: the changes, perhaps with the ``version`` they were made on.

        Raises:
            PreconditionFailed: If-Match names another version.
            VersionConflict: ``version`` in the body is not the present one.
        """
        changes = dict(body or {})
        version = changes.pop("version", record.version)
        if self.if_match is not None and not matches(self.if_match, record.version, weak=False):
            detail = _mismatch(self.if_match, record.version)
            raise PreconditionFailed(detail, errors=[InputError("/If-Match", detail, "header")])
        records.expect(record, version)
        return changes

    def page(
        self,
        listing: Listing | History | Search,
        show: Callable[[Row], Any],
        *,
        where: Mapping[str, Sequence[Any]],
        sort: str,
        limit: int,
        cursor: str | None,
        beside: Beside | None = None,
    ) -> Any:
        """Answer a list operation.

        Args:
            listing: what is listed.
            show: makes the contract's object of a row.
            where: the values of each filter.
            sort: a sort of the listing, with ``-`` for descending.
            limit: most rows.
            cursor: from the caller.
            beside: what to put beside what is shown.

        Returns:
            ``data``, ``next_cursor`` and ``prev_cursor``.

        Raises:
            InvalidRequest: the cursor is of another list, or the limit too high for what stands beside the rows.
        """
        bound = binding(self.operation_id, self.caller, where, sort)
        position = self.services.cursors.read(cursor, bound) if cursor is not None else None
        if beside is not None:
            beside.expect("limit", limit)
        found = listing.page(self.tx, where=where, sort=sort, limit=limit, position=position)
        data = [show(row) for row in found.rows]
        if beside is not None:
            # From where the page begins, since what is long ends it early.
            step = -1 if position is not None and position.backwards else 1
            number = beside.put(self.tx, found.rows[::step], data[::step])
            found, data = found.cut(number, sort, position), data[::step][:number][::step]
        return self._answer(found, data, bound)

    def leap(
        self,
        listing: Listing,
        show: Callable[[Row], Any],
        *,
        where: Mapping[str, Sequence[Any]],
        sort: str,
        limit: int,
        cursor: str | None = None,
        page: int | None = None,
        per_page: int | None = None,
        offset: int | None = None,
        beside: Beside | None = None,
    ) -> Any:
        """Answer a list operation that also takes the number of a page, or how many rows to leave out.

        Args:
            listing: what is listed.
            show: makes the contract's object of a row.
            where: the values of each filter.
            sort: a sort of the listing, with ``-`` for descending.
            limit: most rows.
            cursor: from the caller.
            page: from 1.
            per_page: most rows, instead of `limit`.
            offset: rows to leave out.
            beside: what to put beside what is shown.

        Returns:
            As `page`; with ``total`` unless it was asked for by cursor or from the start.

        Raises:
            InvalidRequest: the cursor is of another list, what was given cannot be combined, or there would be too much
                beside the rows.
        """
        given = {"page": page, "per_page": per_page, "offset": offset, "cursor": cursor}
        asked = [name for name, value in given.items() if value is not None]
        if asked in ([], ["cursor"]):
            return self.page(listing, show, where=where, sort=sort, limit=limit, cursor=cursor, beside=beside)
        if "cursor" in asked or ("offset" in asked and len(asked) > 1):
            detail = f"{' and '.join(asked)} cannot be combined: ask by page, by offset or by cursor"
            raise InvalidRequest(f"{detail}.", errors=[InputError(f"/{name}", detail, "query") for name in asked])
        size, bounded_by = min(per_page or limit, MOST_ROWS), "limit" if per_page is None else "per_page"
        if beside is not None:
            beside.expect(bounded_by, size)
        start = min(((page or 1) - 1) * size if offset is None else offset, MAX_OFFSET)
        found = listing.page(self.tx, where=where, sort=sort, limit=size, offset=start)
        total = listing.count(self.tx, where)
        if total and not found.rows:
            found = found._replace(prev=end_of(sort))
        data = [show(row) for row in found.rows]
        if beside is not None:
            beside.put_all(self.tx, found.rows, data, bounded_by)
        shown = self._answer(found, data, binding(self.operation_id, self.caller, where, sort))
        return {**shown, "total": total}

    def _answer(self, found: Slice, data: list[Any], bound: bytes) -> dict[str, Any]:
        cursors = self.services.cursors
        return {
            "data": data,
            "next_cursor": cursors.write(found.next, bound),
            "prev_cursor": cursors.write(found.prev, bound),
        }


def matches(header: str, version: int, *, weak: bool) -> bool:
    """Tell whether a list of entity tags names a version.

    Args:
        header: If-Match, which compares strongly, or If-None-Match, which compares weakly (RFC 9110, 13.1).
        version: the present one.
        weak: whether a tag that is marked as weak can match.
    """
    tags = (f'"{version}"', f'W/"{version}"') if weak else (f'"{version}"',)
    return header.strip() == "*" or any(part.strip() in tags for part in header.split(","))


def _mismatch(header: str, version: int) -> str:
    """Say why If-Match names no present version: it is none as it is written, or it is another one."""
    written = _WRITTEN.fullmatch(header.strip())
    if written is None or (written["weak"] is None and written["quote"]):
        return f"If-Match names another version; the present one is {version}. Read it and try again."
    asked = f'"{written["version"]}"'
    if written["weak"] is None:
        return f"If-Match has no quotes; put the version in quotes: {asked}."
    return f"A weak tag never matches If-Match (RFC 9110, 13.1.1): send it without W/, as {asked}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """A call in stages: its handler is a coroutine and opens each transaction itself, to do something else between.

    Attributes:
        services: what lives as long as the application.
        exchange: what is known of the request.
        status: of the answer when all goes well.
        reader: see `read`.
        run: see `write`.
        store: writes the audit row of the request with a status, and tells whether it is there.
        pool: see `compute`.
        tenant: whose work it is.
    """

    services: Services
    exchange: Exchange
    status: int
    reader: Reader
    run: Callable[[Callable[[Transaction], Any]], Awaitable[Any]]
    store: Callable[[Transaction, int], bool]
    pool: Pool
    tenant: Tenant

    @property
    def client(self) -> str:
        """The address that asks."""
        return self.exchange.client

    def signed_in(self, opened: Opened | None) -> Opened | None:
        """Note, for the log and the audit log, who it was that asked; call it where the session is written."""
        if opened is not None:
            self.exchange.user_id = opened.user_id
            self.exchange.organization_id = opened.organization_id
            self.exchange.session_id = opened.id
        return opened

    def read(self, work: Callable[[Transaction], Any]) -> Any:
        """Run short reads on one snapshot."""
        try:
            return work(self.reader.begin())
        finally:
            self.reader.end()

    async def write(self, work: Callable[[Transaction], Any], *, otherwise: Problem | None = None) -> Any:
        """Run work in a transaction, and return its result once it is on disk: the one write of a call, and its last.

        The audit row is in the same transaction, also that of a refusal: neither is ever there without the other, and
        each call takes one commit, whether or not there was something to change.

        Args:
            work: makes its statements and returns; a problem it raises undoes them.
            otherwise: what to answer when it returns nothing; then what it did is kept.

        Raises:
            Problem: of the work, or `otherwise`.
        """
        _expect_time_left()
        if self.exchange.audited:
            raise RuntimeError("a call writes once: its audit row is in its last transaction")

        def audited(tx: Transaction) -> tuple[Any, Problem | None, bool]:
            result, problem = None, None
            try:
                with tx.savepoint():
                    result = work(tx)
            except Problem as raised:
                if raised.status >= 500:  # noqa: PLR2004 - our own fault, which nothing in here outlives
                    raise
                problem = raised
            else:
                problem = otherwise if not result else None
            return result, problem, self.store(tx, self.status if problem is None else problem.status)

        try:
            result, problem, self.exchange.audited = await self.run(audited)
        except BaseException:
            self.exchange.user_id = self.exchange.organization_id = self.exchange.session_id = None
            raise
        if problem is not None:
            raise problem
        return result

    async def compute(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run what takes a core for long, outside any transaction.

        Raises:
            ServiceUnavailable: too many wait for that already.
        """
        _expect_time_left()
        return await self.pool.run(function, *args, tenant=self.tenant)


def _expect_time_left() -> None:
    """Begin nothing more for whom the service no longer waits; a write that had begun let no one tell them."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def stages() -> Stages:
    """Return the call being handled by a coroutine in this Flask application context."""
    call: Stages = flask.g.call
    return call


def current() -> Call:
    """Return the call being handled in this Flask application context."""
    call: Call = flask.g.call
    return call
