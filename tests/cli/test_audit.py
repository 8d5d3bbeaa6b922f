"""purge-audit: what is older than the operator wants to keep goes."""

import sqlite3
from contextlib import closing

import pytest
from commands import Desk

from tickets import clock
from tickets.domain.records import AT_ONCE

OLD = 2 * AT_ONCE + 3


def keep(desk: Desk, *, days_old: int, count: int) -> None:
    moment = clock.now() - days_old * clock.DAY
    with closing(sqlite3.connect(desk.database_path)) as connection, connection:
        connection.executemany(
            "INSERT INTO audit_log (method, path, query, status, ip, duration_ms, request_id, created_at)"
            " VALUES ('GET', '/', '', 200, '127.0.0.1', 1, 'r', ?)",
            [(moment,)] * count,
        )


class TestPurgeAudit:
    def test_old_entries_go_and_others_stay(self, desk: Desk):
        keep(desk, days_old=91, count=OLD)
        keep(desk, days_old=89, count=4)
        done = desk.json("purge-audit", "--older-than", "90d")
        assert (done["purged"], done["kept"]) == (OLD, 4)
        assert clock.parse_rfc3339(done["before"]) <= clock.now() - 90 * clock.DAY
        assert desk.rows("SELECT count(*) FROM audit_log") == [(4,)]

    def test_it_says_what_it_did(self, desk: Desk):
        keep(desk, days_old=1, count=1)
        assert "1 entries from before" in desk.ok("purge-audit", "--older-than", "2h")
        assert "0 entries from before" in desk.ok("purge-audit", "--older-than", "30m")

    @pytest.mark.parametrize("age", ["90", "0d", "-1d", "d", "90 days", "99999999d", ""])
    def test_an_age_that_is_none_is_refused(self, desk: Desk, age: str):
        assert "--older-than" in desk.fails("purge-audit", f"--older-than={age}")

    def test_the_age_has_to_be_named(self, desk: Desk):
        keep(desk, days_old=900, count=1)
        assert "--older-than" in desk.fails("purge-audit")
        assert desk.rows("SELECT count(*) FROM audit_log") == [(1,)]
