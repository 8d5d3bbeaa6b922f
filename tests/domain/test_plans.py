"""An index serves each list, with each of its filters, in each of its orders, from its start and in its midst."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tickets.db import Connection, Database, Statement
from tickets.domain import event_listing, event_texts, expansion, history, listings, stats
from tickets.domain.listing import Listing, Way

ALL = {name: listing for name, listing in vars(listings).items() if isinstance(listing, Listing)}
SEARCHED = {"matching", "id"}  # see test_search.py
# What the API always asks for: the tenant, and for a user their own contact; the list by tags is asked for a tag.
ALWAYS = {
    "ORGANIZATIONS": (),
    "TEAM_MEMBERS": ("team_id",),
    "TAGGED_TICKETS": ("organization_id", "tag"),
    "COMMENTS_TO_CONTACT": ("organization_id", "own_contact_id"),
    "AUDIT_LOG_OF_ALL": (),
}
# A filter that several values are given for in one request.
REPEATABLE = {"role", "status", "priority", "type", "assignee_id", "contact_id", "team_id", "ticket_id", "user_id"}
REPEATABLE |= {"api_key_id", "method", "operation", "ip", "entity_id", "tag"}
RANGES = ("created_from", "created_to", "updated_since")
# What the operator lists without a tenant: its table, and the filters that an index looks up.
OF_ALL = {
    "ORGANIZATIONS": ("organizations", {"slug"}),
    "AUDIT_LOG_OF_ALL": ("audit_log", {"created_from", "created_to"}),
}
BY_TOTAL = "SEARCH creator_tallies USING COVERING INDEX ix_creator_tallies_organization_id_total"
# The rows of one page, which walks along indexes found, once they are fetched.
PAGE = "SCAN page"
# The ids that were asked for, which come as a JSON array.
WANTED = "SCAN wanted VIRTUAL TABLE INDEX 1:"

Shape = tuple[tuple[str, int, bool], ...]


class Question(NamedTuple):
    """A list, asked in one way; `shape` is how `Listing` names it: filter, number of values, whether unset counts."""

    name: str
    shape: Shape
    sort: str

    def __str__(self) -> str:
        filters = "+".join(
            f"{name}{'' if (count, null) == (1, False) else (count, null)}" for name, count, null in self.shape
        )
        return f"{self.name}-{filters}-{self.sort}"

    @property
    def filters(self) -> dict[str, tuple[int, bool]]:
        return {name: (count, null) for name, count, null in self.shape}


def _asked(name: str) -> Iterator[tuple[str, int, bool]]:
    """Make the ways in which a filter is asked for."""
    yield name, 1, False
    if name in REPEATABLE:
        yield name, 3, False
    if name == "assignee_id":
        yield name, 0, True
        yield name, 1, True


def _questions() -> Iterator[Question]:
    for name, listing in ALL.items():
        always = ALWAYS.get(name, ("organization_id",))
        start = tuple((each, 1, False) for each in always)
        free = [each for each in listing._filters if each not in always and each not in SEARCHED]
        for sort in listing._sorts:
            yield Question(name, start, sort)
            if name == "TAGGED_TICKETS":
                yield Question(name, (start[0], ("tag", 3, False)), sort)
            for more in free:
                for asked in _asked(more):
                    yield Question(name, (*start, asked), sort)
            for one, other in itertools.combinations(free, 2):
                yield Question(name, (*start, (one, 1, False), (other, 1, False)), sort)


QUESTIONS = sorted(_questions(), key=str)


def may_sort(question: Question, way: Way) -> bool:
    """Tell whether rows are read and then sorted: where few match, that beats walking all rows in the asked order."""
    counted = way.gather and len(ALL[question.name].ways(question.shape, question.sort)) > 1
    few = {
        # The keys of a user, by when they were changed; the members of a team, whose order is in another table.
        "API_KEYS": way.gather,
        "TEAM_MEMBERS": True,
        # The tickets of a contact, by when they were closed; what was said on them, whose order is in another table.
        "CLOSED_TICKETS": way == Way("own_contact_id", gather=True),
        "COMMENTS_TO_CONTACT": way == Way("own_contact_id", gather=True),
        # What fell due since the last sweep, merged with the rest, which comes in order.
        "TICKETS": "breached" in question.filters,
        "QUEUES": "breached" in question.filters,
    }
    return counted or few.get(question.name, False)


class Explain:
    """Asks the planner.

    Args:
        database: an empty one: the planner knows nothing of what will be in it, as in production.
    """

    def __init__(self, database: Database) -> None:
        self._dialect = database.engine.dialect
        self._connection = Connection(database)
        self._driver = self._connection.begin(write=False)._connection

    def __call__(self, statement: Statement) -> list[str]:
        sql = statement.compiled(self._dialect).sql
        return [row[3] for row in self._driver.execute(f"EXPLAIN QUERY PLAN {sql}", defaultdict(int))]

    def page(
        self, question: Question, way: Way | None = None, *, positioned: bool = False, descending: bool = True
    ) -> list[str]:
        """Explain a page, found in the way that always works unless another is given."""
        listing = ALL[question.name]
        sort = f"-{question.sort}" if descending else question.sort
        way = way or listing.ways(question.shape, question.sort)[-1]
        return self(
            listing._statement(question.shape, sort, way, positioned=positioned, backwards=False, leaping=False)
        )

    def close(self) -> None:
        self._connection.rollback()
        self._connection.close()


@pytest.fixture(scope="module")
def explain(database: Database) -> Iterator[Explain]:
    made = Explain(database)
    yield made
    made.close()


def check(plan: list[str], *, may_sort: bool = False) -> None:
    """See that all is looked up by an index, and comes in its order."""
    page = plan.index(PAGE) if PAGE in plan else len(plan)
    assert not [step for step in plan if step.startswith("SCAN") and step != PAGE], plan
    assert all(" USING " in step for step in plan if step.startswith("SEARCH")), plan
    assert not [step for step in plan if "AUTOMATIC" in step], plan
    # The rows of a page that was found already are sorted once more, since fetching them forgets their order.
    assert may_sort or not [step for step in plan[:page] if "TEMP B-TREE" in step], plan


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_no_table_is_read_as_a_whole_and_rows_come_in_order(explain, question):
    listing = ALL[question.name]
    for way in listing.ways(question.shape, question.sort):
        for positioned, descending in itertools.product((False, True), repeat=2):
            plan = explain.page(question, way, positioned=positioned, descending=descending)
            if question.name in OF_ALL and not question.filters.keys() & OF_ALL[question.name][1] and not positioned:
                # All there are, in the order of an index, as far as the page goes.
                table = OF_ALL[question.name][0]
                assert plan == [f"SCAN {table} USING INDEX ix_{table}_{question.sort}"]
                continue
            check(plan, may_sort=may_sort(question, way))


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_what_is_looked_at_to_choose_a_way_is_in_an_index_alone(explain, question):
    listing = ALL[question.name]
    for way in listing.ways(question.shape, question.sort)[:-1]:
        plan = explain(listing._probe(question.shape, way))
        assert [step for step in plan if "USING COVERING INDEX" in step], plan
        check([step for step in plan if step != "SCAN few"])


# What is read beside the lists, one line each: name, and the statement.
OTHERS: dict[str, Statement] = {
    "history, oldest first": history._FORWARDS,
    "history, newest first": history._BACKWARDS,
    "lengths of comments beside tickets": expansion._COMMENTS.lengths,
    "lengths of public comments beside tickets": expansion._PUBLIC_COMMENTS.lengths,
    "lengths of history beside tickets": expansion._HISTORY.lengths,
    "comments beside tickets": expansion._COMMENTS.rows,
    "history beside tickets": expansion._HISTORY.rows,
    "the last event": event_listing._LAST,
    "the first event from a number on": event_listing._REACHED,
    "the last event that is late": event_listing._LAST_LATE,
    "the long texts of events": event_texts._READ,
    "a long text that is used again": event_texts._FIND,
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_read_beside_the_lists_is_looked_up_by_an_index(explain, name):
    check([step for step in explain(OTHERS[name]) if step != WANTED])


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
        ("TICKETS", "assignee_id", "ix_tickets_assignee_id"),
        ("TICKETS", "contact_id", "ix_tickets_contact_id"),
        ("TICKETS", "own_contact_id", "ix_tickets_contact_id"),
        ("OPEN_TICKETS", "own_contact_id", "ix_tickets_contact_id"),
        ("TICKETS", "team_id", "ix_tickets_team_id"),
        ("QUEUES", "assignee_id", "ix_tickets_assignee_id_waiting"),
        ("QUEUES", "team_id", "ix_tickets_team_id_waiting"),
        ("TICKETS", "unbreached", "ix_tickets_organization_id_is_breached_created_at"),
        ("TAGGED_TICKETS", "tag", "ix_ticket_tags_organization_id_tag"),
        ("COMMENTS", "ticket_id", "ix_comments_ticket_id_created_at"),
        ("COMMENTS_TO_CONTACT", "ticket_id", "ix_comments_ticket_id_created_at"),
        ("API_KEYS", "user_id", "ix_api_keys_user_id"),
        ("EVENTS", "since", "uq_events_organization_id_seq"),
        ("EVENTS", "until", "uq_events_organization_id_seq"),
        ("EVENTS", "type", "ix_events_organization_id_type"),
        ("EVENTS", "entity_id", "ix_events_organization_id_entity_id"),
        ("EVENTS", "ticket_id", "ix_events_ticket_id"),
    ],
)
def test_a_filter_on_one_value_has_an_index_of_its_own(explain, name, filter_name, index):
    start = tuple((each, 1, False) for each in ALWAYS.get(name, ("organization_id",)) if each != filter_name)
    sort = next(iter(ALL[name]._sorts))
    for positioned in (False, True):
        plan = explain.page(Question(name, (*start, (filter_name, 1, False)), sort), positioned=positioned)
        assert any(f" {index} " in step for step in plan), plan
        check(plan)


@pytest.mark.parametrize(
    ("name", "sort", "index"),
    [("OPEN_TICKETS", "created_at", "ix_tickets_open"), ("CLOSED_TICKETS", "closed_at", "ix_tickets_closed")],
)
def test_what_waits_and_what_is_closed_has_an_index_of_its_own(explain, name, sort, index):
    for positioned in (False, True):
        plan = explain.page(Question(name, (("organization_id", 1, False),), sort), positioned=positioned)
        assert {step.split(" INDEX ")[1].split()[0] for step in plan if " INDEX " in step} == {index}, plan


@pytest.mark.parametrize("sort", ["created_at", "updated_at"])
def test_what_is_breached_comes_in_order_but_for_what_was_not_told_yet(explain, sort):
    shape = tuple((name, 1, False) for name in ("organization_id", "breached"))
    for positioned in (False, True):
        plan = explain.page(Question("TICKETS", shape, sort), positioned=positioned)
        page = plan[: plan.index(PAGE)]
        *many, few = [step for step in page if step.startswith("SEARCH")]
        index = f" ix_tickets_organization_id_is_breached_{sort} (organization_id=? AND is_breached=?"
        assert all(index in step for step in many)
        assert few.endswith(" ix_tickets_breaches_at (organization_id=? AND breaches_at<?)")
        assert [step for step in page if "TEMP B-TREE" in step] == ["USE TEMP B-TREE FOR ORDER BY"]


@pytest.mark.parametrize("sort", ["created_at", "updated_at"])
def test_what_is_not_breached_comes_in_order(explain, sort):
    shape = tuple((name, 1, False) for name in ("organization_id", "unbreached"))
    for positioned in (False, True):
        plan = explain.page(Question("TICKETS", shape, sort), positioned=positioned)
        check(plan)
        index = f" ix_tickets_organization_id_is_breached_{sort} (organization_id=? AND is_breached=?"
        assert any(index in step for step in plan)


@pytest.mark.parametrize("other", ["status", "priority", "type", "assignee_id", "team_id", "contact_id"])
def test_beside_another_filter_what_was_not_told_yet_is_looked_up_as_without_it(explain, other):
    shape = tuple((name, 1, False) for name in ("organization_id", other, "breached"))
    for positioned in (False, True):
        plan = explain.page(Question("TICKETS", shape, "created_at"), positioned=positioned)
        assert any(step.endswith(" ix_tickets_breaches_at (organization_id=? AND breaches_at<?)") for step in plan)


def test_the_queue_of_one_status_and_priority_has_an_index_of_its_own(explain):
    shape = tuple((name, 1, False) for name in ("organization_id", "status", "priority"))
    for positioned in (False, True):
        plan = explain.page(Question("TICKETS", shape, "created_at"), positioned=positioned)
        assert any(" ix_tickets_organization_id_status_priority " in step for step in plan), plan
        check(plan)


def test_the_filters_without_an_index_of_their_own_are_known():
    # They take rows away from a walk in the asked order: accounts and visibilities are of two kinds only.
    without = {("USERS", "is_active"), ("COMMENTS", "visibility"), ("COMMENTS_TO_CONTACT", "visibility")}
    # A contact's tickets are few; they are indexed in the order of creation, and read and sorted for any other.
    without |= {("CLOSED_TICKETS", "own_contact_id")}
    # The audit log is written with each request and read now and then: each index would cost every request.
    for name in ("user_id", "api_key_id", "method", "operation", "status", "ip"):
        without |= {("AUDIT_LOG", name), ("AUDIT_LOG_OF_ALL", name)}
    # Two indexes; a test of its own above.
    without |= {("TICKETS", "breached")}
    # Of the tickets of a contact, or with a tag, they take some away.
    without |= {("TICKETS", "tag")}
    # Of somebody's queue.
    without |= {("QUEUES", name) for name in ("status", "priority", "type", "breached", "unbreached", "tag", *RANGES)}
    without |= {("TAGGED_TICKETS", name) for name in ("contact_id", "assignee_id", "team_id")}
    without |= {("TAGGED_TICKETS", name) for name in ("status", "priority", "type", "breached", "unbreached")}
    lists_with_times = ("TICKETS", "TAGGED_TICKETS", "COMMENTS", "COMMENTS_TO_CONTACT")
    ranges = {(name, each) for name in lists_with_times for each in RANGES}
    # Between numbers that are found by time.
    ranges |= {("EVENTS", bound) for bound in ("created_from", "created_to")}
    ranges |= {(name, bound) for name in ("AUDIT_LOG", "AUDIT_LOG_OF_ALL") for bound in ("created_from", "created_to")}
    with_index = {
        (mark[0], mark[1]) for mark in test_a_filter_on_one_value_has_an_index_of_its_own.pytestmark[0].args[1]
    }
    every = {
        (name, filter_name)
        for name, listing in ALL.items()
        for filter_name in listing._filters.keys() - (set(ALWAYS.get(name, ("organization_id",))) - {"tag"}) - SEARCHED
    }
    assert with_index | without | ranges == every


@pytest.mark.parametrize(
    ("listing", "column"), [("TICKETS", "organization_id"), ("COMMENTS", "organization_id"), ("COMMENTS", "ticket_id")]
)
@pytest.mark.parametrize("name", RANGES)
def test_a_range_of_time_is_looked_up_in_the_order_it_is_of(explain, listing, column, name):
    sort = "updated_at" if name == "updated_since" else "created_at"
    shape = tuple((each, 1, False) for each in dict.fromkeys(("organization_id", column, name)))
    [step] = explain.page(Question(listing, shape, sort))
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
def test_the_state_of_all_tickets_is_a_few_look_ups(explain, statement, plan):
    assert explain(statement) == plan


@pytest.mark.parametrize("group_by", ["none", *stats._GROUPS])
@pytest.mark.parametrize(
    ("statement", "index", "column"),
    [
        (stats._created, "ix_tickets_organization_id_created_at", "created_at"),
        (stats._resolved, "ix_tickets_resolved", "resolved_at"),
        (stats._closed, "ix_tickets_closed", "closed_at"),
    ],
)
def test_what_happened_in_a_bucket_is_looked_up_by_when(explain, statement, index, column, group_by):
    first, *more = explain(statement(group_by))
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
def test_how_many_tickets_there_are_is_looked_up_where_it_is_known(explain, name, filters):
    [step] = explain(ALL[name]._count((("organization_id", 1, False), *filters)))
    assert step.startswith("SEARCH ticket_tallies USING PRIMARY KEY (organization_id=?")
    of_a_contact = explain(ALL[name]._count((("organization_id", 1, False), ("own_contact_id", 1, False))))
    assert "tickets USING INDEX ix_tickets_contact_id" in of_a_contact[0]
