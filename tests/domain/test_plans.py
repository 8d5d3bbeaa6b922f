"""An index serves each list, with each of its filters, in each of its orders, from its start and in its midst."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tickets.db import Connection, Database, Statement
from tickets.domain import listings, stats
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
BY_TOTAL = "SEARCH creator_tallies USING COVERING INDEX ix_creator_tallies_organization_id_total"


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
    if question.name == "TEAM_MEMBERS" or (
        question.name == "COMMENTS_TO_CONTACT" and "ticket_id" not in question.filters
    ):
        return "the members of a team and the tickets of a contact are few, and what is sorted is in another table"
    if several & {"contact_id", "own_contact_id", "ticket_id"}:
        return "the rows of a few contacts or tickets are few, and come from several places of the index"
    if "breached" in question.filters:
        return "what fell due since the last sweep is little, and merged with the rest, which comes in order"
    if question.filters.keys() & {"contact_id", "own_contact_id"} and question.sort in ("updated_at", "closed_at"):
        return "the tickets of a contact are few; they are indexed in the order of creation"
    other_order = {"created_from": "updated_at", "created_to": "updated_at", "updated_since": "created_at"}
    if any(other_order.get(name) == question.sort for name in question.filters):
        return "an index serves a range of one time or the order of the other, never both"
    return ""


@pytest.fixture(scope="module")
def plan_of(database: Database) -> Iterator[Any]:
    connection = Connection(database)
    driver = connection.begin(write=False)._connection

    def ask(statement: Statement) -> list[str]:
        sql = statement.compiled(database.engine.dialect).sql
        return [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}", defaultdict(int))]

    yield ask
    connection.rollback()
    connection.close()


@pytest.fixture(scope="module")
def explain(plan_of: Any) -> Any:
    def ask(question: Question, *, positioned: bool = False, descending: bool = True) -> list[str]:
        sort = f"-{question.sort}" if descending else question.sort
        statement = ALL[question.name]._statement(
            question.shape, sort, positioned=positioned, backwards=False, leaping=False
        )
        plan: list[str] = plan_of(statement)
        return plan

    return ask


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
        ("TICKETS", "unbreached", "ix_tickets_organization_id_is_breached_created_at"),
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


@pytest.mark.parametrize("sort", ["created_at", "updated_at"])
def test_what_is_breached_comes_in_order_but_for_what_was_not_told_yet(explain, sort):
    shape = tuple((name, 1, False) for name in ("organization_id", "breached"))
    for positioned in (False, True):
        merged, left, many, right, few, *sorting = explain(Question("TICKETS", shape, sort), positioned=positioned)
        assert (merged, left, right, sorting) == ("MERGE (UNION ALL)", "LEFT", "RIGHT", [SORTING])
        assert f" ix_tickets_organization_id_is_breached_{sort} (organization_id=? AND is_breached=?" in many
        assert few.endswith(" ix_tickets_breaches_at (organization_id=? AND breaches_at<?)")


@pytest.mark.parametrize("sort", ["created_at", "updated_at"])
def test_what_is_not_breached_comes_in_order(explain, sort):
    shape = tuple((name, 1, False) for name in ("organization_id", "unbreached"))
    for positioned in (False, True):
        [step] = explain(Question("TICKETS", shape, sort), positioned=positioned)
        assert f" ix_tickets_organization_id_is_breached_{sort} (organization_id=? AND is_breached=?" in step


@pytest.mark.parametrize("other", ["status", "priority", "type", "assignee_id", "team_id", "contact_id"])
def test_beside_another_filter_what_was_not_told_yet_is_looked_up_as_without_it(explain, other):
    shape = tuple((name, 1, False) for name in ("organization_id", other, "breached"))
    for positioned in (False, True):
        plan = explain(Question("TICKETS", shape, "created_at"), positioned=positioned)
        assert any(step.endswith(" ix_tickets_breaches_at (organization_id=? AND breaches_at<?)") for step in plan)


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
    # Two indexes; a test of its own above.
    without |= {("TICKETS", "breached")}
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


@pytest.mark.parametrize(
    ("statement", "plan"),
    [
        (stats._TALLIES, ["SEARCH ticket_tallies USING PRIMARY KEY (organization_id=?)"]),
        (
            stats._TOP,
            [
                f"{BY_TOTAL} (organization_id=? AND total=?)",
                "SCALAR SUBQUERY 1",
                f"{BY_TOTAL} (organization_id=?)",
                "SEARCH users USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            stats._LAST_CLOSED,
            ["SEARCH tickets USING COVERING INDEX ix_tickets_closed (organization_id=? AND closed_at>?)"],
        ),
    ],
    ids=["tallies", "top user", "last closed"],
)
def test_the_state_of_all_tickets_is_a_few_look_ups(plan_of, statement, plan):
    assert plan_of(statement) == plan


@pytest.mark.parametrize("group_by", ["none", *stats._GROUPS])
@pytest.mark.parametrize(
    ("statement", "index", "column"),
    [
        (stats._created, "ix_tickets_organization_id_created_at", "created_at"),
        (stats._resolved, "ix_tickets_resolved", "resolved_at"),
        (stats._closed, "ix_tickets_closed", "closed_at"),
    ],
)
def test_what_happened_in_a_bucket_is_looked_up_by_when(plan_of, statement, index, column, group_by):
    first, *more = plan_of(statement(group_by))
    covering = "COVERING " if group_by == "none" and column != "created_at" else ""
    looked_up = f"(organization_id=? AND {column}>? AND {column}<?)"
    assert first == f"SEARCH tickets USING {covering}INDEX {index} {looked_up}"
    assert more == ([] if group_by == "none" else ["USE TEMP B-TREE FOR GROUP BY"])


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("TICKETS", ()),
        ("TICKETS", (("status", 2, False),)),
        ("TICKETS", (("priority", 1, False),)),
        ("TICKETS", (("status", 1, False), ("priority", 3, False))),
        ("OPEN_TICKETS", ()),
        ("CLOSED_TICKETS", ()),
    ],
)
def test_how_many_tickets_there_are_is_looked_up_where_it_is_known(plan_of, name, filters):
    [step] = plan_of(ALL[name]._count((("organization_id", 1, False), *filters)))
    assert step.startswith("SEARCH ticket_tallies USING PRIMARY KEY (organization_id=?")
    of_a_contact = plan_of(ALL[name]._count((("organization_id", 1, False), ("own_contact_id", 1, False))))
    assert "tickets USING INDEX ix_tickets_contact_id" in of_a_contact[0]
