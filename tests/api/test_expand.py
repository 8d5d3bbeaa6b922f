"""`expand`: what belongs to tickets, beside their ids, in one round trip."""

from collections import defaultdict
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from api.checks import made, problem, walk
from factories import Client, Tenant
from tickets.db import Transaction
from tickets.domain import expansion, records
from tickets.models import Contact

BESIDE = ("contact", "assignee", "team", "comments", "history")
"""What stands beside the ids of a ticket itself; the policy stands in its `sla`."""
NAMES = (*BESIDE, "sla")
ALL = ",".join(NAMES)
LISTS = ("/tickets", "/tickets/open", "/tickets/closed", "/users/{user}/tickets", "/contacts/{contact}/tickets")


@pytest.fixture
def ticket(tenant: Tenant) -> dict[str, Any]:
    """A ticket of somebody, for somebody, of a team, with a policy, that was spoken of and changed."""
    tenant.sla_policy()
    raised = tenant.ticket(
        contact_id=tenant.contact(attributes={"rating": "bad"}, external_id="X-1")["id"],
        assignee_id=tenant.user("agent").id,
        team_id=tenant.team(description="Night shift")["id"],
    )
    tenant.comment(raised, body="Look at this.", visibility="internal")
    tenant.comment(raised, body="On it.")
    return tenant.client().patch(f"/tickets/{raised['id']}", json={"priority": "high", "type": "task"}).json()


@pytest.fixture
def own(tenant: Tenant, user: Client) -> dict[str, Any]:
    """A ticket of the user's own, with all that others made of it."""
    tenant.sla_policy(name="Gold")
    mine = made(user.post("/tickets", json={"subject": "S", "description": ""}))
    staff = {"assignee_id": tenant.user("agent", name="Ada").id, "team_id": tenant.team(name="Night")["id"]}
    tenant.client().patch(f"/tickets/{mine['id']}", json=staff)
    tenant.comment(mine, body="They never pay.", visibility="internal")
    tenant.comment(mine, body="On it.")
    return mine


class TestWhatStandsThere:
    def test_it_is_what_the_other_operations_show(self, admin, ticket):
        path = f"/tickets/{ticket['id']}"
        shown = admin.get(path, params={"expand": ALL}).json()
        assert shown["contact"] == admin.get(f"/contacts/{ticket['contact_id']}").json()
        assert shown["assignee"] == admin.get(f"/users/{ticket['assignee_id']}").json()
        assert shown["team"] == admin.get(f"/teams/{ticket['team_id']}").json()
        assert shown["comments"] == admin.get(f"{path}/comments").json()["data"]
        assert shown["history"] == admin.get(f"{path}/history").json()["data"]
        assert len(shown["comments"]) == 2
        assert len(shown["history"]) == 3
        assert admin.get("/tickets", params={"expand": ALL}).json()["data"] == [shown]
        assert shown["sla"].pop("policy") == admin.get(f"/sla-policies/{ticket['sla']['policy_id']}").json()
        assert {name: value for name, value in shown.items() if name not in BESIDE} == admin.get(path).json()

    def test_what_there_is_none_of_is_null_or_empty(self, tenant, admin):
        shown = admin.get(f"/tickets/{tenant.ticket()['id']}", params={"expand": ALL}).json()
        assert [shown[name] for name in BESIDE[1:]] == [None, None, [], []]
        assert shown["sla"]["policy"] is None

    def test_a_policy_is_shown_as_it_is_now_and_not_once_it_is_deleted(self, admin, ticket):
        path, policy = f"/tickets/{ticket['id']}", ticket["sla"]["policy_id"]
        admin.patch(f"/sla-policies/{policy}", json={"name": "Renamed"})
        assert admin.get(path, params={"expand": "sla"}).json()["sla"]["policy"]["name"] == "Renamed"
        assert admin.delete(f"/sla-policies/{policy}").status_code == 204
        shown = admin.get(path, params={"expand": "sla"}).json()["sla"]
        assert shown == {**ticket["sla"], "policy": None}

    @pytest.mark.parametrize("name", NAMES)
    def test_only_what_was_asked_for_is_there(self, admin, ticket, name):
        shown = admin.get(f"/tickets/{ticket['id']}", params={"expand": name}).json()
        assert shown.keys() - ticket.keys() == {name} - {"sla"}
        assert shown["sla"].keys() - ticket["sla"].keys() == ({"policy"} if name == "sla" else set())

    @pytest.mark.parametrize("path", LISTS)
    def test_every_list_of_tickets_takes_it(self, tenant, admin, path):
        ticket = tenant.ticket()
        if "closed" in path:
            admin.patch(f"/tickets/{ticket['id']}", json={"status": "closed"})
        address = path.format(user=tenant.users["admin"].id, contact=ticket["contact_id"])
        [shown] = admin.get(address, params={"expand": "contact,history"}).json()["data"]
        assert shown["contact"]["id"] == ticket["contact_id"]
        assert len(shown["history"]) == (3 if "closed" in path else 0)

    def test_each_ticket_has_its_own(self, tenant, admin):
        contacts = [tenant.contact()["id"] for _ in range(3)]
        tickets = [tenant.ticket(contact_id=contact) for contact in contacts]
        for number, ticket in enumerate(tickets):
            for _ in range(number):
                tenant.comment(ticket, body=f"Of {number}")
        rows = admin.get("/tickets", params={"expand": "contact,comments", "sort": "created_at"}).json()["data"]
        assert [row["contact"]["id"] for row in rows] == contacts
        said = [[comment["body"] for comment in row["comments"]] for row in rows]
        assert said == [[f"Of {number}"] * number for number in range(3)]

    def test_of_many_the_last_are_there_the_oldest_first(self, tenant, admin):
        ticket = tenant.ticket()
        for number in range(52):
            tenant.comment(ticket, body=str(number))
            assert admin.patch(f"/tickets/{ticket['id']}", json={"subject": str(number)}).status_code == 200
        one = admin.get(f"/tickets/{ticket['id']}", params={"expand": "comments,history"}).json()
        [row] = admin.get("/tickets", params={"expand": "comments,history"}).json()["data"]
        for shown, first in ((one, 2), (row, 42)):
            assert [comment["body"] for comment in shown["comments"]] == [str(n) for n in range(first, 52)]
            assert [entry["new"] for entry in shown["history"]] == [str(n) for n in range(first, 52)]

    def test_more_than_50_tickets_with_comments_or_history_are_refused(self, tenant, admin):
        for _ in range(51):
            tenant.ticket()
        for params, count in (
            ({"expand": "contact,assignee", "limit": 200}, 51),
            ({"expand": "comments"}, 50),
            ({"expand": "contact,history", "limit": 50}, 50),
            ({"expand": "comments", "page": 2}, 1),
            ({"expand": "comments", "page": 2, "per_page": 50}, 1),
            ({"expand": "history", "offset": 1}, 50),
        ):
            assert len(admin.get("/tickets", params=params).json()["data"]) == count, params
        for params, name in (
            ({"expand": "comments", "limit": 51}, "limit"),
            ({"expand": "contact,history", "limit": 200, "offset": 1}, "limit"),
            ({"expand": "history", "page": 1, "limit": 51}, "limit"),
            ({"expand": "comments", "page": 1, "per_page": 51}, "per_page"),
            ({"expand": "comments", "per_page": 1_000}, "per_page"),
        ):
            refused = admin.get("/tickets", params=params)
            told = problem(refused, 400, "invalid_request", f"/{name}", where="query")
            assert "50 at most" in told["detail"]


LONG = "x" * 50_000


class TestLongTexts:
    """A page ends early where it gets long; `LONG` is a twentieth of what is too much."""

    @pytest.fixture
    def tickets(self, tenant) -> list[dict[str, Any]]:
        """Six tickets, of which each but the second was spoken of at length."""
        raised = [tenant.ticket() for _ in range(6)]
        for ticket in (raised[0], *raised[2:]):
            for number in range(9):
                tenant.comment(ticket, body=f"{number}{LONG[1:]}")
        return raised

    @pytest.mark.parametrize(
        ("sort", "pages"),
        [("created_at", [[0, 1, 2, 3], [4, 5]]), ("-created_at", [[5, 4, 3], [2, 1, 0]])],
    )
    def test_a_page_ends_early_and_a_walk_meets_each_ticket_with_all_of_its_own(self, admin, tickets, sort, pages):
        params = {"expand": "contact,comments", "sort": sort}
        found, cursor, last = [], None, None
        while last is None or cursor is not None:
            last = admin.get("/tickets", params=params | ({"cursor": cursor} if cursor else {})).json()
            found.append(last["data"])
            cursor = last["next_cursor"]
        assert [[row["id"] for row in page] for page in found] == [[tickets[n]["id"] for n in page] for page in pages]
        for row in chain(*found):
            said = 0 if row["id"] == tickets[1]["id"] else 9
            assert [comment["body"][0] for comment in row["comments"]] == [str(n) for n in range(said)]
        back = admin.get("/tickets", params={**params, "cursor": last["prev_cursor"]}).json()
        assert [row["id"] for row in back["data"]] == [row["id"] for row in found[0]]
        assert back["prev_cursor"] is None
        assert back["next_cursor"] is not None

    def test_backwards_it_ends_early_at_its_other_end(self, admin, tickets):
        params = {"expand": "comments", "sort": "created_at"}
        end = admin.get("/tickets", params={"sort": "created_at", "offset": 5}).json()
        pages = []
        while end["prev_cursor"] is not None:
            end = admin.get("/tickets", params={**params, "cursor": end["prev_cursor"]}).json()
            pages.append([row["id"] for row in end["data"]])
            assert all("comments" in row for row in end["data"])
        assert pages == [[tickets[n]["id"] for n in page] for page in ([1, 2, 3, 4], [0])]
        on = admin.get("/tickets", params={**params, "cursor": end["next_cursor"]}).json()
        assert [row["id"] for row in on["data"]] == [tickets[n]["id"] for n in (1, 2, 3, 4)]

    def test_pages_that_are_counted_are_whole(self, admin, tickets):
        page = admin.get("/tickets", params={"expand": "comments", "page": 1}).json()
        assert len(page["data"]) == len(tickets) == page["total"]
        assert sum(len(row["comments"]) for row in page["data"]) == 45

    def test_pages_that_are_counted_are_refused_where_they_come_to_too_much(self, monkeypatch, admin, tickets):
        monkeypatch.setattr("tickets.domain.expansion.MOST_COUNTED_TEXT", 1_000_000)
        asked = {"expand": "comments", "sort": "created_at"}
        for params, name in (({"page": 1}, "limit"), ({"offset": 1}, "limit"), ({"per_page": 5}, "per_page")):
            refused = admin.get("/tickets", params={**asked, **params})
            told = problem(refused, 400, "invalid_request", f"/{name}", where="query")
            assert "by cursor" in told["detail"]
        pages = [admin.get("/tickets", params={**asked, "page": n, "per_page": 3}).json() for n in (1, 2)]
        assert [row["id"] for page in pages for row in page["data"]] == [ticket["id"] for ticket in tickets]

    def test_history_ends_a_page_early_as_well(self, tenant, admin):
        tickets = [tenant.ticket() for _ in range(3)]
        for ticket in tickets:
            for number in range(6):
                assert admin.patch(f"/tickets/{ticket['id']}", json={"description": f"{number}{LONG[1:]}"}).is_success
        page = admin.get("/tickets", params={"expand": "comments,history", "sort": "created_at"}).json()
        assert [row["id"] for row in page["data"]] == [ticket["id"] for ticket in tickets[:2]]
        assert [len(row["history"]) for row in page["data"]] == [6, 6]
        path = f"/tickets/{tickets[0]['id']}/history"
        for _ in range(6):
            assert admin.patch(f"/tickets/{tickets[0]['id']}", json={"description": LONG}).is_success
            assert admin.patch(f"/tickets/{tickets[0]['id']}", json={"description": "", "type": "task"}).is_success
        assert len(admin.get(path).json()["data"]) < 19
        assert len(list(walk(admin, path))) == 19


class TestWhoSeesWhat:
    def test_a_user_sees_names_and_public_comments(self, tenant, user, own):
        shown = user.get(f"/tickets/{own['id']}", params={"expand": ALL}).json()
        assert shown["contact"] == {"id": own["contact_id"], "name": tenant.users["user"].name}
        assert shown["assignee"] == {"id": shown["assignee_id"], "name": "Ada"}
        assert shown["team"] == {"id": shown["team_id"], "name": "Night"}
        assert shown["sla"]["policy"] == {"id": shown["sla"]["policy_id"], "name": "Gold"}
        assert [comment["body"] for comment in shown["comments"]] == ["On it."]
        assert shown["history"] == user.get(f"/tickets/{own['id']}/history").json()["data"]
        assert user.get("/tickets", params={"expand": ALL}).json()["data"] == [shown]
        assert user.get(f"/users/{tenant.users['user'].id}/tickets?expand={ALL}").json()["data"] == [shown]

    def test_nobody_sees_anything_of_somebody_elses_ticket(self, user, other, ticket):
        for client in (user, other.client()):
            problem(client.get(f"/tickets/{ticket['id']}", params={"expand": ALL}), 404, "not_found")
            assert client.get("/tickets", params={"expand": ALL}).json()["data"] == []

    @pytest.mark.parametrize(
        ("name", "scope"),
        [
            ("contact", "contacts:read"),
            ("assignee", "users:read"),
            ("team", "teams:read"),
            ("comments", "comments:read"),
            ("sla", "sla_policies:read"),
        ],
    )
    def test_a_key_needs_the_scope_of_what_it_asks_for(self, tenant, ticket, name, scope):
        narrow = tenant.client("admin", scopes=["tickets:read"])
        wide = tenant.client("admin", scopes=["tickets:read", scope])
        for path in ("/tickets", "/tickets/open", f"/tickets/{ticket['id']}"):
            refused = problem(
                narrow.get(path, params={"expand": name}), 403, "insufficient_scope", "/expand", where="query"
            )
            assert scope in refused["detail"]
            assert wide.get(path, params={"expand": name}).status_code == 200
            assert narrow.get(path, params={"expand": "history"}).status_code == 200
        narrow.close()
        wide.close()


class TestHowItIsAsked:
    def test_with_commas_or_several_times(self, admin, ticket):
        path = f"/tickets/{ticket['id']}?expand="
        expected = admin.get(f"{path}contact,team").json()
        for query in ("team,contact", "contact&expand=team", "contact%2Cteam", "contact,team&expand=contact"):
            assert admin.get(path + query).json() == expected

    @pytest.mark.parametrize("value", ["", "contact,", "contacts", "Contact", "contact,surprise", "contact team"])
    def test_what_is_unknown_is_a_400_that_lists_the_known(self, admin, ticket, value):
        for path in ("/tickets", f"/tickets/{ticket['id']}"):
            response = admin.get(path, params={"expand": value})
            place = f"/expand/{1 if ',' in value else 0}"
            told = problem(response, 400, "invalid_request", place, where="query")
            assert all(name in told["detail"] for name in NAMES)

    def test_a_cursor_goes_on_with_or_without_it(self, tenant, admin):
        tickets = [tenant.ticket()["id"] for _ in range(3)]
        page = admin.get("/tickets", params={"limit": 1, "sort": "created_at", "expand": "contact"})
        cursor = page.json()["next_cursor"]
        for params, is_there in (({}, False), ({"expand": "contact"}, True)):
            following = admin.get(
                "/tickets", params={"limit": 1, "sort": "created_at", "cursor": cursor, **params}
            ).json()
            assert following["data"][0]["id"] == tickets[1]
            assert ("contact" in following["data"][0]) == is_there
        linked = admin.get(page.url.join(page.links["next"]["url"])).json()
        assert "contact" in linked["data"][0]


class TestVersions:
    def test_an_expanded_ticket_has_no_etag_and_is_never_not_modified(self, tenant, admin, ticket):
        path = f"/tickets/{ticket['id']}"
        tag = admin.get(path).headers["etag"]
        asked = {"if-none-match": tag}
        assert admin.get(path, headers=asked).status_code == 304
        before = admin.get(path, params={"expand": "comments"}, headers=asked)
        tenant.comment(ticket, body="Once more.", visibility="internal")
        after = admin.get(path, params={"expand": "comments"}, headers=asked)
        for answer in (before, after):
            assert answer.status_code == 200
            assert "etag" not in answer.headers
            assert f'"{answer.json()["version"]}"' == tag
        assert len(after.json()["comments"]) == len(before.json()["comments"]) + 1

    @pytest.mark.usefixtures("ticket")
    def test_the_event_log_shows_tickets_alone(self, admin):
        events = admin.get("/events", params={"type": "ticket.updated"}).json()["data"]
        assert events
        assert not [event for event in events if set(BESIDE) & event["data"].keys() or "policy" in event["data"]["sla"]]


class TestStatements:
    @pytest.fixture
    def count(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], int]:
        """Count all statements of the transaction in which a request reads tickets."""
        run: defaultdict[Transaction, list[str]] = defaultdict(list)
        execute = Transaction._execute

        def counting(self: Transaction, statement: Any, values: dict[str, Any]) -> Any:
            run[self].append(str(statement.clause))
            return execute(self, statement, values)

        monkeypatch.setattr(Transaction, "_execute", counting)

        def during(ask: Callable[[], Any]) -> int:
            run.clear()
            assert ask().status_code == 200
            [statements] = [each for each in run.values() if any("FROM tickets" in sql for sql in each)]
            return len(statements)

        return during

    @pytest.mark.parametrize("path", LISTS)
    def test_their_number_does_not_depend_on_the_number_of_rows(self, tenant, admin, count, path):
        def add() -> dict[str, Any]:
            people = {"assignee_id": tenant.user("agent").id, "team_id": tenant.team()["id"]}
            raised = tenant.ticket(**people)  # by the admin's own contact
            tenant.comment(raised)
            status = "closed" if "closed" in path else "in_progress"
            assert admin.patch(f"/tickets/{raised['id']}", json={"status": status}).status_code == 200
            return raised

        tenant.sla_policy()
        ticket = add()
        address = path.format(user=tenant.users["admin"].id, contact=ticket["contact_id"])

        def ask(rows: int) -> int:
            shown = admin.get(address, params={"expand": ALL}).json()["data"]
            assert len(shown) == rows
            assert all(row["comments"] and row["history"] and row["team"] and row["assignee"] for row in shown)
            assert all(row["sla"]["policy"] for row in shown)
            return count(lambda: admin.get(address, params={"expand": ALL}))

        one = ask(1)
        for _ in range(49):
            add()
        whose = {"/users/{user}/tickets": 2, "/contacts/{contact}/tickets": 1}.get(path, 0)  # who that is
        # One for each thing, and for those that there can be many of one more, which reads how long they are.
        beside = len(NAMES) + len({"comments", "history"})
        assert ask(50) == one == whose + 1 + beside
        assert count(lambda: admin.get(f"/tickets/{ticket['id']}", params={"expand": ALL})) == 1 + beside

    def test_one_statement_for_each_row_would_be_seen(self, monkeypatch, tenant, admin, count):
        def one_by_one(tx: Transaction, _: Any, wanted: Any) -> tuple[dict[int, Any], int]:
            found = [records.find(tx, Contact, ticket.contact_id, ticket.organization_id) for ticket in wanted.tickets]
            assert all(found)
            return dict.fromkeys((ticket.id for ticket in wanted.tickets), None), len(found)

        for _ in range(9):
            tenant.ticket()
        assert count(lambda: admin.get("/tickets", params={"expand": "contact,team"})) == 3
        slow = expansion._EXPANSIONS["contact"]._replace(fetch=one_by_one)
        monkeypatch.setitem(expansion._EXPANSIONS, "contact", slow)
        assert count(lambda: admin.get("/tickets", params={"expand": "contact,team"})) == 2 + 9
