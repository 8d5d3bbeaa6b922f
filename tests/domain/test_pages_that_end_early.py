"""A page ends early where its rows are long; the walk goes on, and shows each row once and in order, both ways."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Boolean, CheckConstraint, LargeBinary, Table, Text, bindparam, insert

from tickets.db import Connection, Statement, Transaction
from tickets.domain import (
    event_listing,
    event_texts,
    expansion,
    history,
    indexing,
    listing,
    listings,
    search,
    searchable,
)
from tickets.domain.access import Principal
from tickets.domain.history import HISTORY
from tickets.domain.listing import Listing
from tickets.domain.search import SEARCH
from tickets.domain.slices import Position, Slice
from tickets.http.context import Call
from tickets.http.pagination import Cursors
from tickets.models import Base, Comment, Counter, Event

BOUND = 1_000
"""Characters after which a page ends, in here."""
OF = 1
"""The id of the organization, and of whatever else a row names."""

LISTS = {name: each for name, each in vars(listings).items() if isinstance(each, Listing)}
SEARCHED = [name for name, each in LISTS.items() if isinstance(each, searchable.SearchableListing)]
# Lists that read two tables have a row of the second for each row.
SECOND = {"TEAM_MEMBERS": "team_members", "TAGGED_TICKETS": "ticket_tags"}
ASKED: Mapping[str, Mapping[str, Any]] = {
    "ORGANIZATIONS": {},
    "AUDIT_LOG_OF_ALL": {},
    "TEAM_MEMBERS": {"team_id": [OF]},
    "TAGGED_TICKETS": {"organization_id": [OF], "tag": ["vip"]},
    "COMMENTS_TO_CONTACT": {"organization_id": [OF], "own_contact_id": [OF]},
}
SORTS = [(name, sign + sort) for name, each in LISTS.items() for sort in each._sorts for sign in ("", "-")]

size = st.sampled_from([1, BOUND // 3, BOUND - 1, BOUND, BOUND + 1, 2 * BOUND, 30 * BOUND])
sizes = st.lists(size, min_size=1, max_size=9)
keys = st.lists(st.integers(1, 3), min_size=9, max_size=9)  # few, so that some rows share one
limits = st.integers(1, 5)
some = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages end soon, and few tickets be many: the walk is the same, and takes less."""
    monkeypatch.setattr(listing, "MOST_TEXT", BOUND)
    monkeypatch.setattr(history, "MOST_TEXT", BOUND)
    monkeypatch.setattr(event_listing, "MOST_TEXT", BOUND)
    monkeypatch.setattr(event_texts, "LONG", BOUND // 2)
    monkeypatch.setattr(search, "_MOST_READ", BOUND)
    monkeypatch.setattr(searchable, "_FEW", 3)
    monkeypatch.setattr(searchable, "_CHUNKS", (2, 4))


@pytest.fixture
def begin(connection: Connection) -> Callable[[], Transaction]:
    """Return what opens a transaction, and undoes the one before; its rows may name what is not there.

    The log of the organization is complete.
    """

    def begin() -> Transaction:
        connection.rollback()
        tx = connection.begin(write=True)
        tx._connection.execute("PRAGMA defer_foreign_keys=ON")
        store(tx, Counter.__table__, 1, name="events_purged", value=0)
        return tx

    return begin


@cache
def checks(table: Table, column: str) -> list[str]:
    """Return what the table says of the values that a column takes."""
    found = (str(each.sqltext) for each in table.constraints if isinstance(each, CheckConstraint))
    return [check for check in found if re.match(rf"(length\()?{column}\b", check)]


def fitting(column: Any, number: int) -> Any:
    """Make a value that a column takes, another for each number where that has to be."""
    if column.nullable and column.name != "organization_id":
        return None
    if column.foreign_keys or column.name == "organization_id":
        return OF
    if column.name in ("id", "seq", "number", "position"):
        return number
    for check in checks(column.table, column.name):
        if word := re.search(" = '([^']*)'", check):
            return word[1]
    for kind, made in ((JSON, {}), (Boolean, False), (LargeBinary, b"%032d" % number)):
        if isinstance(column.type, kind):
            return made
    return 1 if column.type.python_type is int else f"{column.name} {number}"


def store(tx: Transaction, table: Table, number: int, **values: Any) -> None:
    """Insert a row: with these values as far as it has the columns, and for the others with what fits."""
    row = {c.name: values[c.name] if c.name in values else fitting(c, number) for c in table.columns}
    tx.run(insertion(table), **row)


@cache
def insertion(table: Table) -> Statement:
    return Statement(insert(table).values({c.name: bindparam(c.name) for c in table.columns}))


def fill(tx: Transaction, name: str, sort: str, sizes: list[int], keys: list[int]) -> list[int]:
    """Fill a list with rows of some sizes, and return their ids in the order of the list."""
    shown, key = list(LISTS[name]._query.selected_columns), sort.removeprefix("-")
    # Where nothing in a row is long, as in an account, no page ends early, and the walk is as good a test.
    long = next((column for column in shown if isinstance(column.type, JSON | Text)), None)
    order = []
    for number, (size, value) in enumerate(zip(sizes, keys, strict=False), start=1):
        at: Any = {"seq": number, "position": number, "name": f"{value} {number}"}.get(key, value)
        values: dict[str, Any] = {key: at, "closed_at": at if name == "CLOSED_TICKETS" else None}
        if long is not None:
            values[long.name] = {"text": "x" * size} if isinstance(long.type, JSON) else "x" * size
        store(tx, shown[0].table, number, **values)
        if name in SECOND:
            at_once = {"team_id": OF, "tag": "vip", "ticket_id": number, "user_id": number}
            store(tx, Base.metadata.tables[SECOND[name]], number, **at_once, **{key: at})
        order.append((at, number))
    if name == "COMMENTS_TO_CONTACT":
        store(tx, Base.metadata.tables["tickets"], OF)
    return [number for _, number in sorted(order, reverse=sort.startswith("-"))]


def walk(page: Callable[[Position | None], Slice]) -> tuple[list[Any], list[Any]]:
    """Walk a list to its end and back to its beginning, and return the rows of both ways."""
    found = page(None)
    there = list(found.rows)
    while found.next is not None:
        found = page(found.next)
        assert found.rows, "a cursor leads to an empty page"
        there += found.rows
    back = list(found.rows)
    while found.prev is not None:
        found = page(found.prev)
        assert found.rows, "a cursor leads to an empty page"
        back = found.rows + back
    return there, back


@some
@given(sizes=sizes, keys=keys, limit=limits)
@pytest.mark.parametrize(("name", "sort"), SORTS)
def test_every_list_shows_each_row_once_and_in_order_both_ways(begin, name, sort, sizes, keys, limit):
    tx = begin()
    expected = fill(tx, name, sort, sizes, keys)
    where = ASKED.get(name, {"organization_id": [OF]})
    there, back = walk(lambda place: LISTS[name].page(tx, where=where, sort=sort, limit=limit, position=place))
    assert [row.id for row in there] == expected
    assert [row.id for row in back] == expected


def raw(encoded: str | None) -> msgspec.Raw | None:
    return None if encoded is None else msgspec.Raw(encoded)


@settings(some, max_examples=100)
@given(events=st.lists(st.tuples(size, size), min_size=1, max_size=6), limit=limits)
@pytest.mark.parametrize("sort", ["seq", "-seq"])
def test_events_whose_texts_are_stored_once_do_so_too(begin, sort, events, limit):
    tx = begin()
    for seq, (one, other) in enumerate(events, start=1):
        shown = {"seq": seq, "one": "x" * one, "other": "y" * other, "last": None}
        data, texts = event_texts.take_out(tx, OF, shown, seq)
        store(tx, Event.__table__, seq, data=raw(data), texts=raw(texts), created_at=seq)
    expected = [
        msgspec.json.encode({"seq": seq, "one": "x" * one, "other": "y" * other, "last": None})
        for seq, (one, other) in enumerate(events, start=1)
    ]
    if sort == "-seq":
        expected.reverse()
    where = {"organization_id": [OF]}

    def page(position: Position | None) -> Slice:
        found = listings.EVENTS.page(tx, where=where, sort=sort, limit=limit, position=position)
        from_its_start = found.rows[::-1] if position is not None and position.backwards else found.rows
        assert sum(len(bytes(row.data)) for row in from_its_start[:-1]) <= BOUND
        return found

    there, back = walk(page)
    assert [bytes(row.data) for row in there] == expected
    assert [bytes(row.data) for row in back] == expected


@some
@given(sizes=sizes, keys=keys, limit=limits)
@pytest.mark.parametrize(("name", "sort"), [(name, sort) for name, sort in SORTS if name in SEARCHED])
def test_every_list_that_is_searched_does_so_too(begin, name, sort, sizes, keys, limit):
    tx = begin()
    expected = fill(tx, name, sort, sizes, keys)
    indexing.index(tx, 1, len(expected))
    where = {**ASKED.get(name, {"organization_id": [OF]}), "search": ["subject"]}
    there, back = walk(lambda place: LISTS[name].page(tx, where=where, sort=sort, limit=limit, position=place))
    assert [row.id for row in there] == expected
    assert [row.id for row in back] == expected


@some
@given(sizes=sizes, keys=keys, limit=limits, most_ranked=st.sampled_from([1_000, 4]))
def test_what_is_found_comes_once_both_ways(begin, sizes, keys, limit, most_ranked):
    tx = begin()
    ids = fill(tx, "TICKETS", "-created_at", sizes, keys)
    indexing.index(tx, 1, len(ids))
    where = {"organization_id": [OF], "q": ["subject"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MOST_RANKED", most_ranked)
        there, back = walk(lambda place: SEARCH.page(tx, where=where, sort="", limit=limit, position=place))
    assert sorted(row.id for row in there) == sorted(ids)
    assert [row.id for row in back] == [row.id for row in there]


@settings(some, max_examples=150)
@given(events=st.lists(st.lists(size, min_size=1, max_size=4), min_size=1, max_size=5), limit=limits)
@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
def test_the_history_shows_each_entry_once_and_in_order_both_ways(begin, sort, events, limit):
    tx = begin()
    expected = []
    for seq, fields in enumerate(events, start=1):
        changes = {f"field {place}": {"old": None, "new": "x" * size} for place, size in enumerate(fields)}
        store(tx, Base.metadata.tables["events"], seq, ticket_id=OF, is_history=True, changes=changes)
        expected += [(seq, field) for field in changes]
    if sort == "-created_at":
        expected.reverse()
    where = {"ticket_id": [OF]}
    there, back = walk(lambda place: HISTORY.page(tx, where=where, sort=sort, limit=limit, position=place))
    assert [(entry.seq, entry.field) for entry in there] == expected
    assert [(entry.seq, entry.field) for entry in back] == expected


@settings(some, max_examples=50)
@given(
    sizes=sizes,
    keys=keys,
    limit=limits,
    said=st.lists(st.lists(size.filter(bool), max_size=3), min_size=9, max_size=9),
    sort=st.sampled_from(["created_at", "-created_at"]),
)
def test_a_list_with_comments_and_history_beside_shows_each_row_once_both_ways(begin, sizes, keys, limit, said, sort):
    tx = begin()
    expected = fill(tx, "TICKETS", sort, sizes, keys)
    for ticket_id in expected:
        for place, size in enumerate(said[ticket_id - 1]):
            number, changes = 10 * ticket_id + place, {"field": {"old": None, "new": "x" * size}}
            store(tx, Comment.__table__, number, ticket_id=ticket_id, body="x" * size)
            store(tx, Event.__table__, number, ticket_id=ticket_id, is_history=True, changes=changes)
    caller = Principal(1, OF, "admin", "Ada", frozenset({"*"}))
    services: Any = SimpleNamespace(cursors=Cursors([b"secret"]))
    call = Call(services, caller, tx, None, "listTickets")  # type: ignore[arg-type]  # nothing is told of the request
    beside = expansion.beside(caller, ["comments", "history"])
    where = {"organization_id": [OF]}

    def page(cursor: Any) -> Slice:
        found = call.page(LISTS["TICKETS"], shown, where=where, sort=sort, limit=limit, cursor=cursor, beside=beside)
        return Slice(found["data"], found["next_cursor"], found["prev_cursor"])

    def shown(row: Any) -> dict[str, Any]:
        return {"id": row.id}

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(expansion.Beside.put.__kwdefaults__, "text", BOUND)
        there, back = walk(page)
    assert [ticket["id"] for ticket in there] == expected
    assert [ticket["id"] for ticket in back] == expected
    for ticket in there + back:
        lengths = said[ticket["id"] - 1]
        assert [len(comment["body"]) for comment in ticket["comments"]] == lengths
        assert [len(entry["new"]) for entry in ticket["history"]] == lengths
