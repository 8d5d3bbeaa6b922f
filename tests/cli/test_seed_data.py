"""seed-data: the same seed gives the same data, and the data fits together."""

import json
import multiprocessing
import threading

import pytest
from commands import Desk

from tickets import clock
from tickets.cli import seed, seed_content, seed_process
from tickets.cli.environment import contract
from tickets.cli.seed import _NUMBERED
from tickets.contract.validation import Checker
from tickets.db import Transaction
from tickets.domain import organizations, records, sla, sla_policies
from tickets.models import Ticket
from tickets.models.tickets import PRIORITIES

TABLES = {
    "organizations": "name, slug, created_at, updated_at",
    "users": "email, name, role, created_at",
    "teams": "name, description, created_at",
    "contacts": "email, name, created_at",
    "tickets": "*",
    "comments": "*",
    "ticket_tags": "*",
}


def content(desk: Desk) -> dict[str, list[tuple[object, ...]]]:
    return {table: desk.rows(f"SELECT {columns} FROM {table} ORDER BY 1, 2") for table, columns in TABLES.items()}


def another(desk: Desk, name: str) -> Desk:
    made = Desk(desk.var_dir / name)
    made.ok("migrate")
    return made


class TestDeterminism:
    def test_the_same_seed_gives_the_same_data(self, empty_desk: Desk):
        one, two = another(empty_desk, "one"), another(empty_desk, "two")
        for desk in (one, two):
            desk.ok("seed-data", "--tickets", "400", "--seed", "7", "--organizations", "2")
        assert content(one) == content(two)

    def test_another_seed_gives_other_data(self, empty_desk: Desk):
        one, two = another(empty_desk, "one"), another(empty_desk, "two")
        one.ok("seed-data", "--tickets", "100", "--seed", "7", "--organizations", "2")
        two.ok("seed-data", "--tickets", "100", "--seed", "8", "--organizations", "2")
        assert content(one)["tickets"] != content(two)["tickets"]

    def test_batches_do_not_show(self, empty_desk: Desk, monkeypatch: pytest.MonkeyPatch):
        one, two = another(empty_desk, "one"), another(empty_desk, "two")
        one.ok("seed-data", "--tickets", "100", "--seed", "7", "--organizations", "2")
        monkeypatch.setattr("tickets.cli.seed.BATCH", 7)
        two.ok("seed-data", "--tickets", "100", "--seed", "7", "--organizations", "2")
        assert content(one) == content(two)

    def test_what_another_process_tells_is_the_same(self, empty_desk: Desk, monkeypatch: pytest.MonkeyPatch):
        one, two = another(empty_desk, "one"), another(empty_desk, "two")
        monkeypatch.setattr("tickets.cli.seed.BATCH", 50)
        one.ok("seed-data", "--tickets", "400", "--seed", "7", "--organizations", "2")
        monkeypatch.setattr("tickets.cli.seed_process.WORTH_IT", 400)
        two.ok("seed-data", "--tickets", "400", "--seed", "7", "--organizations", "2")
        assert content(one) == content(two)

    def test_a_second_run_adds_tickets_and_nobody(self, acme: Desk):
        first = acme.json("seed-data", "--tickets", "300", "--seed", "7")
        second = acme.json("seed-data", "--tickets", "300", "--seed", "7")
        assert (first["users"], first["teams"], first["contacts"]) == (12, 4, 15)
        assert (second["users"], second["teams"], second["contacts"]) == (0, 0, 0)
        assert acme.rows("SELECT count(*), min(number), max(number) FROM tickets") == [(600, 1, 600)]


class TestContent:
    def test_the_contract_allows_it(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "600")
        schemas = contract().data["components"]["schemas"]
        subject, tag, email = (Checker(schemas[name], "body") for name in ("NewTicketSubject", "NewTag", "Email"))
        with acme.database() as database, database.read() as tx:
            for row in tx.all(_NUMBERED, of=1, first=1, last=600):
                ticket = records.find(tx, Ticket, row.id, 1)
                assert ticket is not None
                subject.check(ticket.subject)
                for one in ticket.tags:
                    tag.check(one)
                assert isinstance(ticket.custom_fields, dict)
        for (address,) in acme.rows("SELECT email FROM users UNION ALL SELECT email FROM contacts"):
            email.check(address)

    def test_tags_are_where_lists_look_for_them(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "600")
        columns = "organization_id, created_at, updated_at"
        expected = f"SELECT tickets.id, value, {columns} FROM tickets, json_each(tags) ORDER BY 1, 2"
        assert acme.rows(f"SELECT ticket_id, tag, {columns} FROM ticket_tags ORDER BY 1, 2") == acme.rows(expected)

    def test_nothing_is_missing(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "3000")
        assert acme.rows("SELECT DISTINCT source FROM tickets") == [("import",)]
        for column, kinds in (("status", 5), ("priority", 4), ("type", 4), ("assignee_id", 13), ("team_id", 5)):
            assert acme.rows(f"SELECT count(*) FROM (SELECT DISTINCT {column} FROM tickets)") == [(kinds,)], column
        assert acme.rows("SELECT count(DISTINCT visibility), count(DISTINCT author_type) FROM comments") == [(2, 2)]

    @pytest.mark.parametrize(
        "wrong",
        [
            "(status IN ('resolved', 'closed')) != (resolved_at IS NOT NULL)",
            "(status = 'closed') != (closed_at IS NOT NULL)",
            "first_responded_at < created_at",
            "resolved_at < first_responded_at",
            "closed_at < resolved_at",
            "updated_at < max(created_at, ifnull(first_responded_at, 0), ifnull(resolved_at, 0), ifnull(closed_at, 0))",
            "(status != 'open') AND assignee_id IS NULL",
            "version < 1",
        ],
    )
    def test_times_fit_the_status(self, acme: Desk, wrong: str):
        acme.ok("seed-data", "--tickets", "2000")
        assert acme.rows(f"SELECT * FROM tickets WHERE {wrong}") == []

    def test_due_times_fit_priority_status_and_policy(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "1000")
        with acme.database() as database, database.write() as tx:
            target = {"first_response_minutes": 30, "resolution_minutes": 525_600}
            fields = {"name": "P", "targets": dict.fromkeys(PRIORITIES, target), "conditions": {"types": ["task"]}}
            policy = sla_policies.create(tx, 1, fields)
        acme.ok("seed-data", "--tickets", "1000", "--seed", "2")
        with acme.database() as database, database.read() as tx:
            moment = clock.now()
            for row in tx.all(_NUMBERED, of=1, first=1, last=2_000):
                ticket = records.find(tx, Ticket, row.id, 1)
                assert ticket is not None
                policies = [policy] if ticket.number > 1_000 else []
                level = sla.stored(
                    sla_policies.chosen(policies, ticket._asdict()),
                    created_at=ticket.created_at,
                    first_responded_at=ticket.first_responded_at,
                    resolved_at=ticket.resolved_at,
                    paused_at=ticket.updated_at if ticket.status == "pending" else ticket.resolved_at,
                    moment=moment,
                )
                assert {name: getattr(ticket, name) for name in sla.COLUMNS} == level
        for column in ("is_breached", "sla_paused_at IS NULL", "sla_policy_id"):
            assert acme.rows(f"SELECT count(DISTINCT ifnull({column}, 0)) FROM tickets") == [(2,)], column

    def test_comments_fit_their_ticket(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "2000")
        joined = "FROM comments c JOIN tickets t ON t.id = c.ticket_id"
        assert acme.rows(f"SELECT count(*) > 400 {joined}") == [(1,)]
        wrong = (
            "c.organization_id != t.organization_id OR c.created_at < t.created_at"
            " OR c.created_at > ifnull(t.resolved_at, t.updated_at)"
            " OR (c.author_type = 'contact') != (c.contact_id IS NOT NULL) OR c.contact_id != t.contact_id"
        )
        assert acme.rows(f"SELECT count(*) {joined} WHERE {wrong}") == [(0,)]
        late = (
            f"SELECT min(c.created_at) - t.first_responded_at {joined} "
            "WHERE c.visibility = 'public' AND c.author_type = 'user' GROUP BY t.id"
        )
        assert {row[0] for row in acme.rows(late)} == {0}

    def test_the_database_is_sound_after_it(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "1000")
        assert acme.rows("PRAGMA integrity_check") == [("ok",)]
        assert acme.rows("PRAGMA foreign_key_check") == []

    def test_names_of_companies_never_repeat(self):
        names = [seed_content.company(index) for index in range(1_000)]
        assert len(set(names)) == len(names)

    def test_the_story_lies_in_the_past(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "500", "--seed", "99")
        ((first, last),) = acme.rows("SELECT min(created_at), max(updated_at) FROM tickets")
        assert seed_content.EPOCH <= first < last < clock.now()


class TestTheProcessBeside:
    def test_every_door_can_start_it(self, acme: Desk):
        for door in (("tickets",), ("flask", "tickets"), ("-m", "tickets")):
            done = acme.process(*door, "seed-data", "--tickets", str(seed_process.WORTH_IT), "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["tickets"] == seed_process.WORTH_IT
            assert done.stderr == ""

    def test_it_ends_with_the_work(self, acme: Desk, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("tickets.cli.seed_process.WORTH_IT", 1)
        acme.ok("seed-data", "--tickets", "10")
        assert multiprocessing.active_children() == []

    def test_that_it_was_ended_is_one_line_and_what_is_stored_stays(self, acme: Desk, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("tickets.cli.seed_process.WORTH_IT", 1)
        monkeypatch.setattr("tickets.cli.seed.BATCH", 10)
        store, stored = seed._store, []

        def store_and_end(tx: Transaction, organization_id: int, batch: seed_content.Batch) -> None:
            store(tx, organization_id, batch)
            stored.extend(batch.tickets)
            for child in multiprocessing.active_children():
                child.kill()
                child.join()

        monkeypatch.setattr("tickets.cli.seed._store", store_and_end)
        assert "was ended" in acme.fails("seed-data", "--tickets", "100000")
        assert acme.rows("SELECT count(*) FROM tickets") == [(len(stored),)]
        assert 10 <= len(stored) < 100_000


class TestWhere:
    def test_it_says_which_organization_it_takes(self, acme: Desk):
        acme.ok("create-org", "--name", "Globex", "--email", "hank@globex.example")
        assert "for acme" in acme.ok("seed-data", "--tickets", "10")
        assert acme.json("seed-data", "--tickets", "10", "--org", "globex")["into"] == ["globex"]
        assert acme.rows("SELECT organization_id, count(*) FROM tickets GROUP BY 1") == [(1, 10), (2, 10)]

    def test_it_spreads_over_as_many_organizations_as_told(self, desk: Desk):
        counts = desk.json("seed-data", "--tickets", "10", "--organizations", "3")
        assert counts["organizations"] == 3
        assert counts["tickets"] == 10
        assert len(counts["into"]) == 3
        assert desk.rows("SELECT count(*) FROM tickets GROUP BY organization_id") == [(4,), (3,), (3,)]
        assert desk.rows("SELECT max(number) FROM tickets GROUP BY organization_id") == [(4,), (3,), (3,)]
        assert desk.rows("SELECT count(*) FROM users WHERE role = 'admin'") == [(3,)]
        again = desk.json("seed-data", "--tickets", "2", "--organizations", "3", "--seed", "5")
        assert again["organizations"] == 0
        assert again["into"] == counts["into"]
        assert "and 2 more" in desk.ok("seed-data", "--tickets", "3", "--organizations", "3")

    def test_numbers_stay_dense_while_others_raise_tickets(self, acme: Desk, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("tickets.cli.seed.BATCH", 50)
        stop, taken = threading.Event(), []

        def raise_tickets() -> None:
            with acme.database() as database:
                while not stop.is_set():
                    with database.write() as tx:
                        taken.append(organizations.count_up(tx, 1, "tickets"))

        other = threading.Thread(target=raise_tickets)
        other.start()
        try:
            acme.ok("seed-data", "--tickets", "2000")
        finally:
            stop.set()
            other.join()
        numbers = [row[0] for row in acme.rows("SELECT number FROM tickets")]
        assert len(taken) > 10
        assert sorted(numbers + taken) == list(range(1, len(numbers) + len(taken) + 1))

    def test_wrong_words_are_refused(self, acme: Desk):
        assert "not both" in acme.fails("seed-data", "--org", "acme", "--organizations", "2")
        assert "'globex'" in acme.fails("seed-data", "--org", "globex")
        assert "--tickets" in acme.fails("seed-data", "--tickets", "0")
        assert "--tickets" in acme.fails("seed-data", "--tickets", "many")

    def test_without_an_organization_it_says_how_to_make_one(self, desk: Desk):
        assert "create-org" in desk.fails("seed-data")

    def test_an_agent_of_somebody_else_is_not_taken(self, acme: Desk):
        acme.ok("create-org", "--name", "Globex", "--email", "hank@globex.example")
        person = seed_content.agents(1, "acme")[0]
        acme.ok("create-user", "--org", "globex", "--email", person.email, "--role", "agent")
        assert person.email in acme.fails("seed-data", "--tickets", "5", "--org", "acme")
