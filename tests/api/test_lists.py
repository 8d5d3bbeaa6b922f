"""What is equal for every list: pages, cursors, links, sorts."""

import base64
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import time_machine

from api.checks import ids, problem
from factories import Client, Tenant
from tickets.http.transaction import Reader

FILTERS = ("search", "type")
MOMENT = "2030-01-02T03:04:05.678Z"


@dataclass(frozen=True)
class Kind:
    """A list and how rows get on it."""

    path: str
    fill: Callable[[Tenant, int], list[int]]
    names: bool = False
    role: str = "admin"
    default: str = "-created_at"

    def __str__(self) -> str:
        return re.sub(r"\W+", "-", self.path).strip("-")

    def address(self, tenant: Tenant) -> str:
        if "{ticket}" in self.path:
            tenant.spare = getattr(tenant, "spare", None) or tenant.ticket()
            return self.path.format(ticket=tenant.spare["id"])
        if "{team}" in self.path:
            tenant.spare = getattr(tenant, "spare", None) or tenant.team()
            return self.path.format(team=tenant.spare["id"])
        return self.path

    @property
    def sorts(self) -> list[str]:
        keys = ["created_at", "updated_at", *(["name"] if self.names else [])]
        return [*keys, *(f"-{key}" for key in keys)]


def _users(tenant: Tenant, count: int) -> list[int]:
    return [tenant.user("agent", name=f"Agent {n % 3}").id for n in range(count)]


def _members(tenant: Tenant, count: int) -> list[int]:
    team = KINDS[-1].address(tenant)
    users = _users(tenant, count)
    for user_id in users:
        assert tenant.client().put(f"{team}/{user_id}").status_code == 204
    return users


def _comments(tenant: Tenant, count: int) -> list[int]:
    ticket = tenant.spare if hasattr(tenant, "spare") else tenant.ticket()
    return [tenant.comment(ticket)["id"] for _ in range(count)]


KINDS = [
    Kind("/users", _users, names=True),
    Kind("/teams", lambda t, n: [t.team()["id"] for _ in range(n)], names=True),
    Kind("/contacts", lambda t, n: [t.contact(name=f"Contact {i % 3}")["id"] for i in range(n)], names=True),
    Kind("/tickets", lambda t, n: [t.ticket()["id"] for _ in range(n)]),
    Kind("/comments", _comments),
    Kind("/tickets/{ticket}/comments", _comments, default="created_at"),
    Kind("/api-keys", lambda t, n: [t.create("/api-keys", name="Key")["id"] for _ in range(n)]),
    Kind("/teams/{team}/members", _members, names=True),
]
each = pytest.mark.parametrize("kind", KINDS, ids=str)
TICKETS = KINDS[3]


def walk(client: Client, address: str, **params: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Walk a list forward to its end; return the rows, and the cursors that led on."""
    rows, cursors = [], []
    body = client.get(address, params=params).json()
    assert body["prev_cursor"] is None
    while True:
        rows += body["data"]
        if body["next_cursor"] is None:
            return rows, cursors
        cursors.append(body["next_cursor"])
        body = client.get(address, params={**params, "cursor": body["next_cursor"]}).json()
        assert body["prev_cursor"] is not None


def walk_back(client: Client, address: str, cursor: str, **params: Any) -> list[dict[str, Any]]:
    """Walk a list back to its beginning."""
    rows: list[dict[str, Any]] = []
    following: str | None = cursor
    while following is not None:
        body = client.get(address, params={**params, "cursor": following}).json()
        assert body["next_cursor"] is not None
        rows = body["data"] + rows
        following = body["prev_cursor"]
    return rows


@each
class TestPages:
    def test_a_walk_forward_and_back_shows_each_row_once_in_order(self, tenant, kind):
        address, client = kind.address(tenant), tenant.client(kind.role)
        with time_machine.travel(MOMENT, tick=False):
            made = kind.fill(tenant, 4)  # all of one moment: only the id tells them apart
        made += kind.fill(tenant, 3)
        for sort in kind.sorts:
            rows, cursors = walk(client, address, limit=2, sort=sort)
            assert set(made) <= {row["id"] for row in rows}
            assert len({row["id"] for row in rows}) == len(rows)
            key = sort.removeprefix("-")
            order = [(row[key], row["id"]) for row in rows]
            assert order == sorted(order, reverse=sort.startswith("-"))
            assert rows == client.get(address, params={"sort": sort, "limit": 200}).json()["data"]
            last = client.get(address, params={"limit": 2, "sort": sort, "cursor": cursors[-1]}).json()
            back = walk_back(client, address, last["prev_cursor"], limit=2, sort=sort)
            assert back + last["data"] == rows

    def test_the_order_without_a_sort_is_the_contracts(self, tenant, kind):
        address = kind.address(tenant)
        kind.fill(tenant, 3)
        client = tenant.client(kind.role)
        assert ids(client.get(address)) == ids(client.get(address, params={"sort": kind.default}))
        other = kind.default.removeprefix("-") if kind.default.startswith("-") else f"-{kind.default}"
        assert ids(client.get(address)) == ids(client.get(address, params={"sort": other}))[::-1]

    def test_the_link_header_repeats_the_cursors_as_addresses(self, tenant, kind):
        address, client = kind.address(tenant), tenant.client(kind.role)
        kind.fill(tenant, 5)
        first = client.get(address, params={"limit": 2, "sort": "updated_at"})
        assert first.links.keys() == {"next"}
        url = first.links["next"]["url"]
        cursor = first.json()["next_cursor"]
        assert url == f"/api/v1{address}?limit=2&sort=updated_at&cursor={cursor}"
        second = client.get(first.request.url.join(url))
        assert second.links.keys() == {"next", "prev"}
        back = client.get(first.request.url.join(second.links["prev"]["url"]))
        assert back.json()["data"] == first.json()["data"]
        assert "link" not in client.get(address, params={"limit": 200}).headers

    def test_the_bounds_of_limit_are_accepted_and_nothing_beyond(self, tenant, kind):
        address, client = kind.address(tenant), tenant.client(kind.role)
        for limit in (1, 200):
            assert len(ids(client.get(address, params={"limit": limit}))) <= limit
        for limit in ("0", "201", "-1", "x", "", "1.0", "1_0", " 5", "\u0665"):
            response = client.get(address, params={"limit": limit})
            problem(response, 400, "invalid_request", "/limit", where="query")

    def test_an_unknown_sort_is_a_400(self, tenant, kind):
        address, client = kind.address(tenant), tenant.client(kind.role)
        for sort in ("", "id", "-", "--created_at", "created_at,id", "CREATED_AT"):
            response = client.get(address, params={"sort": sort})
            problem(response, 400, "invalid_request", "/sort", where="query")

    def test_a_cursor_is_good_for_its_sort_only(self, tenant, kind):
        address, client = kind.address(tenant), tenant.client(kind.role)
        kind.fill(tenant, 3)
        cursor = client.get(address, params={"limit": 1}).json()["next_cursor"]
        response = client.get(address, params={"limit": 1, "cursor": cursor, "sort": "updated_at"})
        problem(response, 400, "invalid_request", "/cursor", where="query")

    def test_the_cursor_of_another_tenant_is_a_400(self, tenant, other, kind):
        theirs = kind.address(other)
        kind.fill(other, 3)
        cursor = other.client(kind.role).get(theirs, params={"limit": 1}).json()["next_cursor"]
        assert cursor is not None
        response = tenant.client(kind.role).get(kind.address(tenant), params={"limit": 1, "cursor": cursor})
        problem(response, 400, "invalid_request", "/cursor", where="query")


class TestCursors:
    @pytest.fixture
    def cursor(self, tenant):
        TICKETS.fill(tenant, 3)
        return tenant.client().get("/tickets", params={"limit": 1}).json()["next_cursor"]

    def test_a_cursor_is_base64url(self, cursor):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)

    def test_limit_may_change_along_the_way(self, admin, cursor):
        assert len(ids(admin.get("/tickets", params={"limit": 5, "cursor": cursor}))) == 2

    def test_every_tampered_byte_is_a_400(self, admin, cursor):
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        for place in range(len(raw)):
            bad = bytes(byte ^ (1 if n == place else 0) for n, byte in enumerate(raw))
            text = base64.urlsafe_b64encode(bad).rstrip(b"=").decode()
            response = admin.get("/tickets", params={"limit": 1, "cursor": text})
            problem(response, 400, "invalid_request", "/cursor", where="query")

    @pytest.mark.parametrize("text", ["x", "AAAA", "=", "a b", "A" * 1024, "A" * 1025, "é"])
    def test_what_is_no_cursor_is_a_400(self, admin, text):
        response = admin.get("/tickets", params={"cursor": text})
        problem(response, 400, "invalid_request", "/cursor", where="query")

    @pytest.mark.parametrize("how", [lambda c: c[:-1], lambda c: c + "A", lambda c: c + "=", lambda c: c[1:]])
    def test_a_cut_or_longer_cursor_is_a_400(self, admin, cursor, how):
        response = admin.get("/tickets", params={"limit": 1, "cursor": how(cursor)})
        problem(response, 400, "invalid_request", "/cursor", where="query")

    @pytest.mark.parametrize(
        "params", [{"status": "open"}, {"priority": ["low", "high"]}, {"created_from": "2020-01-01T00:00:00Z"}]
    )
    def test_a_cursor_is_good_for_its_filter_only(self, admin, cursor, params):
        response = admin.get("/tickets", params={"limit": 1, "cursor": cursor, **params})
        problem(response, 400, "invalid_request", "/cursor", where="query")

    def test_the_order_of_the_values_of_a_filter_does_not_matter_to_a_cursor(self, tenant, admin):
        TICKETS.fill(tenant, 3)
        asked = {"limit": 1, "assigned_to": ["none", "me", "7"], "status": ["open", "pending", "open"]}
        first = admin.get("/tickets", params=asked).json()
        turned = {name: value[::-1] if isinstance(value, list) else value for name, value in asked.items()}
        second = admin.get("/tickets", params={**turned, "cursor": first["next_cursor"]})
        assert ids(second) == ids(admin.get("/tickets", params={**asked, "cursor": first["next_cursor"]}))
        assert second.status_code == 200

    def test_a_cursor_is_good_for_its_list_only(self, tenant, admin, cursor):
        ticket = tenant.ticket()
        for path in ("/comments", "/contacts", "/users", f"/tickets/{ticket['id']}/comments"):
            response = admin.get(path, params={"limit": 1, "cursor": cursor})
            problem(response, 400, "invalid_request", "/cursor", where="query")

    def test_the_cursor_of_one_tickets_comments_is_not_good_for_anothers(self, tenant, admin):
        one, another = tenant.ticket(), tenant.ticket()
        for ticket in (one, another):
            tenant.comment(ticket)
            tenant.comment(ticket)
        cursor = admin.get(f"/tickets/{one['id']}/comments", params={"limit": 1}).json()["next_cursor"]
        response = admin.get(f"/tickets/{another['id']}/comments", params={"limit": 1, "cursor": cursor})
        problem(response, 400, "invalid_request", "/cursor", where="query")

    def test_a_colleague_may_go_on_with_a_cursor(self, agent, cursor):
        assert len(ids(agent.get("/tickets", params={"limit": 1, "cursor": cursor}))) == 1

    def test_a_user_may_not_go_on_with_a_cursor_of_the_staff(self, user, cursor):
        response = user.get("/tickets", params={"limit": 1, "cursor": cursor})
        problem(response, 400, "invalid_request", "/cursor", where="query")

    def test_the_last_page_that_is_just_full_leads_nowhere(self, tenant, admin):
        TICKETS.fill(tenant, 4)
        _, cursors = walk(admin, "/tickets", limit=2)
        assert len(cursors) == 1

    def test_an_empty_list_has_no_cursors(self, admin):
        assert admin.get("/tickets").json() == {"data": [], "next_cursor": None, "prev_cursor": None}

    def test_a_page_of_long_texts_ends_early(self, tenant, admin):
        ticket = tenant.ticket()
        made = [tenant.comment(ticket, body="x" * 50_000)["id"] for _ in range(25)]
        path = f"/tickets/{ticket['id']}/comments"
        first = admin.get(path).json()
        assert [row["id"] for row in first["data"]] == made[:21]
        last = admin.get(path, params={"cursor": first["next_cursor"]}).json()
        assert [row["id"] for row in last["data"]] == made[21:]
        assert last["next_cursor"] is None
        back = admin.get(path, params={"cursor": last["prev_cursor"]}).json()
        assert (back["data"], back["prev_cursor"]) == (first["data"], None)

    def test_rows_that_come_and_go_while_a_list_is_walked_do_not_matter(self, tenant, admin):
        there = TICKETS.fill(tenant, 6)
        going = tenant.ticket()["id"]
        first = admin.get("/tickets", params={"limit": 2}).json()
        assert admin.delete(f"/tickets/{going}").status_code == 204
        TICKETS.fill(tenant, 3)
        seen = [row["id"] for row in first["data"]]
        body = first
        while body["next_cursor"]:
            body = admin.get("/tickets", params={"limit": 2, "cursor": body["next_cursor"]}).json()
            seen += [row["id"] for row in body["data"]]
        assert [ticket_id for ticket_id in seen if ticket_id in there] == there[::-1]

    def test_the_link_keeps_repeated_filters(self, tenant, admin):
        TICKETS.fill(tenant, 3)
        first = admin.get("/tickets?status=open&limit=1&status=closed&cursor_=").status_code
        assert first == 400
        url = admin.get("/tickets?status=open&limit=1&status=closed").links["next"]["url"]
        assert url.startswith("/api/v1/tickets?status=open&limit=1&status=closed&cursor=")
        response = admin.get(response_url(admin, url))
        assert len(ids(response)) == 1
        assert response.links["prev"]["url"].count("cursor=") == 1


def response_url(client: Client, url: str) -> str:
    """Make an address out of a link, which begins at the server's root."""
    return str(client.base_url.join(url))


class TestManyValues:
    @pytest.mark.parametrize("number", range(1, 21))
    def test_each_row_comes_once_however_many_values_are_asked_for(self, tenant, admin, number):
        teams = [tenant.team()["id"] for _ in range(3)]
        made = [tenant.ticket(team_id=team, tags=["a", "b"])["id"] for team in teams]
        asked = {"team_id": [*teams, *range(9_000_001, 9_000_018)][:number], "sort": "created_at"}
        expected = made[:number]
        for more in ({}, {"tag": ["a", "b", "c", "d", "e"][: number % 6]}, {"assigned_to": "none"}, {"limit": 1}):
            assert [row["id"] for row in walk(admin, "/tickets", **asked, **more)[0]] == expected
        assert admin.get("/tickets", params={**asked, "page": 1}).json()["total"] == len(expected)

    def test_what_takes_long_to_prepare_holds_nobody_up(self, monkeypatch, admin):
        apart, runs = Reader.apart, []

        async def counted(self: Reader, work: Any, **more: Any) -> Any:
            runs.append(work)
            return await apart(self, work, **more)

        monkeypatch.setattr(Reader, "apart", counted)
        for number, in_thread in ((1, False), (4, False), (5, True), (20, True)):
            runs.clear()
            admin.get("/tickets", params={"contact_id": [*range(1, 1 + number)], "status": "open"})
            assert bool(runs) is in_thread


class TestRandomAccess:
    """Lists of tickets also take a page or an offset, and count then."""

    @pytest.fixture
    def tickets(self, tenant) -> list[int]:
        """Seven tickets, the oldest first."""
        return [tenant.ticket()["id"] for _ in range(7)]

    @pytest.mark.parametrize(
        ("query", "found", "total"),
        [
            ("page=1&per_page=3", [0, 1, 2], 7),
            ("page=3&per_page=3", [6], 7),
            ("page=4&per_page=3", [], 7),
            ("per_page=2", [0, 1], 7),
            ("page=2&limit=2", [2, 3], 7),
            ("page=1&per_page=1000000", range(7), 7),
            ("page=2147483647&per_page=2147483647", [], 7),
            ("offset=0&limit=2", [0, 1], 7),
            ("offset=5", [5, 6], 7),
            ("offset=9223372036854775807", [], 7),
            ("page=1&priority=high", [], 0),
        ],
    )
    def test_a_page_is_where_it_was_asked_for(self, admin, tickets, query, found, total):
        for address in ("/tickets?sort=created_at&", "/tickets/open?"):
            if "priority" in query and "open" in address:
                continue
            answer = admin.get(f"{address}{query}")
            assert answer.status_code == 200, answer.text
            assert [ticket["id"] for ticket in answer.json()["data"]] == [tickets[place] for place in found]
            assert answer.json()["total"] == total

    def test_without_either_nothing_is_counted(self, tenant, admin):
        for _ in range(3):
            tenant.ticket()
        page = admin.get("/tickets?limit=2").json()
        assert "total" not in page
        assert "total" not in admin.get("/tickets", params={"limit": 2, "cursor": page["next_cursor"]}).json()

    def test_its_cursors_and_its_link_go_on_from_there(self, admin, tickets):
        answer = admin.get("/tickets?sort=created_at&%70age=2&per_page=2")
        page = answer.json()
        assert [ticket["id"] for ticket in page["data"]] == tickets[2:4]
        for cursor, found in ((page["next_cursor"], tickets[4:6]), (page["prev_cursor"], tickets[:2])):
            assert ids(admin.get("/tickets", params={"sort": "created_at", "limit": 2, "cursor": cursor})) == found
        following = admin.get(answer.url.join(answer.links["next"]["url"]))
        assert (ids(following), "total" in following.json()) == (tickets[4:6], False)
        first = admin.get("/tickets?sort=created_at&page=1&per_page=2").json()
        assert first["prev_cursor"] is None
        last = admin.get("/tickets?sort=created_at&offset=6").json()
        assert last["next_cursor"] is None

    @pytest.mark.parametrize(
        "query", ["offset=7", "offset=1000", "page=9", "offset=9&search=the", "offset=9&type=question"]
    )
    @pytest.mark.parametrize("sort", ["created_at", "-created_at", "updated_at", "-updated_at"])
    def test_beyond_the_end_the_way_leads_back(self, tenant, admin, sort, query):
        made = [tenant.ticket(subject="the")["id"] for _ in range(7)]
        beyond = admin.get(f"/tickets?sort={sort}&{query}").json()
        assert (beyond["data"], beyond["next_cursor"]) == ([], None)
        asked = {
            name: value for name, _, value in (each.partition("=") for each in query.split("&")) if name in FILTERS
        }
        address = admin.get(f"/tickets?sort={sort}&{query}").links["prev"]["url"]
        assert beyond["prev_cursor"] in address
        back = admin.get("/tickets", params={**asked, "sort": sort, "limit": 4, "cursor": beyond["prev_cursor"]})
        assert ids(back) == (made[3:] if sort[0] != "-" else made[3::-1])
        assert (back.json()["prev_cursor"] is None, back.json()["next_cursor"] is None) == (False, False)

    def test_of_an_empty_list_no_way_leads_anywhere(self, admin):
        answer = admin.get("/tickets?offset=3")
        assert answer.json() == {"data": [], "next_cursor": None, "prev_cursor": None, "total": 0}
        assert "link" not in answer.headers

    @pytest.mark.parametrize("sort", ["created_at", "-created_at"])
    def test_where_the_rest_of_a_list_is_gone_the_way_leads_back(self, tenant, admin, tickets, sort):
        def page(cursor: str | None) -> dict[str, Any]:
            asked = {"sort": sort, "limit": 3} | ({} if cursor is None else {"cursor": cursor})
            found: dict[str, Any] = admin.get("/tickets", params=asked).json()
            return found

        first = page(None)
        shown = [row["id"] for row in first["data"]]
        second = page(first["next_cursor"])
        for ticket in set(tickets) - set(shown):
            assert admin.delete(f"/tickets/{ticket}").status_code == 204
        empty = page(first["next_cursor"])
        assert (empty["data"], empty["next_cursor"]) == ([], None)
        assert [row["id"] for row in page(empty["prev_cursor"])["data"]] == shown
        more = [tenant.ticket()["id"] for _ in range(2)]
        for ticket in shown:
            assert admin.delete(f"/tickets/{ticket}").status_code == 204
        empty = page(second["prev_cursor"])
        if sort == "created_at":
            assert (empty["data"], empty["prev_cursor"]) == ([], None)
            assert [row["id"] for row in page(empty["next_cursor"])["data"]] == more

    @pytest.mark.parametrize(
        ("query", "pointers"),
        [
            ("page=1&offset=1", ["/page", "/offset"]),
            ("per_page=1&offset=1", ["/per_page", "/offset"]),
            ("page=1&cursor=AAAA", ["/page", "/cursor"]),
            ("offset=1&cursor=AAAA", ["/offset", "/cursor"]),
        ],
    )
    def test_what_cannot_be_combined_is_a_400(self, admin, query, pointers):
        problem(admin.get(f"/tickets?{query}"), 400, "invalid_request", *pointers, where="query")

    @pytest.mark.parametrize("query", ["page=0", "per_page=0", "offset=-1", "page=x"])
    def test_what_is_no_place_is_a_400(self, admin, query):
        problem(admin.get(f"/tickets?{query}"), 400, "invalid_request", "/" + query.partition("=")[0], where="query")

    def test_a_user_counts_their_own_only(self, tenant, user):
        tenant.ticket()
        assert user.get("/tickets?page=1").json()["total"] == 0
        user.post("/tickets", json={"subject": "S", "description": "D"})
        assert user.get("/tickets?page=1").json()["total"] == 1


class TestQueues:
    """What waits for somebody, for nobody, or for a team: found by indexes of its own."""

    @pytest.fixture
    def desk(self, tenant: Tenant) -> tuple[list[str], list[int], list[dict[str, Any]]]:
        """Two agents and two teams with tickets in every state, among them some of nobody, changed in any order."""
        chance = random.Random(5)
        admin = tenant.client()
        agents, teams = [tenant.user("agent").id for _ in range(2)], [tenant.team()["id"] for _ in range(2)]
        tickets = [
            tenant.ticket(
                assignee_id=chance.choice([*agents, None]),
                team_id=chance.choice([*teams, None]),
                priority=chance.choice(["low", "high"]),
                tags=chance.sample(["a", "b"], chance.randrange(3)),
            )
            for _ in range(60)
        ]
        for ticket in chance.sample(tickets, 45):
            for status in chance.choice([["in_progress"], ["pending"], ["resolved"], ["closed"], ["closed", "open"]]):
                assert admin.patch(f"/tickets/{ticket['id']}", json={"status": status}).status_code == 200
        return [*map(str, agents), "none"], teams, admin.get("/tickets", params={"limit": 200}).json()["data"]

    def test_they_are_what_the_filters_say(self, admin, desk):
        sorts = ("created_at", "-created_at", "updated_at", "-updated_at")
        for status in (["open"], ["open", "in_progress", "pending"], ["pending"], ["open", "closed"]):
            for sort in sorts:
                self.compare(admin, *desk, status, sort)

    def compare(
        self,
        admin: Client,
        people: list[str],
        teams: list[int],
        tickets: list[dict[str, Any]],
        status: list[str],
        sort: str,
    ) -> None:
        asked: list[dict[str, Any]] = [
            *({"assigned_to": each} for each in people),
            *({"team_id": each} for each in teams),
            {"assigned_to": people[:2]},
            {"assigned_to": people[1:]},
            {"assigned_to": people[0], "team_id": teams},
            {"assigned_to": people, "priority": "high", "tag": ["a", "b"]},
            {"team_id": teams[0], "is_breached": "false", "updated_since": tickets[20]["updated_at"]},
            {"team_id": teams[1], "created_from": tickets[30]["created_at"]},
        ]
        for filters in asked:

            def fits(ticket: dict[str, Any], filters: dict[str, Any] = filters) -> bool:
                def among(name: str, value: Any) -> bool:
                    given = filters.get(name)
                    return given is None or value in (given if isinstance(given, list) else [given])

                return (
                    ticket["status"] in status
                    and among("assigned_to", str(ticket["assignee_id"] or "none"))
                    and among("team_id", ticket["team_id"])
                    and among("priority", ticket["priority"])
                    and ("tag" not in filters or bool({"a", "b"} & set(ticket["tags"])))
                    and ticket["updated_at"] >= filters.get("updated_since", "")
                    and ticket["created_at"] >= filters.get("created_from", "")
                )

            key = sort.removeprefix("-")
            expected = sorted(
                filter(fits, tickets), key=lambda ticket: (ticket[key], ticket["id"]), reverse=sort[0] == "-"
            )
            found, _ = walk(admin, "/tickets", **filters, status=status, sort=sort, limit=4)
            assert [ticket["id"] for ticket in found] == [ticket["id"] for ticket in expected], filters
            total = admin.get("/tickets", params={**filters, "status": status, "page": 1}).json()["total"]
            assert total == len(expected)
