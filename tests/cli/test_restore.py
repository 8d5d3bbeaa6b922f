"""restore: a backup in the place of the database, or nothing changed."""

import fcntl
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import Desk

from service import ProcessService
from tickets import migrations

SLUGS = "SELECT slug FROM organizations ORDER BY id"


def slugs(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [slug for (slug,) in connection.execute(SLUGS)]


@pytest.fixture
def copy(acme: Desk) -> Path:
    """A backup that has acme alone; the database has initech as well by now."""
    file = acme.var_dir / "copy.db"
    acme.ok("backup", str(file))
    acme.ok("create-org", "--name", "Initech", "--email", "ida@initech.example")
    return file


def files(desk: Desk) -> dict[str, bytes]:
    """Read the database and what lies beside it; a -wal is in the file once it is opened and closed again."""
    return {file.name: file.read_bytes() for file in desk.var_dir.glob("tickets.db*")}


class TestRestore:
    def test_the_backup_is_there_and_what_was_replaced_is_kept(self, acme: Desk, copy: Path):
        acme.database_path.chmod(0o640)
        made = acme.json("restore", str(copy))
        assert slugs(acme.database_path) == ["acme"]
        assert slugs(Path(made["replaced"])) == ["acme", "initech"]
        assert Path(made["replaced"]).parent == acme.var_dir
        assert made == {
            "database": str(acme.database_path),
            "file": str(copy),
            "bytes": copy.stat().st_size,
            "revision": migrations.head(),
            "needs_migrate": False,
            "replaced": made["replaced"],
        }
        assert acme.database_path.stat().st_mode & 0o777 == 0o640
        assert acme.database_path.read_bytes() == copy.read_bytes()
        assert not list(acme.var_dir.glob("*.restoring*"))
        acme.ok("create-org", "--name", "Globex", "--email", "gus@globex.example")

    def test_a_person_reads_what_was_restored_and_what_is_kept(self, acme: Desk, copy: Path):
        text = acme.ok("restore", str(copy))
        assert f"{acme.database_path} is restored from {copy}" in text
        assert "tickets.db.replaced-" in text
        assert "migrate" not in text

    def test_without_a_database_there_is_nothing_to_keep(self, copy: Path, tmp_path: Path):
        elsewhere = Desk(tmp_path / "new" / "var")
        made = elsewhere.json("restore", str(copy))
        assert made["replaced"] is None
        assert slugs(elsewhere.database_path) == ["acme"]
        assert elsewhere.database_path.stat().st_mode & 0o777 == 0o600

    def test_what_was_committed_but_is_only_in_the_log_is_kept_too(self, acme: Desk, copy: Path):
        # As after a power cut: the log is there, and nobody has the database open.
        with acme.database() as database:
            with database.write() as tx:
                tx._connection.execute("UPDATE organizations SET slug = 'late' WHERE slug = 'initech'")
            left = {file: file.read_bytes() for file in acme.var_dir.glob("tickets.db*")}
        for file, content in left.items():
            file.write_bytes(content)
        assert acme.database_path.with_name("tickets.db-wal").stat().st_size
        made = acme.json("restore", str(copy))
        assert slugs(Path(made["replaced"])) == ["acme", "late"]
        assert slugs(acme.database_path) == ["acme"]

    def test_a_damaged_database_is_replaced_and_kept_with_its_log(self, acme: Desk, copy: Path):
        acme.database_path.write_bytes(b"damaged" * 1_000)
        acme.database_path.with_name("tickets.db-wal").write_bytes(b"log")
        made = acme.json("restore", str(copy))
        assert slugs(acme.database_path) == ["acme"]
        assert Path(made["replaced"]).read_bytes() == b"damaged" * 1_000
        assert Path(made["replaced"] + "-wal").read_bytes() == b"log"

    def test_an_older_revision_is_restored_and_wants_to_be_migrated(self, acme: Desk, tmp_path: Path):
        old = Desk(tmp_path / "old")
        with old.database() as database:
            migrations.upgrade(database, "0005")
        made = acme.json("restore", str(old.database_path))
        assert (made["revision"], made["needs_migrate"]) == ("0005", True)
        assert "run `tickets migrate`" in acme.fails("stats")
        acme.ok("migrate")
        assert "run `tickets migrate` next" in acme.ok("restore", str(old.database_path))

    def test_a_link_stays_a_link_and_what_it_leads_to_is_replaced(self, acme: Desk, copy: Path, tmp_path: Path):
        real = tmp_path / "disk"
        real.mkdir()
        acme.ok("stats")  # what is in the log goes into the file
        acme.database_path.rename(real / "data.db")
        acme.database_path.symlink_to(real / "data.db")
        made = acme.json("restore", str(copy))
        assert acme.database_path.is_symlink()
        assert slugs(real / "data.db") == ["acme"]
        assert Path(made["replaced"]).parent == real


def no_database(_: Desk, copy: Path) -> None:
    copy.write_text("nothing of the kind")


def cut_off(_: Desk, copy: Path) -> None:
    with copy.open("r+b") as file:
        file.truncate(copy.stat().st_size // 2)


def unsound(_: Desk, copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute("UPDATE organizations SET name = ''")


def pointing_nowhere(_: Desk, copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("INSERT INTO counters (organization_id, name, value) VALUES (5, 'tickets', 1)")


def of_a_newer_version(_: Desk, copy: Path) -> None:
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def of_something_else(_: Desk, copy: Path) -> None:
    copy.unlink()
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE notes (text)")


def in_use(_: Desk, copy: Path) -> None:
    copy.with_name("copy.db-wal").write_bytes(b"log")


def missing(_: Desk, copy: Path) -> None:
    copy.unlink()


def the_database_itself(desk: Desk, copy: Path) -> None:
    copy.unlink()
    copy.symlink_to(desk.database_path)


REFUSED: dict[str, tuple[Callable[[Desk, Path], None], str]] = {
    "no database": (no_database, "no SQLite database"),
    "cut off": (cut_off, "damaged"),
    "unsound": (unsound, "damaged"),
    "rows that point nowhere": (pointing_nowhere, "rows of counters that point nowhere"),
    "of a newer version": (of_a_newer_version, "revision 9999"),
    "of something else": (of_something_else, "no database of this service"),
    "in use": (in_use, "copy.db-wal lies next to it"),
    "missing": (missing, "There is no file"),
    "the database itself": (the_database_itself, "is the database itself"),
}


class TestRefusals:
    @pytest.mark.parametrize(("harm", "words"), REFUSED.values(), ids=REFUSED)
    def test_what_cannot_be_restored_changes_nothing(
        self, acme: Desk, copy: Path, harm: Callable[[Desk, Path], None], words: str
    ):
        before = files(acme)
        harm(acme, copy)
        assert words in acme.fails("restore", str(copy))
        assert files(acme) == before

    def test_a_service_that_runs_keeps_its_database(self, acme: Desk, copy: Path):
        service = ProcessService(acme.var_dir, env={"TICKETS_WORKER_THREADS": "0"})
        try:
            service.database.close()
            ended = acme.process("tickets", "restore", str(copy), "--json")
            assert ended.returncode == 2
            assert json.loads(ended.stdout)["error"]["code"] == "in_use"
            assert "stop the service" in ended.stderr
        finally:
            service.stop()
        assert slugs(acme.database_path) == ["acme", "initech"]
        acme.ok("restore", str(copy))  # the lock goes with the process

    @pytest.mark.parametrize("words", [("worker",), ("schedule",)])
    def test_whatever_runs_on_it_keeps_it(self, acme: Desk, copy: Path, words: tuple[str, ...]):
        with subprocess.Popen(
            [sys.executable, "-m", "tickets", *words],
            env={**os.environ, **acme.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it says that it works
            assert "is in use" in acme.fails("restore", str(copy))
            process.terminate()

    @pytest.mark.parametrize("words", ["restore copy.db", "backup next.db", "stats", "migrate"])
    def test_while_one_restores_others_are_told_so(
        self, acme: Desk, copy: Path, words: str, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(copy.parent)
        with acme.database_path.with_name("tickets.db.in-use").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            line = acme.fails(*words.split())
        assert "in use" in line or "is being restored" in line
        assert slugs(acme.database_path) == ["acme", "initech"]

    def test_a_disk_without_room_changes_nothing(self, acme: Desk, copy: Path):
        before = files(acme)
        ended = subprocess.run(
            [sys.executable, "-m", "tickets", "restore", str(copy)],
            env={**os.environ, **acme.env, "COVERAGE_PROCESS_CONFIG": ""},  # its data would not fit either
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "nothing was changed" in ended.stderr
        assert files(acme) == before


# Ends at the n-th step that changes a file, as a power cut would, for each n until one restore comes to its end.
CUT = """
import json, os, sqlite3, sys
from pathlib import Path
from click.testing import CliRunner
from tickets.cli import tickets

var, copy, start = (Path(word) for word in sys.argv[1:])
database = var / "tickets.db"
left = -1

def counted(function):
    def step(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return function(*arguments, **options)
    return step

for name in ("link", "unlink", "replace", "fsync", "open", "fchmod"):
    setattr(os, name, counted(getattr(os, name)))

def shown(path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found = [slug for (slug,) in connection.execute("SELECT slug FROM organizations ORDER BY id")]
    connection.close()
    return found

for step in range(1, 200):
    child = os.fork()
    if child == 0:
        left = step
        os._exit(CliRunner().invoke(tickets, ["restore", str(copy)]).exit_code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps({"code": code, "slugs": shown(database)}), flush=True)
    if code == 0:
        break
    for file in start.iterdir():
        (var / file.name).write_bytes(file.read_bytes())
"""


def test_a_restore_that_is_cut_off_leaves_the_old_database_or_the_new_one(acme: Desk, copy: Path, tmp_path: Path):
    with acme.database() as database:
        with database.write() as tx:
            tx._connection.execute("UPDATE organizations SET slug = 'late' WHERE slug = 'initech'")
        start = tmp_path / "start"
        start.mkdir()
        for file in acme.var_dir.glob("tickets.db*"):
            shutil.copy(file, start)
    for file in start.iterdir():
        shutil.copy(file, acme.var_dir)
    script = tmp_path / "cut.py"
    script.write_text(CUT)
    done = subprocess.run(
        [sys.executable, str(script), str(acme.var_dir), str(copy), str(start)],
        env={**os.environ, **acme.env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(seen) > 8
    assert seen[-1] == {"code": 0, "slugs": ["acme"]}
    assert {one["code"] for one in seen[:-1]} == {9}
    assert {tuple(one["slugs"]) for one in seen} == {("acme", "late"), ("acme",)}
