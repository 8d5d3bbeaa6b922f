"""What stands beside the ids of tickets, in as many statements however many tickets there are.

Another thing is one more entry in `_EXPANSIONS`, and in the contract one more value of TicketExpansion and one more
property of Ticket.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, bindparam, func, inspect, select
from sqlalchemy.orm import aliased

from tickets.db import Row, Statement, Transaction
from tickets.domain.access import Principal
from tickets.domain.history import entries_of
from tickets.domain.slices import MOST_TEXT
from tickets.errors import InputError, InsufficientScope, InvalidRequest
from tickets.models import Base, Comment, Contact, Event, SlaPolicy, Team, Ticket, User
from tickets.shapes.comments import comment as show_comment
from tickets.shapes.contacts import contact as show_contact
from tickets.shapes.events import history_entry as show_entry
from tickets.shapes.sla_policies import sla_policy as show_policy
from tickets.shapes.teams import team as show_team
from tickets.shapes.users import user as show_user

MOST_ALONE = 50
"""Comments, or entries of its history, beside a ticket that is shown alone."""
MOST_IN_LIST = 10
"""The same beside each ticket of a list."""
MOST_ROWS = 50
"""Tickets on a page with comments or history."""
MOST_COUNTED_TEXT = 5 * MOST_TEXT
"""Characters of comments, or of history, beside the rows of a page that is counted, and cannot end early."""

_ids = func.json_each(bindparam("ids")).table_valued("value", name="wanted")
_Found = Mapping[int, Any]


class _Wanted(NamedTuple):
    """For what to find something.

    Attributes:
        tickets: it belongs to them.
        most: so many of each.
        text: characters after which there is enough.
    """

    tickets: Sequence[Row]
    most: int
    text: int


class _Expansion(NamedTuple):
    """What can stand beside a ticket.

    Attributes:
        scope: what a key needs to read it.
        fetch: finds it for tickets, so many of each at most, and tells for how many of the tickets it has.
        many: whether there can be many of it for each ticket.
        place: the object of the ticket that it is put in, and the name it has there; the ticket itself and the name
            of the expansion when None.
    """

    scope: str
    fetch: "Callable[[Transaction, Principal, _Wanted], tuple[_Found, int]]"
    many: bool = False
    place: tuple[str, str] | None = None


class Beside:
    """What was asked for to stand beside tickets.

    Args:
        caller: who asked.
        names: of expansions.

    Raises:
        InsufficientScope: their key may not read it.
    """

    def __init__(self, caller: Principal, names: Iterable[str]) -> None:
        self._caller = caller
        self._asked = {name: _EXPANSIONS[name] for name in names}
        for name, expansion in self._asked.items():
            if expansion.scope not in caller.scopes and "*" not in caller.scopes:
                detail = f"expand={name} needs a key with the scope {expansion.scope}; make one that has it."
                raise InsufficientScope(detail, errors=[InputError("/expand", detail, "query")])

    def expect(self, parameter: str, rows: int) -> None:
        """Let nobody ask for more tickets than there can be on a page.

        Raises:
            InvalidRequest: they did, by this parameter.
        """
        if rows > MOST_ROWS and any(each.many for each in self._asked.values()):
            detail = f"is {MOST_ROWS} at most together with expand=comments or history; ask for more pages instead"
            raise InvalidRequest(f"{parameter} {detail}.", errors=[InputError(f"/{parameter}", detail, "query")])

    def put_all(self, tx: Transaction, tickets: Sequence[Row], shown: Sequence[Any], parameter: str) -> None:
        """Put it beside all tickets of a page that is counted, and so cannot end early.

        Raises:
            InvalidRequest: it comes to too much; the problem points at the parameter that says how many rows there are.
        """
        if self.put(tx, tickets, shown, text=MOST_COUNTED_TEXT) < len(tickets):
            detail = (
                f"is too high: what stands beside the tickets of this page comes to more than {MOST_COUNTED_TEXT:,} "
                "characters; ask for fewer, or by cursor, whose pages end by themselves"
            )
            raise InvalidRequest(f"{parameter} {detail}.", errors=[InputError(f"/{parameter}", detail, "query")])

    def put(
        self,
        tx: Transaction,
        tickets: Sequence[Row],
        shown: Sequence[Any],
        *,
        most: int = MOST_IN_LIST,
        text: int = MOST_TEXT,
    ) -> int:
        """Put it there, and tell for how many of the tickets: what is long ends a page early.

        Args:
            tx: where to read.
            tickets: those that are shown; the first of them in any case.
            shown: what is shown of each of them.
            most: comments, or entries of the history, of each ticket.
            text: characters of each thing after which there is enough.
        """
        for name, expansion in self._asked.items():
            found, number = expansion.fetch(tx, self._caller, _Wanted(tickets, most, text))
            tickets, shown = tickets[:number], shown[:number]
            for ticket, one in zip(tickets, shown, strict=True):
                if expansion.place is None:
                    one[name] = found[ticket.id]
                else:
                    place, member = expansion.place
                    one[place][member] = found[ticket.id]
        return len(tickets)


def beside(caller: Principal, names: Sequence[str] | None) -> Beside | None:
    """Read the parameter ``expand``."""
    return None if names is None else Beside(caller, names)


def _encoded(ids: Iterable[int | None]) -> str:
    return msgspec.json.encode(sorted({one for one in ids if one is not None})).decode()


def _named(
    model: type[Base], column: str, scope: str, show: Callable[[Row], Any], place: tuple[str, str] | None = None
) -> _Expansion:
    """Make the expansion of a column of tickets that names something."""
    table = model.__table__
    statement = Statement(select(*table.c).where(table.c.id.in_(select(_ids.c.value))), raw_json=True)

    def fetch(tx: Transaction, caller: Principal, wanted: _Wanted) -> tuple[_Found, int]:
        named = [getattr(ticket, column) for ticket in wanted.tickets]
        rows = tx.all(statement, ids=_encoded(named))
        # A user may not ask for contacts, users, teams and policies; those of their tickets they know by name.
        found = {row.id: show(row) if caller.is_staff else {"id": row.id, "name": row.name} for row in rows}
        return {ticket.id: found.get(one) for ticket, one in zip(wanted.tickets, named, strict=True)}, len(named)

    return _Expansion(scope, fetch, place=place)


class _Last(NamedTuple):
    """Finds the last few rows of a table for each of some tickets.

    Attributes:
        lengths: selects the ticket, the id and the length of each of the rows, in any order.
        rows: selects some of these rows by their ids, in any order.
    """

    lengths: Statement
    rows: Statement


def _last(columns: Iterable[Any], one: Any, text: Any, *conditions: ColumnElement[bool], order: Sequence[Any]) -> _Last:
    """Make what finds the last few rows of a table for each of some tickets.

    Args:
        columns: of the rows.
        one: an alias of the table.
        text: the column that may be long.
        conditions: on the alias.
        order: which rows are the last, in columns of the alias.
    """
    last = select(one.id).where(one.ticket_id == _ids.c.value, *conditions)
    last = last.order_by(*(column.desc() for column in order)).limit(bindparam("most")).correlate(_ids)
    model = inspect(one).mapper.class_
    lengths = select(model.ticket_id, model.id, func.length(text).label("length"))
    return _Last(
        Statement(lengths.join_from(_ids, model, model.id.in_(last))),
        Statement(select(*columns).where(model.id.in_(select(_ids.c.value)))),
    )


_comment, _event = aliased(Comment), aliased(Event)
_in_order = (_comment.created_at, _comment.id)
_of_comments = tuple(Comment.__table__.c)
_of_events = (Event.id, Event.seq, Event.ticket_id, Event.actor_type, Event.actor_id, Event.actor_name)
_COMMENTS = _last(_of_comments, _comment, Comment.body, order=_in_order)
_PUBLIC_COMMENTS = _last(_of_comments, _comment, Comment.body, _comment.visibility == "public", order=_in_order)
_HISTORY = _last(
    (*_of_events, Event.changes, Event.created_at),
    _event,
    Event.changes,
    _event.is_history.is_(True),
    order=(_event.seq,),
)


def _of_each(tx: Transaction, last: _Last, wanted: _Wanted) -> tuple[list[Row], int]:
    """Read the last rows of each ticket up to where they come to too much, and return of how many tickets they are all.

    The lengths are read first: rows that come in the order of the tickets would have to be sorted, however long all of
    them are together.
    """
    rows_of: defaultdict[int, list[Row]] = defaultdict(list)
    tickets = [ticket.id for ticket in wanted.tickets]
    for row in tx.all(last.lengths, ids=msgspec.json.encode(tickets).decode(), most=wanted.most):
        rows_of[row.ticket_id].append(row)
    ids: list[int] = []
    number, left = 0, wanted.text
    for ticket_id in tickets:
        if left < 0 and rows_of[ticket_id]:
            break
        ids += [row.id for row in rows_of[ticket_id]]
        left -= sum(row.length for row in rows_of[ticket_id])
        number += 1
    return tx.all(last.rows, ids=_encoded(ids)) if ids else [], number


def _comments(tx: Transaction, caller: Principal, wanted: _Wanted) -> tuple[_Found, int]:
    rows, number = _of_each(tx, _COMMENTS if caller.is_staff else _PUBLIC_COMMENTS, wanted)
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.created_at, row.id)):
        found[row.ticket_id].append(show_comment(row))
    return found, number


def _history(tx: Transaction, _: Principal, wanted: _Wanted) -> tuple[_Found, int]:
    events, number = _of_each(tx, _HISTORY, wanted)
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.seq):
        found[event.ticket_id] += map(show_entry, entries_of(event))
    return {ticket.id: found[ticket.id][-wanted.most :] for ticket in wanted.tickets}, number


_EXPANSIONS: Mapping[str, _Expansion] = {
    "contact": _named(Contact, Ticket.contact_id.key, "contacts:read", show_contact),
    "assignee": _named(User, Ticket.assignee_id.key, "users:read", show_user),
    "team": _named(Team, Ticket.team_id.key, "teams:read", show_team),
    "comments": _Expansion("comments:read", _comments, many=True),
    "history": _Expansion("tickets:read", _history, many=True),
    "sla": _named(SlaPolicy, Ticket.sla_policy_id.key, "sla_policies:read", show_policy, ("sla", "policy")),
}
