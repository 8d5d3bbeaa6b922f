"""purge_expired: answers that nobody repeats any more, and dead letters nobody retried."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import time_machine
from sqlalchemy import bindparam, insert
from workbench import Bench, until

from tickets import clock
from tickets.db import Statement
from tickets.domain import (
    access,
    audit,
    entities,
    event_texts,
    events,
    lifecycle,
    mailboxes,
    organizations,
    records,
    users,
)
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.http.idempotency import _STORE
from tickets.jobs import purge_expired, queue
from tickets.jobs.registry import KINDS, PERIODIC
from tickets.models import AuditEntry, IdempotencyRecord, Ticket

COUNT = 2 * records.AT_ONCE + 3


def keep_answers(bench: Bench, *, count: int, expires_at: int, scope: str) -> None:
    with bench.database.write() as tx:
        made = organizations.by_slug(tx, "acme") or organizations.create(tx, name="Acme", slug="acme")
        for number in range(count):
            tx.run(
                _STORE,
                organization_id=made.id,
                scope=f"{scope}{number}".encode(),
                fingerprint=b"",
                status=201,
                content_type="application/json",
                location=None,
                etag=None,
                body=b"{}",
                size=2,
                expires_at=expires_at,
            )


def scopes(bench: Bench) -> list[bytes]:
    with bench.database.read() as tx:
        return [scope for (scope,) in tx._connection.execute(f"SELECT scope FROM {IdempotencyRecord.__tablename__}")]


class TestPurge:
    def test_expired_answers_go_and_others_stay(self, bench: Bench):
        moment = clock.now()
        keep_answers(bench, count=COUNT, expires_at=moment, scope="old")
        keep_answers(bench, count=2, expires_at=moment + clock.MINUTE, scope="new")
        bench.enqueue(purge_expired.KIND.name)
        bench.worker(purge_expired.KIND)
        until(lambda: bench.jobs() == [])
        assert sorted(scopes(bench)) == [b"new0", b"new1"]

    def test_dead_letters_are_kept_for_30_days(self, bench: Bench):
        for number in range(2):
            bench.enqueue("mail", n=number)
        old, new = bench.claim(2)
        for job in (old, new):
            bench.write(queue.bury, job, error="")
        with bench.database.write() as tx:
            moments = [(clock.now() - 30 * clock.DAY, old.id), (clock.now() - 29 * clock.DAY, new.id)]
            for moment in moments:
                tx._connection.execute("UPDATE jobs SET dead_at = ? WHERE id = ?", moment)
        bench.enqueue(purge_expired.KIND.name)
        bench.worker(purge_expired.KIND)
        until(lambda: bench.jobs() == [])
        assert [job.id for job in bench.jobs(dead=True)] == [new.id]

    def test_what_is_counted_of_mail_is_forgotten_an_hour_after_the_last(self, bench: Bench):
        def count(purpose: str, emails: int) -> None:
            with bench.database.write() as tx:
                assert all(mailboxes.takes(tx, f"{number}@acme.example", purpose) for number in range(emails))

        with time_machine.travel(datetime.now(UTC) - timedelta(hours=1, seconds=1), tick=False):
            count("verify_email", COUNT)
            count("reset_password", 3)
        count("reset_password", 2)
        bench.enqueue(purge_expired.KIND.name)
        bench.worker(purge_expired.KIND)
        until(lambda: bench.jobs() == [])
        with bench.database.read() as tx:
            left = tx._connection.execute("SELECT email, purpose FROM mailboxes ORDER BY email").fetchall()
        assert left == [(f"{number}@acme.example", "reset_password") for number in range(2)]

    def test_the_audit_log_is_kept_for_as_long_as_the_operator_says(self, bench: Bench):
        object.__setattr__(bench.settings, "audit_keep_days", 7)
        ages = [8 * clock.DAY] * (2 * records.AT_ONCE + 3) + [6 * clock.DAY]
        texts = dict.fromkeys(("path", "query", "method", "ip", "request_id"), "")
        nulls = dict.fromkeys(
            ("organization_id", "user_id", "api_key_id", "session_id", "operation", "user_agent", "body")
        )
        values = {**texts, **nulls, "status": 200, "duration_ms": 1, "created_at": 0}
        with bench.database.write() as tx:
            tx.many(
                Statement(insert(AuditEntry).values({name: bindparam(name) for name in values})),
                [{**values, "created_at": clock.now() - age} for age in ages],
            )
        bench.enqueue(purge_expired.KIND.name)
        bench.worker(purge_expired.KIND)
        until(lambda: bench.jobs() == [])
        with bench.database.read() as tx:
            assert audit.count(tx) == 1

    def test_events_go_after_a_month_but_the_history_of_a_ticket_that_is_there_stays(self, bench: Bench):
        with time_machine.travel(datetime.now(UTC) - timedelta(days=31), tick=False), bench.database.write() as tx:
            acme = organizations.create(tx, name="Acme")
            admin = users.create(tx, SYSTEM, acme.id, email="ada@acme.example", name="Ada", role="admin")
            caller = Principal(admin.id, acme.id, "admin", "Ada", frozenset({"*"}))
            kept, gone = (lifecycle.create(tx, caller, {"subject": "S", "description": "D"}) for _ in range(2))
            for ticket in (kept, gone):
                lifecycle.change(tx, caller, ticket, {"priority": "high"})
            entities.remove(tx, SYSTEM, Ticket, access.ticket(tx, caller, gone.id))
        with time_machine.travel(datetime.now(UTC) - timedelta(days=29), tick=False), bench.database.write() as tx:
            lifecycle.create(tx, caller, {"subject": "S", "description": "D"})
        bench.enqueue(purge_expired.KIND.name)
        bench.worker(purge_expired.KIND)
        until(lambda: bench.jobs() == [])
        with bench.database.read() as tx:
            left = tx._connection.execute("SELECT type, ticket_id FROM events ORDER BY seq").fetchall()
        assert left == [("ticket.updated", kept.id), ("ticket.created", gone.id + 1)]

    def test_indexes_lead_to_what_goes(self, bench: Bench):
        with bench.database.read() as tx:
            of_events = (events._OLD, events._DELETE, events._DROP_DATA, event_texts._UNUSED, event_texts._DELETE)
            for statement in (*(statement for statement, _ in purge_expired._PURGE), audit._PURGE, *of_events):
                sql = statement.compiled(tx._dialect).sql
                plan = [row[3] for row in tx._connection.execute(f"EXPLAIN QUERY PLAN {sql}", defaultdict(int))]
                steps = [step for step in plan if not step.startswith("SCAN wanted VIRTUAL TABLE")]  # bound ids
                assert not [step for step in steps if step.startswith("SCAN") or "B-TREE" in step], plan

    def test_a_service_purges_by_itself(self, bench: Bench):

        keep_answers(bench, count=1, expires_at=clock.now(), scope="old")
        bench.worker(*KINDS.values(), periodic=PERIODIC)
        until(lambda: scopes(bench) == [])
