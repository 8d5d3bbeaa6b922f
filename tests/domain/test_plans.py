"""An index serves each list, with each of its filters, in each of its orders, from its start and in its midst."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tickets.db import Connection, Database
from tickets.domain import listings
from tickets.domain.listing import Listing

ALL = {name: listing for name, listing in vars(listings).items() if isinstance(listing, Listing)}
SEARCHED = {"search", "id"}  # see test_search.py
# What the API always asks for: the tenant, and for a user their own contact.
ALWAYS = {
    "ORGANIZATIONS": (),
    "TEAM_MEMBERS": ("team_id",),
    "COMMENTS_TO_CONTACT": ("organization_id", "own_contact_id"),
    "AUDIT_LOG_OF_ALL": (),
}
# A filter that several values are given for in one request.
REPEATABLE = {"role", "status", "priority", "type", "assignee_id", "contact_id", "team_id", "ticket_id", "user_id"}
REPEATABLE |= {"api_key_id", "method", "operation", "ip", "entity_id"}
RANGES = ("created_from", "created_to", "updated_since")
# What the operator lists without a tenant: its table, and the filters that an index looks up.
OF_ALL = {
    "ORGANIZATIONS": ("organizations", {"slug"}),
    "AUDIT_LOG_OF_ALL": ("audit_log", {"created_from", "created_to"}),
}
SORTING = "USE TEMP B-TREE FOR ORDER BY"


class Question(NamedTuple):
    """A list, asked in one way; `shape` is how `Listing` names it: filter, number of values, whether unset counts."""

    name: str
    shape: tuple[tuple[str, int, bool], ...]
    sort: str

    def __str__(self) -> str:
        filters = "+".join(
            f"{name}{'' if (count, null) == (1, False) else (count, null)}" for name, count, null in self.shape
        )
        return f"{self.name}-{filters}-{self.sort}"

    @property
    def filters(self) -> dict[str, tuple[int, bool]]:
        return {name: (count, null) for name, count, null in self.shape}


def _questions() -> Iterator[Question]:
    for name, listing in ALL.items():
        always = ALWAYS.get(name, ("organization_id",))
        start = tuple((each, 1, False) for each in always)
        for sort in listing._sorts:
            yield Question(name, start, sort)
            for more in listing._filters.keys() - set(always) - SEARCHED:
                yield Question(name, (*start, (more, 1, False)), sort)
                if more in REPEATABLE:
                    yield Question(name, (*start, (more, 3, False)), sort)
                if more in RANGES and "ticket_id" in listing._filters:
                    yield Question(name, (*start, ("ticket_id", 1, False), (more, 1, False)), sort)
                if more == "assignee_id":
                    yield Question(name, (*start, (more, 0, True)), sort)
                    yield Question(name, (*start, (more, 1, True)), sort)


QUESTIONS = sorted(_questions(), key=str)


def may_sort(question: Question) -> str:
    """Say why rows are read and then sorted: where few match, that beats walking all rows in the asked order."""
    several = {name for name, (count, _) in question.filters.items() if count > 1}
    if question.name == "TEAM_MEMBERS":
        return "the members of a team are few, and what they are sorted by is in another table"
    if question.name == "COMMENTS_TO_CONTACT" and "ticket_id" not in question.filters:
        return "the tickets of a contact are few, and what is sorted is in another table"
    if several & {"contact_id", "own_contact_id", "ticket_id"}:
        return "the rows of a few contacts or tickets are few, and come from several places of the index"
    if question.filters.keys() & {"contact_id", "own_contact_id"} and question.sort in ("updated_at", "closed_at"):
        return "the tickets of a contact are few; they are indexed in the order of creation"
    other_order = {"created_from": "updated_at", "created_to": "updated_at", "updated_since": "created_at"}
    if any(other_order.get(name) == question.sort for name in question.filters):
        return "an index serves a range of one time or the order of the other, never both"
    return ""


@pytest.fixture(scope="module")
def explain(database: Database) -> Iterator[Any]:
    connection = Connection(database)
    driver = connection.begin(write=False)._connection

    def ask(question: Question, *, positioned: bool = False, descending: bool = True) -> list[str]:
        sort = f"-{question.sort}" if descending else question.sort
        statement = ALL[question.name]._statement(
            question.shape, sort, positioned=positioned, backwards=False, leaping=False
        )
        compiled = statement.compiled(database.engine.dialect)
        rows = driver.execute(f"EXPLAIN QUERY PLAN {compiled.sql}", defaultdict(int)).fetchall()
        return [row[3] for row in rows]

    yield ask
    connection.rollback()
    connection.close()


@pytest.mark.parametrize("positioned", [False, True], ids=["first page", "later page"])
@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_no_table_is_read_as_a_whole_and_rows_come_in_order(explain, question, positioned):
    for descending in (True, False):
        plan = explain(question, positioned=positioned, descending=descending)
        if question.name in OF_ALL and not question.filters.keys() & OF_ALL[question.name][1] and not positioned:
            # All there are, in the order of an index, as far as the page goes.
            table = OF_ALL[question.name][0]
            assert plan == [f"SCAN {table} USING INDEX ix_{table}_{question.sort}"]
            continue
        assert not [step for step in plan if step.startswith("SCAN")], plan
        assert all(" USING " in step for step in plan if step.startswith("SEARCH")), plan
        assert (SORTING in plan) <= bool(may_sort(question)), plan


@pytest.mark.parametrize(
    ("name", "filter_name", "index"),
    [
        ("ORGANIZATIONS", "slug", "uq_organizations_slug"),
        ("USERS", "role", "ix_users_organization_id_role"),
        ("USERS", "email", "uq_users_email"),
        ("CONTACTS", "email", "uq_contacts_organization_id_email"),
        ("CONTACTS", "external_id", "uq_contacts_organization_id_external_id"),
        ("TICKETS", "status", "ix_tickets_organization_id_status"),
        ("TICKETS", "priority", "ix_tickets_organization_id_priority"),
        ("TICKETS", "type", "ix_tickets_organization_id_type"),
        ("TICKETS", "assignee_id", "ix_tickets_organization_id_assignee_id"),
        ("TICKETS", "contact_id", "ix_tickets_contact_id"),
        ("TICKETS", "own_contact_id", "ix_tickets_contact_id"),
        ("OPEN_TICKETS", "own_contact_id", "ix_tickets_contact_id"),
        ("TICKETS", "team_id", "ix_tickets_team_id"),
        ("COMMENTS", "ticket_id", "ix_comments_ticket_id_created_at"),
        ("COMMENTS_TO_CONTACT", "ticket_id", "ix_comments_ticket_id_created_at"),
        ("API_KEYS", "user_id", "ix_api_keys_user_id"),
        ("EVENTS", "since", "uq_events_organization_id_seq"),
        ("EVENTS", "type", "ix_events_organization_id_type"),
        ("EVENTS", "entity_id", "ix_events_organization_id_entity_id"),
        ("EVENTS", "ticket_id", "ix_events_ticket_id"),
    ],
)
def test_a_filter_on_one_value_has_an_index_of_its_own(explain, name, filter_name, index):
    start = tuple((each, 1, False) for each in ALWAYS.get(name, ("organization_id",)))
    sort = next(iter(ALL[name]._sorts))
    for positioned in (False, True):
        plan = explain(Question(name, (*start, (filter_name, 1, False)), sort), positioned=positioned)
        assert any(f" {index} " in step for step in plan), plan
        assert SORTING not in plan


@pytest.mark.parametrize(
    ("name", "sort", "index"),
    [("OPEN_TICKETS", "created_at", "ix_tickets_open"), ("CLOSED_TICKETS", "closed_at", "ix_tickets_closed")],
)
def test_what_waits_and_what_is_closed_has_an_index_of_its_own(explain, name, sort, index):
    for positioned in (False, True):
        plan = explain(Question(name, (("organization_id", 1, False),), sort), positioned=positioned)
        assert [index in step for step in plan] == [True], plan


def test_the_queue_of_one_status_and_priority_has_an_index_of_its_own(explain):
    shape = tuple((name, 1, False) for name in ("organization_id", "status", "priority"))
    for positioned in (False, True):
        plan = explain(Question("TICKETS", shape, "created_at"), positioned=positioned)
        assert any(" ix_tickets_organization_id_status_priority " in step for step in plan), plan
        assert SORTING not in plan


def test_the_filters_without_an_index_of_their_own_are_known():
    # They take rows away from a walk in the asked order: accounts and visibilities are of two kinds only.
    without = {("USERS", "is_active"), ("COMMENTS", "visibility"), ("COMMENTS_TO_CONTACT", "visibility")}
    # A contact's tickets are few; they are indexed in the order of creation, and read and sorted for any other.
    without |= {("CLOSED_TICKETS", "own_contact_id")}
    # The audit log is written with each request and read now and then: each index would cost every request.
    for name in ("user_id", "api_key_id", "method", "operation", "status", "ip"):
        without |= {("AUDIT_LOG", name), ("AUDIT_LOG_OF_ALL", name)}
    ranges = {(name, each) for name in ("TICKETS", "COMMENTS", "COMMENTS_TO_CONTACT") for each in RANGES}
    # Events are numbered in the order of time: a walk from either end meets the first that fits.
    ranges |= {
        (name, bound)
        for name in ("AUDIT_LOG", "AUDIT_LOG_OF_ALL", "EVENTS")
        for bound in ("created_from", "created_to")
    }
    with_index = {
        (mark[0], mark[1]) for mark in test_a_filter_on_one_value_has_an_index_of_its_own.pytestmark[0].args[1]
    }
    every = {
        (name, filter_name)
        for name, listing in ALL.items()
        for filter_name in listing._filters.keys() - set(ALWAYS.get(name, ("organization_id",))) - SEARCHED
    }
    assert with_index | without | ranges == every


@pytest.mark.parametrize(
    ("listing", "column"), [("TICKETS", "organization_id"), ("COMMENTS", "organization_id"), ("COMMENTS", "ticket_id")]
)
@pytest.mark.parametrize("name", RANGES)
def test_a_range_of_time_is_looked_up_in_the_order_it_is_of(explain, listing, column, name):
    sort = "updated_at" if name == "updated_since" else "created_at"
    shape = tuple((each, 1, False) for each in dict.fromkeys(("organization_id", column, name)))
    [step] = explain(Question(listing, shape, sort))
    assert f"ix_{listing.lower()}_{column}_{sort} ({column}=? AND {sort}" in step
