"""The index follows every change, and finds what somebody finds who reads everything."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import bindparam, select

from tickets.db import Connection, Database, Statement
from tickets.domain import (
    comments,
    contacts,
    entities,
    index_updates,
    indexing,
    lifecycle,
    merging,
    organizations,
    search,
    searchable,
    users,
)
from tickets.domain import listing as listing_module
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.domain.listings import tickets
from tickets.domain.words import words
from tickets.errors import InUse, InvalidTransition
from tickets.models import Comment, Ticket
from tickets.models.search import PLACES

WORDS = ("ink", "inkjet", "paper", "jam", "red", "to", "a", "No")
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
PARTS = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS).map(lambda word: f"{word[:2]}*"),
    st.lists(st.sampled_from(WORDS), min_size=2, max_size=2).map(lambda words: f'"{" ".join(words)}"'),
)
QUERIES = st.lists(PARTS, min_size=1, max_size=3).map(" ".join)
_COMMENT = Statement(select(*Comment.__table__.c).where(Comment.id == bindparam("id")))
_NEWEST = Statement(select(*Ticket.__table__.c).order_by(Ticket.id.desc()).limit(1))
TAGS = st.lists(st.sampled_from(("new", "vip")), unique=True)
VISIBILITIES = st.sampled_from(("public", "internal"))


def has(text: str, q: str) -> bool:
    """Tell whether a text of plain words has what is asked for, by nothing but regular expressions."""
    asked = [(part.strip('*"'), "" if part.endswith("*") else r"\b") for part in re.findall(r'"[^"]*"|\S+', q)]
    return all(re.search(rf"\b{words}{end}", text, re.IGNORECASE) for words, end in asked)


def terms(tx: Any) -> list[tuple[str, int, str, int]]:
    """Read all that the index knows: the words, and where each of them is."""
    vocabulary = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab('main', 'search_index', 'instance')"
    tx._connection.execute(vocabulary)
    tx._connection.execute("INSERT INTO search_index (search_index) VALUES ('integrity-check')")
    return sorted(tx._connection.execute("SELECT term, doc, col, offset FROM temp.terms"))


def expected_terms(tx: Any) -> list[tuple[str, int, str, int]]:
    """Make what the index has to know, of nothing but the documents and whose tickets they are, or were."""
    rows = tx._connection.execute(
        "SELECT d.place, d.subject, body, seen_by, is_public, t.organization_id, contact_id FROM search_documents AS d"
        " LEFT JOIN search_pending AS p ON p.place = d.place LEFT JOIN tickets AS t ON t.id = d.place >> 16"
    )
    found = []
    for place, subject, body, was_seen_by, is_public, of, contact_id in rows:
        seen_by = f"{of}c{contact_id}" if is_public else ""
        known = {"subject": subject, "body": body, "seen_by": seen_by if was_seen_by is None else was_seen_by}
        found += [(word, place, name, n) for name, text in known.items() for n, word in enumerate(text.split())]
    return sorted(found)


def expected_documents(tx: Any) -> list[tuple[Any, ...]]:
    """Make what the documents have to be where nothing is pending, of tickets and comments."""
    tickets = tx._connection.execute("SELECT id, NULL, 1, organization_id, subject, description FROM tickets")
    said = tx._connection.execute(
        "SELECT ticket_id, id, visibility = 'public', organization_id, '', body FROM comments"
    )
    return sorted(
        (ticket, comment or 0, is_public, *(" ".join(f"{of}x{word}" for word in words(text)) for text in texts))
        for ticket, comment, is_public, of, *texts in [*tickets, *said]
    )


def documents(tx: Any) -> list[tuple[Any, ...]]:
    rows = tx._connection.execute(
        "SELECT place >> 16, coalesce(comment_id, 0), is_public, subject, body FROM search_documents"
    )
    return sorted(rows)


def pending(tx: Any) -> list[tuple[Any, ...]]:
    """Read what is pending: of which ticket, and of which comment if it is one."""
    return tx._connection.execute("SELECT place >> 16, comment_id FROM search_pending ORDER BY 1, 2").fetchall()


def drain(tx: Any) -> None:
    """Do at once what waits for the end of the transaction, and for the job."""
    tx.settle()
    organization_id: int | None = 0
    while organization_id is not None:
        organization_id = index_updates.catch_up(tx, organization_id)
    assert pending(tx) == []


class Desk(RuleBasedStateMachine):
    """Two organizations work on their tickets in one transaction, some of it behind savepoints that are undone."""

    database: Database
    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.connection = Connection(self.database)
        self.tx = self.connection.begin(write=True)
        self.people: list[tuple[Principal, list[Any]]] = []

    @initialize()
    def found(self) -> None:
        for name in ("One", "Two"):
            made = organizations.create(self.tx, name=name)
            user = users.create(self.tx, SYSTEM, made.id, email=f"a@{made.slug}.example", name="A", role="admin")
            caller = Principal(user.id, made.id, "admin", "A", frozenset({"*"}))
            known = [
                contacts.create(self.tx, SYSTEM, made.id, email=f"{place}@{made.slug}.example", name="C")
                for place in range(2)
            ]
            self.people.append((caller, known))

    def teardown(self) -> None:
        try:
            self.in_the_end_nothing_is_pending()
        finally:
            self.end_for_good()

    def end_for_good(self) -> None:
        self.connection.rollback()
        self.connection.close()

    def read(self, model: Any, **where: Any) -> list[Any]:
        """Read rows past everything that is tested."""
        names = [column.name for column in model.__table__.c]
        condition = " AND ".join(f"{name} = :{name}" for name in where) or "1"
        sql = f"SELECT {', '.join(names)} FROM {model.__tablename__} WHERE {condition} ORDER BY id"
        rows = self.tx._connection.execute(sql, where)
        return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in rows]

    @rule(target=tickets, of=st.integers(0, 1), whose=st.integers(0, 1), subject=TEXTS, description=TEXTS, tags=TAGS)
    def raise_ticket(self, of: int, whose: int, subject: str, description: str, tags: list[str]) -> int:
        caller, known = self.people[of]
        fields = {"subject": subject, "description": description, "contact_id": known[whose].id, "tags": tags}
        return lifecycle.create(self.tx, caller, fields).id

    def ticket(self, ticket_id: int) -> tuple[Any, Any, list[Any]]:
        found = self.read(Ticket, id=ticket_id)
        if not found:
            return None, *self.people[0]
        [ticket] = found
        ticket = self.tx.one(comments._TICKET, id=ticket_id)
        return ticket, *next(each for each in self.people if each[0].organization_id == ticket.organization_id)

    @rule(ticket_id=tickets, body=TEXTS, visibility=VISIBILITIES)
    def say(self, ticket_id: int, body: str, visibility: str) -> None:
        ticket, caller, _ = self.ticket(ticket_id)
        if ticket is not None and lifecycle.goes_on_in(self.tx, ticket) is None:
            comments.create(self.tx, caller, ticket, body=body, visibility=visibility)

    @rule(ticket_id=tickets, subject=TEXTS, description=TEXTS, whose=st.integers(0, 1), more=st.sets(st.integers(0, 2)))
    def change(self, ticket_id: int, subject: str, description: str, whose: int, more: set[int]) -> None:
        ticket, caller, known = self.ticket(ticket_id)
        if ticket is not None:
            changes = [("subject", subject), ("description", description), ("contact_id", known[whose].id)]
            lifecycle.change(self.tx, caller, ticket, dict(changes[place] for place in more))

    @rule(place=st.integers(0, 9), body=TEXTS, visibility=VISIBILITIES, fields=st.sampled_from(("body", "visibility")))
    def edit(self, place: int, body: str, visibility: str, fields: str) -> None:
        there = self.read(Comment)
        if there:
            comment = self.tx.one(_COMMENT, id=there[place % len(there)].id)
            _, caller, _ = self.ticket(comment.ticket_id)
            comments.change(self.tx, caller, comment, {fields: {"body": body, "visibility": visibility}[fields]})

    @rule(place=st.integers(0, 9))
    def unsay(self, place: int) -> None:
        there = self.read(Comment)
        if there:
            entities.remove(self.tx, SYSTEM, Comment, self.tx.one(_COMMENT, id=there[place % len(there)].id))

    @rule(one=tickets, other=tickets)
    def merge(self, one: int, other: int) -> None:
        (ticket, caller, _), (into, whose, _) = self.ticket(one), self.ticket(other)
        if ticket is None or into is None or caller is not whose or one == other:
            return
        if ticket.merged_into_id is None and into.merged_into_id is None:
            merging.merge(self.tx, caller, ticket, into)

    @rule(ticket_id=tickets)
    def remove(self, ticket_id: int) -> None:
        ticket, _, _ = self.ticket(ticket_id)
        if ticket is not None:
            entities.remove(self.tx, SYSTEM, Ticket, ticket)

    @rule(ticket_id=tickets, body=TEXTS)
    def say_and_take_back(self, ticket_id: int, body: str) -> None:
        ticket, caller, _ = self.ticket(ticket_id)
        if ticket is None or lifecycle.goes_on_in(self.tx, ticket) is not None:
            return
        with suppress(InvalidTransition), self.tx.savepoint():
            comments.create(self.tx, caller, ticket, body=f"{body} undone")
            changed = lifecycle.change(self.tx, caller, self.ticket(ticket_id)[0], {"subject": "undone"})
            raise InvalidTransition(changed.subject)

    @rule(most=st.sampled_from((0, 25, 60, 200)))
    def end(self, most: int) -> None:
        """End a transaction that leaves to the job what is more than so many entries."""
        patched = pytest.MonkeyPatch()
        with patched.context() as patch:
            patch.setattr(index_updates, "IN_THREAD", most)
            self.tx.settle()

    @rule(steps=st.integers(1, 3))
    def work(self, steps: int) -> None:
        for _ in range(steps):
            index_updates.catch_up(self.tx)

    @precondition(lambda self: self.people)
    @rule(of=st.integers(0, 1), seen=st.sampled_from((None, 0, 1)), q=QUERIES, tags=TAGS)
    def look(self, of: int, seen: int | None, q: str, tags: list[str]) -> None:
        self.tx.settle()
        caller, known = self.people[of]
        where = {"organization_id": [caller.organization_id]}
        if seen is not None:
            where["own_contact_id"] = [known[seen].id]
        expected = self.brute(caller.organization_id, None if seen is None else known[seen].id, q)
        page = search.SEARCH.page(self.tx, where={**where, "q": [q]}, sort="", limit=200)
        assert sorted(row.id for row in page.rows) == expected
        assert all(row.found for row in page.rows)
        self.check_list(where, q, expected)
        tagged = {row.id for row in self.read(Ticket) if not tags or set(tags) & set(msgspec.json.decode(row.tags))}
        self.check_list({**where, **({"tag": tags} if tags else {})}, q, sorted(tagged & set(expected)))

    def check_list(self, where: dict[str, Any], q: str, expected: list[int]) -> None:
        where = {**where, "search": [q]}
        listing = tickets(where)
        listed = listing.page(self.tx, where=where, sort="-created_at", limit=200)
        assert sorted(row.id for row in listed.rows) == expected
        assert listing.count(self.tx, where) == len(expected)

    def brute(self, organization_id: int, contact_id: int | None, q: str) -> list[int]:
        found, hidden = [], set(pending(self.tx))
        for ticket in self.read(Ticket, organization_id=organization_id):
            if contact_id not in (None, ticket.contact_id):
                continue
            said = self.read(Comment, ticket_id=ticket.id)
            # No phrase goes from the subject into the description: two dots are no blank.
            texts = [f"{ticket.subject} .. {ticket.description}"] if (ticket.id, None) not in hidden else []
            texts += [
                each.body
                for each in said
                if (contact_id is None or each.visibility == "public") and (ticket.id, each.id) not in hidden
            ]
            if any(has(text, q) for text in texts):
                found.append(ticket.id)
        return found

    @invariant()
    def the_index_is_sound(self) -> None:
        assert terms(self.tx) == expected_terms(self.tx)
        hidden = set(pending(self.tx))
        there, wanted = (
            [each for each in found if (each[0], each[1] or None) not in hidden]
            for found in (documents(self.tx), expected_documents(self.tx))
        )
        assert there == wanted
        assert self.tx._connection.execute("PRAGMA foreign_key_check").fetchall() == []

    def in_the_end_nothing_is_pending(self) -> None:
        drain(self.tx)
        assert documents(self.tx) == expected_documents(self.tx)
        assert terms(self.tx) == expected_terms(self.tx)


def test_the_index_follows_every_change(database: Database):
    class Here(Desk):
        pass

    Here.database = database
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    machine = Here.TestCase
    machine.settings = settings(
        max_examples=50, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=checks
    )
    machine().runTest()


@pytest.fixture
def desk(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, int]]:
    """300 tickets of an organization, between those of another, with few matches taken for many."""
    monkeypatch.setattr(search, "MOST_RANKED", 20)
    monkeypatch.setattr(searchable, "_FEW", 20)
    monkeypatch.setattr(searchable, "_CHUNKS", (8, 16))
    monkeypatch.setattr(searchable, "_GAP", 3)
    connection = Connection(database)
    tx = connection.begin(write=True)
    callers = []
    for name in ("Mine", "Theirs"):
        made = organizations.create(tx, name=name)
        user = users.create(tx, SYSTEM, made.id, email=f"a@{made.slug}.example", name="A", role="admin")
        contacts.create(tx, SYSTEM, made.id, email=f"c@{made.slug}.example", name="C", user_id=user.id)
        callers.append(Principal(user.id, made.id, "admin", "A", frozenset({"*"})))
    for number in range(300):
        texts = ["the"] + [word for word, each in (("third", 3), ("tenth", 10), ("rare", 99)) if number % each == 0]
        texts += ["old"] if number < 60 else []
        # Of another tenant every second, and the older the more often.
        tags = [tag for tag, each in (("vip", 4), ("new", 6)) if number % each == 0]
        lifecycle.create(tx, callers[number % 2], {"subject": " ".join(texts), "description": "x", "tags": tags})
        if number % 5 == 0:
            ticket = tx.one(_NEWEST)
            for _ in range(number % 7):
                comments.create(tx, callers[number % 2], ticket, body=" ".join(texts[1:]) or "nothing")
    # Times in no order of the ids, some of them equal.
    tx._connection.execute("UPDATE tickets SET assignee_id = created_by_id WHERE number % 3 = 1")
    for table, key in (("tickets", "id"), ("ticket_tags", "ticket_id")):
        tx._connection.execute(f"UPDATE {table} SET created_at = ({key} * 7919) % 40, updated_at = {key}")
    tx.settle()
    yield tx, callers[0].organization_id
    connection.rollback()
    connection.close()


def ids_of(tx: Any, organization_id: int, word: str, order: str, condition: str = "1") -> list[int]:
    sql = f"SELECT id FROM tickets WHERE organization_id = ? AND subject LIKE ? AND {condition} ORDER BY {order}"
    return [row[0] for row in tx._connection.execute(sql, [organization_id, f"%{word}%"])]


def walked(listing: Any, tx: Any, **asked: Any) -> tuple[list[int], list[int]]:
    """Walk a list to its end and back again."""
    there, back = [], []
    page = listing.page(tx, **asked)
    assert page.prev is None
    while True:
        there += [row.id for row in page.rows]
        if page.next is None:
            break
        page = listing.page(tx, **asked, position=page.next)
    back = [row.id for row in page.rows]
    while page.prev is not None:
        page = listing.page(tx, **asked, position=page.prev)
        back = [row.id for row in page.rows] + back
    assert page.next is not None or there == back
    return there, back


LISTS: dict[str, tuple[dict[str, list[Any]], str]] = {
    "all": ({}, "1"),
    "a tag": ({"tag": ["vip"]}, "tags LIKE '%vip%'"),
    "a queue": ({"assignee_id": [None], "status": ["open"]}, "number % 3 <> 1"),
    "a queue with a tag": (
        {"assignee_id": [None], "status": ["open"], "tag": ["vip"]},
        "number % 3 <> 1 AND tags LIKE '%vip%'",
    ),
    "two tags": ({"tag": ["vip", "new"]}, "(tags LIKE '%vip%' OR tags LIKE '%new%')"),
}


@pytest.mark.parametrize("asked", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("word", ["the", "tenth", "rare"])
def test_a_page_of_a_searched_list_ends_early_where_its_texts_are_long(
    desk: tuple[Any, int], monkeypatch: pytest.MonkeyPatch, word: str, asked: tuple[dict[str, list[Any]], str]
):
    monkeypatch.setattr(listing_module, "MOST_TEXT", 0)  # what the first ticket says is too much already
    tx, mine = desk
    filters, condition = asked
    where = {"organization_id": [mine], **filters, "search": [word]}
    expected = ids_of(tx, mine, word, "created_at DESC, id DESC", condition)
    listing = tickets(where)
    assert len(listing.page(tx, where=where, sort="-created_at", limit=7).rows) == min(1, len(expected))
    assert walked(listing, tx, where=where, sort="-created_at", limit=7) == (expected, expected)


@pytest.mark.parametrize("word", ["the", "th*", "third", "tenth", "rare", "old", "the third", '"the third"', "none"])
class TestPages:
    """Few matches and many, near and far: each is found once, whichever way it is looked for."""

    @pytest.mark.parametrize("asked", LISTS.values(), ids=LISTS)
    def test_a_list_that_is_searched_keeps_its_order(
        self, desk: tuple[Any, int], word: str, asked: tuple[dict[str, list[Any]], str]
    ):
        tx, mine = desk
        filters, condition = asked
        where = {"organization_id": [mine], **filters, "search": [word]}
        listing = tickets(where)
        for sort, order in (
            ("created_at", "created_at, id"),
            ("-created_at", "created_at DESC, id DESC"),
            ("updated_at", "updated_at, id"),
            ("-updated_at", "updated_at DESC, id DESC"),
        ):
            expected = ids_of(tx, mine, word.strip('*"'), order, condition)
            assert walked(listing, tx, where=where, sort=sort, limit=7) == (expected, expected)
            assert listing.count(tx, where) == len(expected)
            page = listing.page(tx, where=where, sort=sort, limit=5, offset=9)
            assert [row.id for row in page.rows] == expected[9:14]
            assert (page.next is None) == (len(expected) <= 14)
            self.check_that_nothing_is_left(tx, where, sort)

    def check_that_nothing_is_left(self, tx: Any, where: dict[str, list[Any]], sort: str) -> None:
        for nothing in ({"type": ["incident"]}, {"type": []}, {"assignee_id": []}, {"own_contact_id": []}):
            none = {**where, **nothing}
            assert tickets(none).page(tx, where=none, sort=sort, limit=5).rows == []
            assert tickets(none).count(tx, none) == 0

    def test_a_search_meets_all_by_weight_or_by_age(self, desk: tuple[Any, int], word: str):
        tx, mine = desk
        expected = ids_of(tx, mine, word.strip('*"'), "id DESC")
        where = {"organization_id": [mine], "q": [word]}
        there, back = walked(search.SEARCH, tx, where=where, sort="", limit=6)
        assert there == back
        if len(expected) > search.MOST_RANKED:
            assert there == expected
        assert sorted(there, reverse=True) == expected


@pytest.fixture
def caller(tx: Any) -> Principal:
    """Somebody whose tickets are their own contact's, of an organization with nothing in it."""
    made = organizations.create(tx, name="Made")
    user = users.create(tx, SYSTEM, made.id, email="a@made.example", name="A", role="admin")
    contacts.create(tx, SYSTEM, made.id, email="c@made.example", name="C", user_id=user.id)
    return Principal(user.id, made.id, "admin", "A", frozenset({"*"}))


class TestResults:
    def shown(self, tx: Any, caller: Principal, limit: int, q: str = "printer") -> list[Any]:
        """Walk to the end, and check that the way back shows the same."""
        asked = {"where": {"organization_id": [caller.organization_id], "q": [q]}, "sort": "", "limit": limit}
        there, page = [], search.SEARCH.page(tx, **asked)
        while True:
            assert len(page.rows) <= limit
            there += [(row.id, row.found) for row in page.rows]
            if page.next is None:
                break
            page = search.SEARCH.page(tx, **asked, position=page.next)
        back = [(row.id, row.found) for row in page.rows]
        while page.prev is not None:
            page = search.SEARCH.page(tx, **asked, position=page.prev)
            back = [(row.id, row.found) for row in page.rows] + back
        assert back == there
        return there

    @pytest.mark.parametrize("most", [3, 4, 7, 20, 1_000])
    def test_what_a_result_shows_is_the_same_on_any_page(
        self, tx: Any, caller: Principal, monkeypatch: pytest.MonkeyPatch, most: int
    ):
        monkeypatch.setattr(search, "MOST_RANKED", most)
        expected = []
        for number in range(9):
            subject = "printer" if number % 3 else "other"
            ticket = lifecycle.create(tx, caller, {"subject": subject, "description": "x"})
            said = [comments.create(tx, caller, ticket, body=f"printer {each}").id for each in range(number)]
            fields = [("subject", None)] if number % 3 else []
            if fields or said:
                expected.append((ticket.id, [*fields, *(("comment", each) for each in said[:-4:-1])]))
        tx.settle()
        for limit in (1, 2, 3, 8, 50):
            shown = self.shown(tx, caller, limit)
            if most < 1_000:
                assert [(ticket, [each[:2] for each in found]) for ticket, found in shown] == expected[::-1]
            else:
                assert [ticket for ticket, _ in sorted(shown)] == [ticket for ticket, _ in expected]

    def test_a_walk_by_weight_meets_all_that_was_there_whatever_is_raised_meanwhile(
        self, tx: Any, caller: Principal, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(search, "MOST_RANKED", 10)
        there = [lifecycle.create(tx, caller, {"subject": "printer", "description": "x"}).id for _ in range(10)]
        tx.settle()
        asked = {"where": {"organization_id": [caller.organization_id], "q": ["printer"]}, "sort": "", "limit": 4}
        page = search.SEARCH.page(tx, **asked)
        seen = [row.id for row in page.rows]
        for _ in range(25):
            lifecycle.create(tx, caller, {"subject": "printer " * 3, "description": "x"})
        tx.settle()
        while page.next is not None:
            page = search.SEARCH.page(tx, **asked, position=page.next)
            seen += [row.id for row in page.rows]
        assert seen == there[::-1]

    @pytest.mark.parametrize("most", [3, 1_000])
    def test_a_page_ends_early_where_its_texts_are_long(
        self, tx: Any, caller: Principal, monkeypatch: pytest.MonkeyPatch, most: int
    ):
        monkeypatch.setattr(search, "MOST_RANKED", most)
        for _ in range(7):
            ticket = lifecycle.create(tx, caller, {"subject": "x", "description": "much to read " * 3_000 + "printer"})
            comments.create(tx, caller, ticket, body="much more to read " * 2_000 + "printer")
        drain(tx)
        asked = {"where": {"organization_id": [caller.organization_id], "q": ["printer"]}, "sort": ""}
        page = search.SEARCH.page(tx, **asked, limit=200)
        assert 1 <= len(page.rows) <= 3
        shown = self.shown(tx, caller, 200)
        assert shown == self.shown(tx, caller, 1)
        assert len(shown) == 7
        monkeypatch.setattr(search, "_MOST_READ", 10**9)
        assert len(search.SEARCH.page(tx, **asked, limit=200).rows) == 7


def test_a_ticket_with_more_comments_than_places_keeps_those_it_has(tx: Any, caller: Principal):
    ticket = lifecycle.create(tx, caller, {"subject": "Full", "description": "x"})
    said = comments.create(tx, caller, ticket, body="the last that has a place")
    last = (ticket.id + 1) * PLACES - 1
    tx.settle()
    tx._connection.execute("UPDATE search_documents SET place = ? WHERE comment_id = ?", [last, said.id])
    ticket = tx.one(comments._TICKET, id=ticket.id)
    beyond = comments.create(tx, caller, ticket, body="beyond")
    entities.remove(tx, SYSTEM, Comment, comments.change(tx, caller, beyond, {"body": "farther"}))
    tx.settle()
    assert tx._connection.execute("SELECT max(place) FROM search_documents").fetchone() == (last,)


class TestAnotherContact:
    @pytest.fixture
    def ticket(self, tx: Any, caller: Principal) -> Any:
        """A ticket on which much is said: 30 comments of 20,000 characters, every third of them internal."""
        ticket = lifecycle.create(tx, caller, {"subject": "printer", "description": "x"})
        for number in range(30):
            text = " ".join(f"{number}w{each}" for each in range(2_500))
            visibility = "public" if number % 3 else "internal"
            comments.create(tx, caller, ticket, body=f"said{visibility} {text}", visibility=visibility)
        drain(tx)
        return tx.one(comments._TICKET, id=ticket.id)

    def test_it_costs_little_however_much_was_said(self, tx: Any, caller: Principal, ticket: Any):
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        other = contacts.create(tx, SYSTEM, caller.organization_id, email="d@made.example", name="D")
        before = self.shadows(tx)
        tx._connection.set_progress_handler(count, 100)
        try:
            changed = lifecycle.change(tx, caller, ticket, {"contact_id": other.id})
            tx.settle()
        finally:
            tx._connection.set_progress_handler(None, 0)
        assert steps < 200
        assert self.shadows(tx) - before < 10_000
        assert terms(tx) == expected_terms(tx)
        for whose, expected in ((ticket.contact_id, []), (changed.contact_id, [ticket.id])):
            where = {"organization_id": [caller.organization_id], "own_contact_id": [whose]}
            page = search.SEARCH.page(tx, where={**where, "q": ["saidpublic"]}, sort="", limit=9)
            assert [row.id for row in page.rows] == expected
            assert search.SEARCH.page(tx, where={**where, "q": ["saidinternal"]}, sort="", limit=9).rows == []

    def shadows(self, tx: Any) -> int:
        """Count the bytes of the index."""
        with tx.savepoint():  # FTS5 writes down what it has
            pass
        [[found]] = tx._connection.execute("SELECT sum(length(block)) FROM search_index_data").fetchall()
        return int(found)

    def test_of_more_comments_than_others_can_wait_for_it_is_refused(self, tx: Any, caller: Principal, ticket: Any):
        names = ", ".join(column.name for column in Comment.__table__.c if column.name != "id")
        tx._connection.execute(
            f"INSERT INTO comments ({names}) WITH RECURSIVE many AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM many"
            f" WHERE n < ?) SELECT {names} FROM many, (SELECT * FROM comments WHERE ticket_id = ? LIMIT 1)",
            [entities.MOST_NAMERS, ticket.id],
        )
        other = contacts.create(tx, SYSTEM, caller.organization_id, email="d@made.example", name="D")
        with pytest.raises(InUse, match=f"more than {entities.MOST_NAMERS:,} comments; raise another"):
            lifecycle.change(tx, caller, ticket, {"contact_id": other.id})
        assert lifecycle.change(tx, caller, ticket, {"contact_id": ticket.contact_id, "priority": "low"})


def test_each_question_is_answered_from_the_index(database: Database):
    """None reads a table as a whole, and what FTS5 finds is found with its words or its rowids."""
    connection = Connection(database)
    driver = connection.begin(write=False)._connection
    statements = [each for module in (search, searchable, indexing, index_updates) for each in vars(module).values()]
    for statement in (each for each in statements if isinstance(each, Statement)):
        sql = statement.compiled(database.engine.dialect).sql
        for *_, step in driver.execute(f"EXPLAIN QUERY PLAN {sql}", defaultdict(int)):
            asks = re.match(r"SCAN (search_index VIRTUAL TABLE INDEX \d+:M|anon_\d+ VIRTUAL TABLE|CONSTANT ROW)", step)
            assert asks or not step.startswith("SCAN"), (sql, step)
            assert "TEMP B-TREE" not in step, (sql, step)
    connection.rollback()
    connection.close()
