"""Long texts in the event log: stored once, shown as the API showed them, and gone when no event shows them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import time_machine

from api.checks import made, walk
from factories import Client, Tenant
from service import ThreadService
from tickets import clock
from tickets.db import Connection, Database
from tickets.domain import event_texts, events
from tickets.domain.listings import EVENTS
from tickets.jobs import purge_expired, sla_sweep
from tickets.jobs.kind import Context

START = datetime(2031, 1, 1, tzinfo=UTC)
LONG = 'Tür, "Riß" and </script>\n\t\\u0041 \u2028 \U0001f600 ' * 1_350
"""50,000 characters but a few, with all that JSON writes in more than one way."""
FIELDS = {"note " + str(number): LONG[: 900 + number] for number in range(5)} | {"n": 1.0, "e": 1.5e15, "t": True}
SHAPES: list[str] = [
    '{"description":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",5]}',
    "null",
    '["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",5]',
    '{"digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","length":5}' * 50,
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service that runs no jobs: a test runs one when it wants to."""
    running = ThreadService(tmp_path_factory.mktemp("texts"), worker_threads=0)
    yield running
    running.stop()


@pytest.fixture
def purge(service: ThreadService) -> Callable[[], None]:
    """What the periodic job does."""
    return lambda: purge_expired.KIND.run(None, Context(service.settings, service.database))  # type: ignore[arg-type]


def rows(database: Database, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with database.read() as tx:
        return tx._connection.execute(sql, values).fetchall()


def stored(tenant: Tenant) -> int:
    """Return how many bytes the log of a tenant takes: all columns of all its rows."""
    total = 0
    for table in ("events", "event_texts"):
        columns = [name for _, name, *_ in rows(tenant.database, f"PRAGMA table_info({table})")]
        length = " + ".join(f"coalesce(length(CAST({name} AS BLOB)), 0)" for name in columns)
        sql = f"SELECT coalesce(sum({length}), 0) FROM {table} WHERE organization_id = ?"
        [(found,)] = rows(tenant.database, sql, tenant.id)
        total += found
    return total


def texts(tenant: Tenant) -> list[str]:
    sql = "SELECT text FROM event_texts WHERE organization_id = ? ORDER BY length(text)"
    return [text for (text,) in rows(tenant.database, sql, tenant.id)]


def shown(client: Client, count: int) -> str:
    """Return the last few events of the log as they are sent, the oldest first."""
    last = client.get("/events", params={"sort": "-seq", "limit": 1}).json()["data"][0]["seq"]
    return client.get("/events", params={"since": last - count}).text


def told(answer: httpx.Response) -> str:
    """Return a ticket as the log tells of it: that a due time has passed is an event of its own."""
    return answer.text.replace('"is_breached":true', '"is_breached":false')


def lives(tenant: Tenant) -> dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Return for each kind of entity what it is made of, a small change, and a change of what is long."""
    contact, ticket = tenant.contact()["id"], tenant.ticket()["id"]
    return {
        "tickets": (
            {"subject": "S", "description": LONG, "custom_fields": FIELDS, "contact_id": contact},
            {"tags": ["vip"]},
            {"description": LONG[1:]},
        ),
        "comments": (
            {"ticket_id": ticket, "body": LONG, "visibility": "internal"},
            {"visibility": "public"},
            {"body": LONG[2:]},
        ),
        "contacts": (
            {"email": f"c@{tenant.number}.example", "name": "C", "attributes": FIELDS},
            {"name": "D"},
            {"attributes": {**FIELDS, "n": 2}},
        ),
        "users": (
            {"email": f"u@{tenant.number}.example", "name": "U", "role": "agent"},
            {"role": "user"},
            {"name": "V" * 200},
        ),
        "teams": ({"name": "T", "description": LONG[:2000]}, {"name": "U"}, {"description": LONG[5:2005]}),
    }


class TestWhatIsShown:
    @pytest.mark.parametrize("path", ["tickets", "comments", "contacts", "users", "teams"])
    def test_each_event_has_what_the_api_answered_at_the_time_to_the_byte(self, tenant, admin, path):
        body, small, long = lives(tenant)[path]
        answers: list[httpx.Response] = [admin.post(f"/{path}", json=body)]
        address = f"/{path}/{made(answers[0])['id']}"
        answers += [admin.patch(address, json=small), admin.patch(address, json=long)]
        assert [answer.status_code for answer in answers] == [201, 200, 200]
        assert admin.delete(address).status_code == 204
        entity = path.removesuffix("s")
        told = [
            e
            for e in walk(admin, "/events")
            if e["type"].startswith(entity) and e["data"]["id"] == made(answers[0])["id"]
        ]
        assert [event["type"].partition(".")[2] for event in told] == ["created", "updated", "updated", "deleted"]
        log = admin.get("/events", params={"since": told[0]["seq"] - 1}).text
        for answer, number in zip(answers, (1, 1, 2), strict=True):  # the last is as it was when it went
            assert log.count(f'"data":{answer.text}') == number
        [(field, value)] = long.items()
        assert told[2]["changes"][field]["new"] == value

    def test_what_a_merge_tells_has_the_texts_too(self, tenant, admin):
        one, other = (tenant.ticket(description=LONG) for _ in range(2))
        for number in range(3):
            tenant.comment(one, body=LONG[number:])
        before = stored(tenant)
        merged = admin.post(f"/tickets/{one['id']}/merge", json={"into": other["id"]})
        assert merged.status_code == 200
        said = list(walk(admin, f"/tickets/{other['id']}/comments", sort="created_at"))
        told = list(walk(admin, "/events", type=["comment.updated", "ticket.merged"]))
        assert sorted((e["data"] for e in told if e["type"] == "comment.updated"), key=lambda c: c["id"]) == said
        assert [event["data"] for event in told if event["type"] == "ticket.merged"] == [merged.json()]
        assert f'"data":{merged.text}' in shown(admin, 10)
        assert stored(tenant) - before < 10_000

    def test_what_the_clock_tells_has_the_texts_too(self, service, admin):
        with time_machine.travel(START, tick=False) as traveller:
            ticket = admin.post("/tickets", json={"subject": "S", "description": LONG, "priority": "urgent"})
            traveller.shift(timedelta(minutes=14))
            sla_sweep.KIND.run(None, Context(service.settings, service.database))
            traveller.shift(timedelta(minutes=14))
            sla_sweep.KIND.run(None, Context(service.settings, service.database))
            late = admin.get(f"/tickets/{ticket.json()['id']}")
            log = admin.get("/events", params={"ticket_id": ticket.json()["id"]})
        assert [event["type"] for event in log.json()["data"]] == [
            "ticket.created",
            "ticket.sla_warning",
            "ticket.sla_breached",
        ]
        assert log.text.count(f'"data":{ticket.text}') == 2
        assert log.text.count(f'"data":{late.text}') == 1

    @pytest.mark.parametrize("text", SHAPES, ids=range(len(SHAPES)))
    def test_no_text_is_taken_for_a_reference(self, admin, text):
        fields = {"description": text[:999], "texts": text[:999], **FIELDS}
        ticket = admin.post("/tickets", json={"subject": text[:99], "description": text, "custom_fields": fields})
        changed = admin.patch(f"/tickets/{ticket.json()['id']}", json={"tags": ["null"], "description": LONG})
        log = shown(admin, 2)
        assert f'"data":{ticket.text}' in log
        assert f'"data":{changed.text}' in log

    def test_pages_end_early_and_show_all_of_it_both_ways(self, tenant, admin):
        ticket = tenant.ticket(description=LONG)
        for number in range(60):
            admin.patch(f"/tickets/{ticket['id']}", json={"subject": str(number)})
        pages = [admin.get("/events", params={"limit": 200, "type": "ticket.updated"})]
        while cursor := pages[-1].json()["next_cursor"]:
            pages.append(admin.get("/events", params={"limit": 200, "type": "ticket.updated", "cursor": cursor}))
        assert 3 <= len(pages) <= 6
        assert max(len(page.text) for page in pages) < 1_000_000 + 2 * len(LONG)
        found = [event["data"]["subject"] for page in pages for event in page.json()["data"]]
        assert found == [str(number) for number in range(60)]
        back = [pages[-1].json()]
        while cursor := back[0]["prev_cursor"]:
            page = admin.get("/events", params={"limit": 200, "type": "ticket.updated", "cursor": cursor})
            back.insert(0, page.json())
        assert [event["data"]["subject"] for page in back for event in page["data"]] == found


class TestWhatIsStored:
    def test_100_small_changes_of_a_long_ticket_store_little_more_than_the_changes(self, tenant, admin):
        ticket = tenant.ticket(description=LONG, custom_fields=FIELDS)
        assert len(LONG) > 49_000
        before = stored(tenant)
        for number in range(100):
            assert admin.patch(f"/tickets/{ticket['id']}", json={"subject": str(number)}).status_code == 200
        assert stored(tenant) - before < 100 * 1_500

    def test_a_text_that_several_entities_have_is_stored_once(self, tenant):
        for _ in range(3):
            tenant.comment(tenant.ticket(description=LONG), body=LONG)
        assert len(texts(tenant)) == 1

    def test_short_texts_stay_in_the_events(self, tenant, admin):
        ticket = tenant.ticket(description="x" * 900)
        admin.patch(f"/tickets/{ticket['id']}", json={"subject": "S"})
        assert texts(tenant) == []

    def test_two_organizations_with_the_same_text_have_a_row_each(self, tenant, other):
        for each in (tenant, other):
            each.ticket(description=LONG)
        assert texts(tenant) == texts(other)
        assert len(texts(tenant)) == 1
        keys = "SELECT organization_id FROM event_texts WHERE organization_id IN (?, ?) ORDER BY 1"
        assert rows(tenant.database, keys, tenant.id, other.id) == sorted([(tenant.id,), (other.id,)])

    def test_that_a_text_is_used_again_is_noted_once_a_day(self, tenant, admin):
        noted = []
        with time_machine.travel(START, tick=False) as traveller:
            ticket = tenant.ticket(description=LONG)
            for number, hours in enumerate((0, 11, 12, 2, 22, 1)):
                traveller.shift(timedelta(hours=hours))
                admin.patch(f"/tickets/{ticket['id']}", json={"subject": str(number)})
                sql = "SELECT last_used_at FROM event_texts WHERE organization_id = ?"
                [(at,)] = rows(tenant.database, sql, tenant.id)
                noted.append((at - int(START.timestamp() * 1_000)) // clock.HOUR)
        assert noted == [0, 0, 0, 25, 25, 25]


class TestWhatGoes:
    def test_a_text_goes_when_no_event_shows_it_any_more(self, tenant, admin, purge):
        with time_machine.travel(START, tick=False) as traveller:
            ticket = tenant.ticket(description=LONG)
            traveller.shift(timedelta(hours=23))
            changed = admin.patch(f"/tickets/{ticket['id']}", json={"subject": "T"})
            traveller.shift(timedelta(days=29, hours=23))
            purge()
            # The text was noted with the first event, and the second still shows it.
            assert f'"data":{told(changed)}' in shown(admin, 1)
            traveller.shift(timedelta(hours=3))
            purge()
            assert admin.get("/events").json()["data"] == []
            assert texts(tenant) == []
            history = admin.get(f"/tickets/{ticket['id']}/history").json()["data"]
            assert [(entry["field"], entry["new"]) for entry in history] == [("subject", "T")]
            assert admin.get(f"/tickets/{ticket['id']}").json()["description"] == LONG

    def test_a_text_that_went_is_stored_again_with_the_next_event(self, tenant, admin, purge):
        with time_machine.travel(START, tick=False) as traveller:
            ticket = tenant.ticket(description=LONG)
            traveller.shift(timedelta(days=60))
            purge()
            assert texts(tenant) == []
            changed = admin.patch(f"/tickets/{ticket['id']}", json={"subject": "T"})
            purge()
            assert f'"data":{told(changed)}' in shown(admin, 1)

    def test_of_old_history_only_the_changes_are_left(self, tenant, admin, purge):
        with time_machine.travel(START, tick=False) as traveller:
            ticket = tenant.ticket(description=LONG)
            for text in (LONG[1:], LONG[2:], "D"):
                admin.patch(f"/tickets/{ticket['id']}", json={"description": text})
            before = list(walk(admin, f"/tickets/{ticket['id']}/history"))
            traveller.shift(timedelta(days=32))
            purge()
            assert list(walk(admin, f"/tickets/{ticket['id']}/history")) == before
            [beside] = [admin.get(f"/tickets/{ticket['id']}", params={"expand": "history"}).json()["history"]]
            assert beside == before
            left = "SELECT DISTINCT data, texts FROM events WHERE ticket_id = ?"
            assert rows(tenant.database, left, ticket["id"]) == [("null", None)]
            # With the ticket its history goes too, and nothing stays behind.
            admin.delete(f"/tickets/{ticket['id']}")
            purge()
            types = "SELECT type FROM events WHERE ticket_id = ?"
            assert rows(tenant.database, types, ticket["id"]) == [("ticket.deleted",)]

    def test_what_is_deleted_is_shown_as_it_was(self, tenant, admin, purge):
        ticket = tenant.ticket(description=LONG)
        comment = tenant.comment(ticket, body=LONG[1:], visibility="internal")
        assert admin.delete(f"/comments/{comment['id']}").status_code == 204
        assert admin.delete(f"/tickets/{ticket['id']}").status_code == 204
        purge()
        told = {event["type"]: event["data"] for event in walk(admin, "/events", ticket_id=ticket["id"])}
        assert told["comment.created"] == told["comment.deleted"] == comment
        assert told["ticket.created"] == told["ticket.deleted"] == ticket

    def test_who_reads_while_old_events_go_sees_all_or_nothing_of_them(self, tenant, admin):
        ticket = tenant.ticket(description=LONG)
        for number in range(7):
            admin.patch(f"/tickets/{ticket['id']}", json={"subject": str(number)})
        where: dict[str, Any] = {"organization_id": [tenant.id]}

        def read(tx: Any, position: Any = None) -> Any:
            return EVENTS.page(tx, where=where, sort="seq", limit=5, position=position)

        connection = Connection(tenant.database)
        tx = connection.begin(write=False)
        whole = len(read(tx).rows), len(read(tx, read(tx).next).rows)
        first = admin.get("/events", params={"limit": 5}).json()
        with tenant.database.write() as writing:
            before = clock.now() + clock.MINUTE
            while events.purge(writing, before) or event_texts.purge(writing, before + 2 * clock.DAY):
                pass
        page = read(tx)  # on the snapshot from before
        assert (len(page.rows), len(read(tx, page.next).rows)) == whole
        assert all("ür, ".encode() in bytes(row.data) or "ticket" not in row.type for row in page.rows)
        connection.rollback()
        connection.close()
        rest = admin.get("/events", params={"limit": 5, "cursor": first["next_cursor"]}).json()
        assert (rest["data"], rest["complete_since"]) == ([], sum(whole))
        tenant.team()
        rest = admin.get("/events", params={"limit": 5, "cursor": first["next_cursor"]}).json()
        assert [event["type"] for event in rest["data"]] == ["team.created"]
