"""The way from any revision to the newest, with data in it, and what `serve` says before it is gone."""

import itertools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Boolean, Inspector, Integer, LargeBinary, MetaData, Numeric, Table, insert, inspect

from factories import catch_up
from service import ProcessService
from tickets import clock, migrations
from tickets.db import Database
from tickets.domain import comments, contacts, event_texts, events, lifecycle, organizations, sla, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.domain.listings import EVENTS, tickets, where
from tickets.domain.search import SEARCH
from tickets.http import idempotency
from tickets.models import Base
from tickets.models.tickets import PRIORITIES, STATUSES
from tickets.settings import Settings, shipped

SCRIPTS = ScriptDirectory.from_config(migrations._config())
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]
ROWS = 3


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database that does not exist yet."""
    with Database(Settings(var_dir=tmp_path)) as database:
        yield database


def downgrade(database: Database, revision: str) -> None:
    """Go back, as `migrations.upgrade` goes forward."""
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        config = migrations._config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()


def tables(database: Database) -> list[Table]:
    """Reflect all tables as they are now, the referenced ones first."""
    metadata = MetaData()
    with database.engine.connect() as connection:
        metadata.reflect(connection, only=lambda name, _: is_ours(name))
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def is_ours(name: str) -> bool:
    """Tell our tables from what the full-text index keeps itself in; what is searched is in search_documents."""
    return not name.startswith("search_index")


def allowed(inspector: Inspector, table: str) -> dict[str, list[str]]:
    """Read which words a column takes from its check constraints."""
    found = {}
    for check in inspector.get_check_constraints(table):
        words = re.findall(r"'([^']*)'", check["sqltext"])
        if words:  # column IN ('a', 'b'), or column = 'a' OR column = 'b'
            found[re.split(r"\W", check["sqltext"].lstrip("("), maxsplit=1)[0]] = words
    return found


def fill(database: Database) -> None:
    """Insert rows into every table there is; values that fit come from the schema itself."""
    present = tables(database)
    with database.engine.connect() as connection:
        inspector = inspect(connection)
        for table in present:
            words = allowed(inspector, table.name)
            for number in range(1, ROWS + 1):
                connection.execute(insert(table).values({c.name: value(c, number, words) for c in table.columns}))
        connection.commit()


def value(column: Any, number: int, words: dict[str, list[str]]) -> Any:
    """Make the value of a column in the row with a number: rows refer to those with the same number."""
    if column.name in words:
        return words[column.name][number % len(words[column.name])]
    for kind, made in (
        (JSON, {"row": number}),
        (Boolean, True),
        (LargeBinary, bytes([number]) * 32),
        (Integer | Numeric, number),
    ):
        if isinstance(column.type, kind):
            return made
    return f"{column.name} {number}"


def content(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read every row of every table."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            )
            if name != "alembic_version" and is_ours(name)
        ]
        return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}


def assert_sound(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def assert_kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Check that each row of before is there after, in all the columns that both have.

    What is searched is made of tickets and comments, and made anew on the way.
    """
    for table, rows in before.items():
        if table == "search_documents":
            continue
        columns = rows[0].keys() & after[table][0].keys()
        assert columns, table

        def visible(row: dict[str, Any], columns: set[str] = columns) -> str:
            return repr(sorted((name, row[name]) for name in columns))

        assert Counter(map(visible, rows)) <= Counter(map(visible, after[table])), table


class TestSchema:
    def test_the_models_and_the_migrations_agree(self, database: Database):
        migrations.upgrade(database)
        with database.engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "compare_type": True,
                    "compare_server_default": True,
                    "include_name": lambda name, kind, _: kind != "table" or is_ours(name),
                },
            )
            assert compare_metadata(context, Base.metadata) == []

    def test_they_agree_on_checks_and_keys_which_alembic_does_not_compare(self, tmp_path: Path, database: Database):
        migrations.upgrade(database)
        with Database(Settings(var_dir=tmp_path, database_url=f"sqlite:///{tmp_path / 'models.db'}")) as other:
            Base.metadata.create_all(other.engine)
            assert self.shape(other) == self.shape(database)

    def shape(self, database: Database) -> dict[str, Any]:
        with database.engine.connect() as connection:
            inspector = inspect(connection)
            return {
                table: {
                    "checks": sorted((c["name"], c["sqltext"]) for c in inspector.get_check_constraints(table)),
                    "keys": sorted((repr(sorted(k.items(), key=str))) for k in inspector.get_foreign_keys(table)),
                    "indexes": sorted(
                        connection.exec_driver_sql(
                            f"SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}' AND sql <> ''"
                        ).scalars()
                    ),
                    "triggers": sorted(
                        connection.exec_driver_sql(
                            f"SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"
                        ).scalars()
                    ),
                    "primary": inspector.get_pk_constraint(table)["constrained_columns"],
                    "options": re.findall(
                        r"AUTOINCREMENT|WITHOUT ROWID|STRICT",
                        connection.exec_driver_sql(
                            f"SELECT sql FROM sqlite_master WHERE type = 'table' AND name = '{table}'"
                        ).scalar_one(),
                    ),
                }
                for table in filter(is_ours, inspector.get_table_names())
                if table != "alembic_version"
            }

    def test_the_revisions_are_one_line_of_descent(self):
        assert len(SCRIPTS.get_heads()) == 1
        assert len(SCRIPTS.get_bases()) == 1
        assert REVISIONS[-1] == migrations.head()
        assert all(migrations.known(revision) for revision in REVISIONS)
        assert not migrations.known("9999")

    def test_ids_are_never_used_again(self, database: Database):
        migrations.upgrade(database)
        with database.engine.connect() as connection:
            for table in filter(is_ours, inspect(connection).get_table_names()):
                sql = connection.exec_driver_sql(f"SELECT sql FROM sqlite_master WHERE name = '{table}'").scalar_one()
                columns = {column["name"] for column in inspect(connection).get_columns(table)}
                assert ("AUTOINCREMENT" in sql) == ("id" in columns), table


class TestUpgrade:
    @pytest.mark.parametrize("revision", REVISIONS)
    def test_what_was_there_at_a_revision_is_there_at_the_newest(self, database: Database, revision: str):
        migrations.upgrade(database, revision)
        assert migrations.current(database) == revision
        fill(database)
        before = content(database.path)
        assert before
        assert all(len(rows) == ROWS for rows in before.values())
        assert_sound(database.path)
        migrations.upgrade(database)
        assert migrations.current(database) == migrations.head()
        assert_kept(before, content(database.path))
        assert_sound(database.path)

    def test_step_by_step_nothing_is_lost_either(self, database: Database):
        filled: set[str] = set()
        for revision in REVISIONS:
            before = content(database.path) if filled else {}
            migrations.upgrade(database, revision)
            assert_kept({name: rows for name, rows in before.items() if rows}, content(database.path))
            if not filled:
                fill(database)
            filled = set(content(database.path))
            assert_sound(database.path)

    def test_a_second_time_it_changes_nothing(self, database: Database):
        migrations.upgrade(database)
        fill(database)
        before = content(database.path)
        migrations.upgrade(database)
        assert content(database.path) == before

    def test_a_contact_that_an_unverified_account_was_given_is_taken_back(self, database: Database):
        migrations.upgrade(database, "0006")
        fill(database)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("UPDATE users SET email_verified_at = NULL WHERE id = 2")
        migrations.upgrade(database)
        contacts = [(row["user_id"], row["version"]) for row in content(database.path)["contacts"]]
        assert contacts == [(1, 1), (None, 3), (3, 3)]

    @pytest.mark.parametrize("revision", ["0008", "0011", "0013"])
    def test_what_was_written_before_is_found(self, database: Database, revision: str):
        migrations.upgrade(database, revision)
        fill(database)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("UPDATE comments SET ticket_id = 3 WHERE id = 2")
            connection.execute("UPDATE tickets SET subject = subject || ' \u1112\u1161\u11ab\u1100\u1173\u11af'")
        migrations.upgrade(database)
        with database.read() as tx:

            def found(q: str, **seen: Any) -> dict[int, list[int | None]]:
                page = SEARCH.page(tx, where={"organization_id": [3], "q": [q], **seen}, sort="", limit=9)
                return {row.id: [each.comment_id for each in row.found] for row in page.rows}

            assert found("subject") == found("\ud55c\uae00") == {3: [None]}
            assert found("desc*") == {3: [None]}
            assert found("body") == {3: [3, 2]}
            assert found("body", own_contact_id=[3]) == {3: [2]}  # the other is an internal note
            assert found('"subject 2"') == {}
        with closing(sqlite3.connect(database.path)) as connection:
            connection.execute("INSERT INTO search_index (search_index, rank) VALUES ('integrity-check', 1)")

    def test_tickets_that_are_there_get_the_due_times_that_they_would_have(self, database: Database):
        migrations.upgrade(database, "0008")
        fill(database)
        moment = clock.now()
        ages = [0, 11, 13, 14, 16, 100, 300, 1_000, 1_200, 2_000, 3_500, 5_000]
        lives = list(itertools.product(PRIORITIES, STATUSES, (None, 0.3, 0.9), ages))
        with closing(sqlite3.connect(database.path)) as connection, connection:
            for number, (priority, status, answered, age) in enumerate(lives, start=10):
                created, end = moment - age * clock.MINUTE, moment - age * clock.MINUTE // 10
                responded = None if answered is None else int(created + (end - created) * answered)
                resolved = end if status in ("resolved", "closed") else None
                connection.execute(
                    "INSERT INTO tickets (id, organization_id, number, subject, description, status, priority, type,"
                    " source, contact_id, tags, custom_fields, first_responded_at, resolved_at, created_at, updated_at)"
                    " VALUES (?, 1, ?, 'S', 'D', ?, ?, 'task', 'api', 1, '[]', '{}', ?, ?, ?, ?)",
                    [number, number, status, priority, responded, resolved, created, end],
                )
        migrations.upgrade(database)
        rows = [row for row in content(database.path)["tickets"] if row["id"] >= 10]
        assert len(rows) == len(lives)
        for row in rows:
            levels = [
                sla.stored(
                    sla.DEFAULT[row["priority"]],
                    created_at=row["created_at"],
                    first_responded_at=row["first_responded_at"],
                    resolved_at=row["resolved_at"],
                    paused_at=row["updated_at"] if row["status"] == "pending" else row["resolved_at"],
                    moment=at,
                )
                for at in (moment, clock.now())  # the migration's own is between
            ]
            assert {name: row[name] for name in sla.COLUMNS} in levels

    def test_tickets_that_are_there_are_tallied(self, database: Database):
        migrations.upgrade(database, SCRIPTS.get_revision("0010").down_revision)
        fill(database)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("UPDATE tickets SET organization_id = 1, status = 'open', priority = 'low' WHERE id < 3")
            connection.execute("UPDATE tickets SET created_by_id = 2 WHERE id = 1")
            connection.execute("UPDATE tickets SET created_by_id = NULL WHERE id = 3")
        migrations.upgrade(database)
        found = content(database.path)
        tallied = [
            (row["organization_id"], row["status"], row["priority"], row["total"]) for row in found["ticket_tallies"]
        ]
        third = found["tickets"][2]
        assert sorted(tallied) == [(1, "open", "low", 2), (3, third["status"], third["priority"], 1)]
        assert found["creator_tallies"] == [{"user_id": 2, "organization_id": 2, "total": 2}]

    @pytest.mark.parametrize(
        ("counted", "there", "expected"),
        [(5, (1, 2, 3, 4, 5), 0), (5, (2, 4, 5), 3), (5, (1, 3), 5), (5, (), 5), (5, (3, 4, 5), 2), (0, (), 0)],
    )
    def test_a_log_is_complete_after_the_last_event_that_is_missing(self, database: Database, counted, there, expected):
        migrations.upgrade(database, SCRIPTS.get_revision("0015").down_revision)
        fill(database)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("INSERT INTO counters (organization_id, name, value) VALUES (2, 'events', ?)", [counted])
            connection.execute("DELETE FROM events WHERE organization_id = 2")
            connection.executemany(
                "INSERT INTO events (organization_id, seq, type, entity_id, actor_type, actor_name, data, is_history,"
                " created_at) VALUES (2, ?, 'team.created', 1, 'user', 'A', '{}', 0, 1)",
                [[seq] for seq in there],
            )
        migrations.upgrade(database)
        found = [row for row in content(database.path)["counters"] if row["name"] == "events_purged"]
        assert found == [{"organization_id": 2, "name": "events_purged", "value": expected}]

    @pytest.mark.parametrize("revision", [SCRIPTS.get_revision("0017").down_revision, "0008"])
    def test_events_that_are_there_keep_their_texts_until_they_are_old(self, database: Database, revision: str):
        migrations.upgrade(database, revision)
        fill(database)
        data = json.dumps({"id": 1, "description": "long " * 10_000, "version": 2}, ensure_ascii=False)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("INSERT OR IGNORE INTO counters VALUES (1, 'events_purged', 0)")
            connection.execute(
                "UPDATE events SET data = ?, is_history = id = 1, organization_id = 1, ticket_id = 1", [data]
            )
        migrations.upgrade(database)
        with database.read() as tx:
            told = EVENTS.page(tx, where={"organization_id": [1]}, sort="seq", limit=9).rows
            assert [bytes(event.data).decode() for event in told] == [data] * ROWS
        with database.write() as tx:
            assert events.purge(tx, before=clock.now()) == ROWS
            assert EVENTS.page(tx, where={"organization_id": [1]}, sort="seq", limit=9).rows == []
        [left] = content(database.path)["events"]
        assert (left["id"], left["data"], left["has_data"]) == (1, "null", 0)

    def test_answers_beyond_the_room_for_them_are_dropped_before_anybody_waits(self, database: Database):
        migrations.upgrade(database, SCRIPTS.get_revision("0018").down_revision)
        fill(database)
        half = idempotency.MOST_KEPT // 2
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("DELETE FROM idempotency_records")
            for number, size in enumerate([10, 0, half, half, half + 1, half - 1, 0]):
                connection.execute(
                    "INSERT INTO idempotency_records (organization_id, scope, fingerprint, status, content_type, body,"
                    " expires_at) VALUES (1, ?, x'00', 200, '', zeroblob(?), ?)",
                    [bytes([number]), size, number],
                )
        migrations.upgrade(database)
        kept = [(len(row["body"]), row["running_size"]) for row in content(database.path)["idempotency_records"]]
        first = 10 + 3 * half + 1
        assert kept == [
            (0, None),
            (0, 0),
            (0, None),
            (0, None),
            (half + 1, first),
            (half - 1, first + half - 1),
            (0, 0),
        ]

    def test_tags_that_are_there_are_found(self, database: Database):
        migrations.upgrade(database, SCRIPTS.get_revision("0012").down_revision)
        fill(database)
        tags = {1: ["vip", "eu"], 2: [], 3: ["eu", "ça va", "eu"]}
        with closing(sqlite3.connect(database.path)) as connection, connection:
            for ticket_id, given in tags.items():
                connection.execute(
                    "UPDATE tickets SET organization_id = 1, tags = ? WHERE id = ?", [json.dumps(given), ticket_id]
                )
        migrations.upgrade(database)
        with database.read() as tx:
            for tag in ("vip", "eu", "ça va", "none"):
                asked = where(organization_id=1, tag=tag)
                found = tickets(asked).page(tx, where=asked, sort="created_at", limit=10)
                assert [row.id for row in found.rows] == [number for number, given in tags.items() if tag in given]

    def test_tags_get_the_time_at_which_their_ticket_was_changed_last(self, database: Database):
        migrations.upgrade(database, SCRIPTS.get_revision("0013").down_revision)
        fill(database)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("UPDATE tickets SET updated_at = 7 * id")
        migrations.upgrade(database)
        found = content(database.path)
        assert found["ticket_tags"]
        assert all(tag["updated_at"] == 7 * tag["ticket_id"] for tag in found["ticket_tags"])

    def test_rows_that_point_nowhere_are_told(self, database: Database):
        migrations.upgrade(database)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("INSERT INTO counters (organization_id, name, value) VALUES (5, 'tickets', 1)")
        with pytest.raises(migrations.MigrationError, match="1 of counters without their organizations"):
            migrations.upgrade(database)


class TestAStepThatFails:
    """It is undone as a whole, also where it comes after steps that went well."""

    @pytest.fixture
    def step(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        scripts = tmp_path / "alembic"
        shutil.copytree(shipped("alembic"), scripts, ignore=shutil.ignore_patterns("__pycache__"))

        def add(*statements: str) -> None:
            (scripts / "versions" / "9000_step.py").write_text(
                f'from alembic import op\nrevision = "9000"\ndown_revision = "{REVISIONS[-1]}"\n'
                f"def upgrade():\n    for statement in {statements}:\n        op.execute(statement)\n"
            )
            monkeypatch.setattr(migrations, "shipped", lambda _: scripts)

        return add

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_that_it_breaks_references_is_found_before_it_is_stored(
        self, database: Database, step: Callable[..., None], revision: str
    ):
        migrations.upgrade(database, revision)
        fill(database)
        before = content(database.path)
        step("CREATE TABLE made (id INTEGER)", "UPDATE tickets SET number = 50", "DELETE FROM contacts")
        with pytest.raises(migrations.MigrationError) as raised:
            migrations.upgrade(database)
        assert "step to revision 9000" in str(raised.value)
        assert f"{ROWS} of tickets without their contacts" in str(raised.value)
        assert f"as it was at revision {REVISIONS[-1]}" in str(raised.value)
        assert migrations.current(database) == REVISIONS[-1]
        assert "made" not in content(database.path)
        assert_kept(before, content(database.path))
        assert_sound(database.path)

    def test_data_that_does_not_fit_is_told(self, database: Database, step: Callable[..., None]):
        migrations.upgrade(database)
        fill(database)
        before = content(database.path)
        step("DELETE FROM comments", "UPDATE tickets SET subject = NULL")
        with pytest.raises(migrations.MigrationError, match=r"NOT NULL .* undone: .* as it was at revision"):
            migrations.upgrade(database)
        assert content(database.path) == before
        assert migrations.current(database) == REVISIONS[-1]


class TestDowngrade:
    def test_back_to_nothing_and_forth_again(self, database: Database):
        migrations.upgrade(database)
        fill(database)
        downgrade(database, "base")
        assert content(database.path) == {}
        assert migrations.current(database) is None
        migrations.upgrade(database)
        assert set(content(database.path)) == set(Base.metadata.tables)
        assert_sound(database.path)

    @pytest.mark.parametrize("revision", REVISIONS[:-1])
    def test_a_step_back_keeps_what_was_there_before_it(self, database: Database, revision: str):
        migrations.upgrade(database, revision)
        fill(database)
        before = content(database.path)
        migrations.upgrade(database)
        downgrade(database, revision)
        assert_kept(before, content(database.path))
        assert_sound(database.path)

    def test_a_step_back_gives_events_their_texts_back(self, database: Database):
        migrations.upgrade(database)
        shown = {"subject": "S", "description": 'long "' * 1_000, "custom_fields": {"note": "ä\n" * 2_000, "n": 1.0}}
        fill(database)
        with database.write() as tx:
            data, texts = event_texts.take_out(tx, 1, shown, clock.now())
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute(
                "UPDATE events SET data = ?, texts = ?, organization_id = 1 WHERE id = 2",
                [data, texts],
            )
            connection.execute("UPDATE events SET data = 'null', has_data = 0 WHERE id = 3")
        downgrade(database, SCRIPTS.get_revision("0017").down_revision)
        assert [json.loads(event["data"]) for event in content(database.path)["events"]] == [{"row": 1}, shown, {}]

    def test_what_was_pending_is_found_after_a_step_back_and_forth(self, database: Database):
        migrations.upgrade(database)
        with database.write() as tx:
            tx.on_loop = True
            of = organizations.create(tx, name="One").id
            user = users.create(tx, SYSTEM, of, email="a@one.example", name="A", role="admin")
            caller = Principal(user.id, of, "admin", "A", frozenset({"*"}))
            contact_id = contacts.create(tx, SYSTEM, of, email="c@one.example", name="C").id
            long = "\N{CJK UNIFIED IDEOGRAPH-6771}\N{CJK UNIFIED IDEOGRAPH-4EAC}" * 10_000
            known, late = (
                lifecycle.create(tx, caller, {"subject": subject, "description": text, "contact_id": contact_id})
                for subject, text in (("printer", "on fire"), ("plotter", long))
            )
        with database.write() as tx:
            tx.on_loop = True
            for ticket in (known, late):
                for body in ("toner", f"toner {long}", f"ink {long}"):
                    comments.create(tx, caller, tx.one(comments._TICKET, id=ticket.id), body=body)
        downgrade(database, SCRIPTS.get_revision("0016").down_revision)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("DELETE FROM jobs")
        migrations.upgrade(database)
        assert [job["kind"] for job in content(database.path)["jobs"]] == ["update_search_index"]
        catch_up(database)
        assert content(database.path)["search_pending"] == []
        with database.read() as tx:
            found = {
                q: {
                    row.id: len(row.found)
                    for row in SEARCH.page(tx, where={"organization_id": [of], "q": [q]}, sort="", limit=9).rows
                }
                for q in ("printer", "plotter", "toner", "ink")
            }
        both = (known.id, late.id)
        assert found == {
            "printer": {known.id: 1},
            "plotter": {late.id: 1},
            "toner": dict.fromkeys(both, 2),
            "ink": dict.fromkeys(both, 1),
        }

    def test_a_step_back_lets_nobody_into_an_organization_that_was_being_deleted(self, database: Database):
        migrations.upgrade(database, "0006")
        fill(database)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("UPDATE organizations SET deleted_at = NULL WHERE id > 1")
        downgrade(database, "0005")
        assert [user["is_active"] for user in content(database.path)["users"]] == [0, 1, 1]


class TestServe:
    """It never serves a database it does not know, and says in one line what to do."""

    def serve(self, var_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TICKETS_")}
        return subprocess.run(
            [sys.executable, "-m", "tickets", *(arguments or ("serve",))],
            env={**environment, "TICKETS_VAR_DIR": str(var_dir)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def assert_refused(self, ended: subprocess.CompletedProcess[str]) -> str:
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("Error: ")
        assert ended.stderr.count("\n") == 1
        return ended.stderr

    def test_a_missing_database(self, tmp_path: Path):
        assert "`python -m tickets migrate`" in self.assert_refused(self.serve(tmp_path))
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_one(self, tmp_path: Path):
        (tmp_path / "tickets.db").touch()
        assert "`python -m tickets migrate`" in self.assert_refused(self.serve(tmp_path))

    @pytest.mark.parametrize("revision", REVISIONS[:-1])
    def test_an_older_one(self, tmp_path: Path, database: Database, revision: str):
        migrations.upgrade(database, revision)
        told = self.assert_refused(self.serve(tmp_path))
        assert "`python -m tickets migrate`" in told
        assert revision in told
        assert migrations.head() in told
        assert migrations.current(database) == revision

    def test_one_that_a_later_version_made(self, tmp_path: Path, database: Database):
        migrations.upgrade(database)
        with closing(sqlite3.connect(database.path)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        assert "9999" in self.assert_refused(self.serve(tmp_path))

    def test_what_is_no_database(self, tmp_path: Path):
        (tmp_path / "tickets.db").write_bytes(b"this is a text, not a database\n" * 100)
        assert "Traceback" not in self.assert_refused(self.serve(tmp_path))

    def test_a_folder(self, tmp_path: Path):
        (tmp_path / "tickets.db").mkdir()
        assert "Traceback" not in self.assert_refused(self.serve(tmp_path))

    def test_the_command_it_names_is_all_it_takes(self, tmp_path: Path):
        self.assert_refused(self.serve(tmp_path))
        assert self.serve(tmp_path, "migrate").returncode == 0
        running = ProcessService(tmp_path)
        told = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - told < 15
        assert running.log.read_text() == ""
