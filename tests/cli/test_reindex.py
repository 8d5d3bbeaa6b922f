"""reindex: the search index is compared with what it is of, and put right."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from commands import Desk

from factories import catch_up
from tickets.db import Database
from tickets.domain import comments, contacts, entities, lifecycle, organizations, reindexing, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.domain.search import SEARCH
from tickets.models import Ticket

LONG = "\N{CJK UNIFIED IDEOGRAPH-6771}\N{CJK UNIFIED IDEOGRAPH-4EAC}" * 10_000


class Firm:
    """An organization with three tickets, on each of which something was said in public and internally."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        with database.write() as tx:
            made = organizations.create(tx, name=name)
            user = users.create(tx, SYSTEM, made.id, email=f"a@{made.slug}.example", name="A", role="admin")
            self.contact = contacts.create(tx, SYSTEM, made.id, email=f"c@{made.slug}.example", name="C")
            self.caller = Principal(user.id, made.id, "admin", "A", frozenset({"*"}))
            self.tickets = [self.raised(tx, f"printer {n}") for n in range(3)]

    def raised(self, tx: Any, subject: str, description: str = "on fire") -> Any:
        fields = {"subject": subject, "description": description, "contact_id": self.contact.id}
        made = lifecycle.create(tx, self.caller, fields)
        for visibility in ("public", "internal"):
            ticket = tx.one(comments._TICKET, id=made.id)
            comments.create(tx, self.caller, ticket, body=f"{visibility} toner", visibility=visibility)
        return made

    def found(self, q: str, *, to_contact: bool = False) -> dict[int, int]:
        """Return in how many texts of each ticket something is found."""
        where = {"organization_id": [self.caller.organization_id], "q": [q]}
        if to_contact:
            where["own_contact_id"] = [self.contact.id]
        with self.database.read() as tx:
            rows = SEARCH.page(tx, where=where, sort="", limit=200).rows
        return {row.id: len(row.found) for row in rows}

    def all_of_it(self) -> bool:
        """Tell whether everything is found that is there, by whoever may see it."""
        return (
            self.found("printer") == {ticket.id: 1 for ticket in self.tickets}
            and self.found("toner") == {ticket.id: 2 for ticket in self.tickets}
            and self.found("toner", to_contact=True) == {ticket.id: 1 for ticket in self.tickets}
        )


@pytest.fixture
def database(desk: Desk) -> Iterator[Database]:
    with desk.database() as made:
        yield made


@pytest.fixture
def firms(database: Database) -> list[Firm]:
    return [Firm(database, name) for name in ("One", "Two")]


def execute(desk: Desk, *statements: str) -> None:
    with closing(sqlite3.connect(desk.database_path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_an_index_in_order_is_left_as_it_is(desk: Desk, firms: list[Firm]):
    counts = {"organization": None, "tickets": 6, "comments": 12, "put_right": 0, "anew": False}
    assert desk.json("reindex") == counts
    assert desk.json("reindex", "--org", "one") == {**counts, "organization": "one", "tickets": 3, "comments": 6}
    assert desk.ok("reindex") == "6 tickets and 12 comments compared, 0 put right.\n"
    assert all(firm.all_of_it() for firm in firms)


def test_what_differs_is_put_right(desk: Desk, firms: list[Firm]):
    one, two = (firm.tickets[0].id for firm in firms)
    execute(
        desk,
        # Past the service: what it did not see, the index does not know.
        f"UPDATE tickets SET subject = 'plotter' WHERE id = {one}",
        f"UPDATE comments SET body = 'ink' WHERE ticket_id = {one} AND visibility = 'public'",
        f"UPDATE comments SET visibility = 'internal' WHERE ticket_id = {two}",
        f"DELETE FROM comments WHERE ticket_id = {firms[0].tickets[1].id} AND visibility = 'public'",
    )
    assert desk.json("reindex", "--org", "two")["put_right"] == 2
    assert firms[1].found("toner", to_contact=True) == {ticket.id: 1 for ticket in firms[1].tickets[1:]}
    assert firms[0].found("plotter") == {}
    assert desk.json("reindex")["put_right"] == 2
    assert (firms[0].found("plotter"), firms[0].found("ink")) == ({one: 1}, {one: 1})
    assert firms[0].found("toner") == {one: 1, firms[0].tickets[1].id: 1, firms[0].tickets[2].id: 2}
    assert desk.json("reindex")["put_right"] == 0


def test_what_could_not_be_indexed_is_tried_again(desk: Desk, firms: list[Firm]):
    execute(
        desk,
        "CREATE TRIGGER poison BEFORE INSERT ON search_documents WHEN new.body LIKE '%xpoison%'"
        " BEGIN SELECT RAISE(ABORT, 'poison'); END",
    )
    with firms[0].database.write() as tx:
        made = firms[0].raised(tx, "printer", "poison")
    assert made.id not in firms[0].found("printer")
    result = desk.run("reindex", "--json")
    assert result.exit_code == 2
    message = json.loads(result.stdout)["error"]["message"]
    assert "1 documents cannot be indexed" in message
    assert "`tickets reindex --anew`" in message
    assert "SQLITE_CONSTRAINT_TRIGGER" in result.stderr
    execute(desk, "DROP TRIGGER poison")
    assert desk.ok("reindex", "--org", "two").startswith("3 tickets")
    assert made.id not in firms[0].found("printer")
    assert desk.ok("reindex", "--org", "one").startswith("4 tickets")
    assert made.id in firms[0].found("printer")


def test_what_is_pending_is_indexed_first(desk: Desk, firms: list[Firm]):
    with firms[0].database.write() as tx:
        tx.on_loop = True
        made = firms[0].raised(tx, "printer", LONG)
    assert made.id not in firms[0].found("printer")
    assert desk.json("reindex")["put_right"] == 0
    assert made.id in firms[0].found("printer")


def test_an_index_that_is_damaged_is_filled_anew(desk: Desk, firms: list[Firm]):
    execute(desk, "UPDATE search_index_data SET block = x'00ffffffffffffffff' WHERE id > 10")
    assert "leave out --org" in desk.fails("reindex", "--org", "one")
    made = desk.json("reindex")
    assert (made["anew"], made["put_right"]) == (True, 18)
    assert all(firm.all_of_it() for firm in firms)
    assert desk.json("reindex")["anew"] is False


def test_so_is_one_with_documents_of_tickets_that_are_gone(desk: Desk, firms: list[Firm]):
    execute(
        desk, f"DELETE FROM tickets WHERE id = {firms[0].tickets.pop().id}", "DELETE FROM comments WHERE ticket_id = 3"
    )
    assert desk.json("reindex")["anew"] is True
    assert all(firm.all_of_it() for firm in firms)


def test_so_is_one_that_failed_to_take_out_a_ticket_that_is_gone(desk: Desk, firms: list[Firm]):
    gone = firms[0].tickets.pop().id
    execute(
        desk,
        "INSERT INTO search_pending (place, organization_id, comment_id, seen_by, words_changed, entries, error)"
        " SELECT place, 1, comment_id, '', 1, 20, 'SQLITE_CORRUPT_VTAB' FROM search_documents"
        f" WHERE place >> 16 = {gone}",
        f"DELETE FROM tickets WHERE id = {gone}",
        f"DELETE FROM comments WHERE ticket_id = {gone}",
    )
    assert "leave out --org" in desk.fails("reindex", "--org", "one")
    assert desk.json("reindex")["anew"] is True
    assert desk.rows(f"SELECT place FROM search_documents WHERE place >> 16 = {gone}") == []
    assert desk.rows("SELECT place FROM search_pending") == []
    assert all(firm.all_of_it() for firm in firms)


@pytest.mark.usefixtures("firms")
def test_when_it_was_filled_anew_a_failure_says_so(desk: Desk):
    execute(
        desk,
        "CREATE TRIGGER poison BEFORE INSERT ON search_documents WHEN new.body LIKE '%xfire%'"
        " BEGIN SELECT RAISE(ABORT, 'poison'); END",
    )
    result = desk.run("reindex", "--anew", "--json")
    message = json.loads(result.stdout)["error"]["message"]
    assert "6 documents cannot be indexed" in message
    assert "change them" in message
    assert "reindex --anew" not in message


def test_any_is_filled_anew_on_demand(desk: Desk, firms: list[Firm]):
    assert desk.json("reindex", "--anew")["put_right"] == 18
    assert all(firm.all_of_it() for firm in firms)
    assert "leave out --org or --anew" in desk.fails("reindex", "--anew", "--org", "one")


def test_what_happens_meanwhile_is_not_lost(desk: Desk, firms: list[Firm], monkeypatch: pytest.MonkeyPatch):
    """The index is empty, and tickets change before it has them."""
    monkeypatch.setattr(reindexing, "AT_ONCE", 2)
    [firm, _] = firms
    compare = reindexing.compare
    calls = 0

    def compared(tx: Any, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            with firm.database.write() as other:
                entities.remove(other, SYSTEM, Ticket, other.one(comments._TICKET, id=firm.tickets[2].id))
                row = other.one(comments._TICKET, id=firm.tickets[1].id)
                lifecycle.change(other, firm.caller, row, {"subject": "plotter"})
                comments.create(other, firm.caller, row, body="said meanwhile")
        return compare(tx, *args)

    monkeypatch.setattr(reindexing, "compare", compared)
    desk.json("reindex", "--anew")
    catch_up(firm.database)
    assert firm.found("printer") == {firm.tickets[0].id: 1}
    assert firm.found("plotter") == firm.found("meanwhile") == {firm.tickets[1].id: 1}
    assert firm.found("toner") == {ticket.id: 2 for ticket in firm.tickets[:2]}


def test_an_organization_that_is_not_there(desk: Desk):
    assert "nowhere" in desk.fails("reindex", "--org", "nowhere")
