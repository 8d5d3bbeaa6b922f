"""migrate and backup."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from commands import Desk

from tickets import migrations
from tickets.domain import organizations


class TestMigrate:
    def test_it_says_from_where_to_where_and_can_be_repeated(self, empty_desk: Desk):
        newest = migrations.head()
        assert empty_desk.json("migrate") == {"from": None, "to": newest}
        assert empty_desk.json("migrate") == {"from": newest, "to": newest}
        assert "already" in empty_desk.ok("migrate")

    def test_a_person_reads_both_revisions(self, empty_desk: Desk):
        assert f"from revision none to {migrations.head()}" in empty_desk.ok("migrate")

    def test_a_database_of_a_newer_version_is_left_alone(self, desk: Desk):
        with desk.database() as database:
            connection = database.engine.raw_connection()
            connection.cursor().execute("UPDATE alembic_version SET version_num = '9999'")
            connection.close()
        for words in (("migrate",), ("list-api-keys",)):
            line = desk.fails(*words)
            assert "revision 9999" in line
            assert "newer version" in line
            assert "Nothing was changed" in line

    def test_rows_that_point_nowhere_are_told_without_a_guess(self, desk: Desk):
        with closing(sqlite3.connect(desk.database_path, isolation_level=None)) as connection:
            connection.execute("INSERT INTO counters (organization_id, name, value) VALUES (5, 'tickets', 1)")
        line = desk.fails("migrate")
        assert "1 of counters without their organizations" in line
        assert "nothing was changed" in line
        assert "newer version" not in line


class TestWhoMayRead:
    @pytest.fixture(params=[0o000, 0o077], ids=oct)
    def _umask(self, request: pytest.FixtureRequest) -> Iterator[None]:
        before = os.umask(request.param)
        yield
        os.umask(before)

    @pytest.mark.usefixtures("_umask")
    def test_what_is_made_is_its_owners_only(self, empty_desk: Desk):
        empty_desk.ok("migrate")
        with empty_desk.database() as database, database.write() as tx:
            organizations.create(tx, name="Acme")
            modes = {file.name: oct(file.stat().st_mode & 0o777) for file in empty_desk.var_dir.glob("tickets.db*")}
        beside = ("", "-shm", "-wal", ".gate", ".gate.next", ".in-use")
        names = [f"tickets.db{end}" for end in beside]
        assert modes == dict.fromkeys(names, "0o600")

    @pytest.mark.usefixtures("_umask")
    def test_who_was_let_in_stays_in(self, desk: Desk):
        desk.database_path.chmod(0o660)
        desk.ok("create-org", "--name", "Acme", "--email", "ada@acme.example")
        (desk.var_dir / "tickets.db.in-use").unlink()
        desk.ok("create-org", "--name", "Initech", "--email", "ida@initech.example")
        for name in ("tickets.db", "tickets.db.gate", "tickets.db.gate.next", "tickets.db.in-use"):
            assert (desk.var_dir / name).stat().st_mode & 0o777 == 0o660


class TestBackup:
    def test_the_copy_is_whole_and_its_owners_only(self, acme: Desk):
        copy = acme.var_dir / "copy.db"
        made = acme.json("backup", str(copy))
        assert made["file"] == str(copy)
        assert made["bytes"] == copy.stat().st_size > 0
        assert made["integrity"] == "ok"
        assert copy.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("SELECT slug FROM organizations").fetchall() == [("acme",)]
        assert not list(acme.var_dir.glob("copy.db.*"))

    def test_a_person_reads_size_and_time(self, acme: Desk):
        assert "bytes in" in acme.ok("backup", str(acme.var_dir / "copy.db"))

    def test_an_existing_file_is_never_overwritten(self, acme: Desk):
        copy = acme.var_dir / "copy.db"
        copy.write_text("precious")
        assert "exists already" in acme.fails("backup", str(copy))
        assert copy.read_text() == "precious"

    def test_a_backup_at_work_is_not_disturbed(self, acme: Desk):
        (acme.var_dir / "copy.db.partial").write_text("")
        assert "another backup" in acme.fails("backup", str(acme.var_dir / "copy.db"))
        assert (acme.var_dir / "copy.db.partial").exists()

    def test_a_folder_that_does_not_exist_is_one_line(self, acme: Desk):
        copy = acme.var_dir / "nowhere" / "copy.db"
        line = acme.fails("backup", str(copy))
        assert f"create the folder {copy.parent}" in line
        assert f"{copy} cannot" in line
        assert "partial" not in line

    def test_a_name_that_no_file_can_have_is_one_line(self, acme: Desk):
        copy = acme.var_dir / ("x" * 255)
        line = acme.fails("backup", str(copy))
        assert f"{copy} cannot be written: File name too long" in line
        assert "partial" not in line

    def test_a_copy_of_what_is_broken_is_not_kept(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "20")
        with closing(sqlite3.connect(acme.database_path, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints=ON")
            connection.execute("UPDATE tickets SET subject = '' WHERE number = 7")
        assert "not sound" in acme.fails("backup", str(acme.var_dir / "copy.db"))
        assert not list(acme.var_dir.glob("copy.db*"))

    def test_writers_go_on_and_the_copy_is_of_one_moment(self, acme: Desk):
        acme.ok("seed-data", "--tickets", "2000")
        stop, written = threading.Event(), []

        def write() -> None:
            with acme.database() as database:
                while not stop.is_set():
                    with database.write() as tx:
                        written.append(organizations.count_up(tx, 1, "tickets"))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(3):
                before = len(written)
                acme.ok("backup", os.fspath(acme.var_dir / f"copy-{number}.db"))
                assert len(written) > before
        finally:
            stop.set()
            writer.join()
        with closing(sqlite3.connect(acme.var_dir / "copy-2.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM tickets").fetchone() == (2000,)
            (value,) = connection.execute("SELECT value FROM counters WHERE name = 'tickets'").fetchone()
        assert written[0] <= value <= written[-1]
