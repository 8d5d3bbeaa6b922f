"""Many changes of tickets in one call: each by the rules of a single one, for itself or all of them or none."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tickets import wire
from tickets.db import Row, Transaction
from tickets.domain import access, lifecycle, records
from tickets.domain.access import Principal
from tickets.errors import Forbidden, InputError, NotFound, PayloadTooLarge, Problem

MOST_BYTES = 8_000_000
"""Of tickets in one call, each as it was and as it is: its events and its answer are made of that, and others wait."""

MOST_COMMENTS = 5_000
"""Of tickets that are deleted or get another contact, for the same reason."""

_OF_OPERATION = ("/op", "/id", "/version")
"""What a fault can point at beside the patch."""


class Outcome(NamedTuple):
    """What became of one operation.

    Attributes:
        id: the ticket it was about.
        ticket: as it is now, when it was changed.
        problem: why nothing was done, when it failed; neither, when it was deleted.
    """

    id: int
    ticket: Row | None = None
    problem: Problem | None = None

    @property
    def status(self) -> int:
        """The status of the answer that the operation would have had by itself."""
        if self.problem is not None:
            return self.problem.status
        return 204 if self.ticket is None else 200


def run(
    tx: Transaction, caller: Principal, operations: Sequence[wire.TicketBulkOperation], *, atomic: bool
) -> list[Outcome]:
    """Do operations in their order, each behind a savepoint of its own.

    Args:
        tx: where to write.
        caller: who asks.
        operations: what to do.
        atomic: whether the first failure ends all of it.

    Returns:
        What became of each operation, in their order.

    Raises:
        Problem: of the first operation that failed, when `atomic`; whoever opened the transaction undoes it.
    """
    outcomes: list[Outcome] = []
    size = said = 0
    for place, operation in enumerate(operations):
        try:
            with tx.savepoint():
                before = _ticket(tx, caller, operation)
                total = _with(size, before)
                said = _with_comments(tx, said, operation, before)
                after = _do(tx, caller, operation, before)
                size = total if after is None else total + _size(after)
                outcomes.append(Outcome(operation["id"], ticket=after))
        except Problem as problem:
            if problem.status >= 500:  # noqa: PLR2004 - the disk failed, and with it the whole transaction
                raise
            problem.errors = [_within(error, place) for error in problem.errors]
            if atomic:
                problem.detail = (
                    f"Nothing was changed: the operation on ticket {operation['id']} fails. {problem.detail}"
                )
                raise
            outcomes.append(Outcome(operation["id"], problem=problem))
    return outcomes


def _ticket(tx: Transaction, caller: Principal, operation: wire.TicketBulkOperation) -> Row:
    """Return the ticket of an operation, as the caller has seen it."""
    if operation["op"] == "delete" and caller.role != "admin":
        detail = f"Only an admin can delete tickets. Your role is {caller.role}."
        raise Forbidden(detail, errors=[InputError("/op", detail)])
    try:
        ticket = access.ticket(tx, caller, operation["id"])
    except NotFound as error:
        raise NotFound(error.detail, errors=[InputError("/id", error.detail)]) from error
    records.expect(ticket, operation["version"])
    return ticket


def _do(tx: Transaction, caller: Principal, operation: wire.TicketBulkOperation, ticket: Row) -> Row | None:
    if operation["op"] == "update":
        return lifecycle.change(tx, caller, ticket, operation["patch"])
    lifecycle.remove(tx, caller, ticket)
    return None


def _size(ticket: Row) -> int:
    return len(msgspec.json.encode(ticket))


def _with(size: int, ticket: Row) -> int:
    """Add a ticket to those of a call; the first is never too large.

    Raises:
        PayloadTooLarge: they are too large together.
    """
    return _added(
        size, _size(ticket), MOST_BYTES, f"The tickets of this request come to more than {MOST_BYTES / 1e6:g} MB"
    )


def _with_comments(tx: Transaction, said: int, operation: wire.TicketBulkOperation, ticket: Row) -> int:
    """Add the comments that an operation concerns to those of a call; those of the first are never too many.

    Raises:
        PayloadTooLarge: they are too many together.
    """
    if operation["op"] == "update" and "contact_id" not in operation["patch"]:
        return said
    return _added(
        said,
        lifecycle.comments_of(tx, ticket, MOST_COMMENTS),
        MOST_COMMENTS,
        f"The tickets that this request deletes, or gives to other contacts, have more than {MOST_COMMENTS:,} comments",
    )


def _added(before: int, more: int, most: int, problem: str) -> int:
    """Add up what the operations of a call come to; the first alone is never too much.

    Raises:
        PayloadTooLarge: it is more than `most` together.
    """
    total = before + more
    if before and total > most:
        detail = f"{problem}; send this operation, and those after it, in another request."
        raise PayloadTooLarge(detail, errors=[InputError("/id", detail)])
    return total


def _within(error: InputError, place: int) -> InputError:
    """Let a fault point into the operation that it is of."""
    part = "" if error.pointer in _OF_OPERATION else "/patch"
    return error._replace(pointer=f"/operations/{place}{part}{error.pointer}")
