"""The doors to the commands, as processes of their own; and what is true for all commands."""

import json
import sys
from pathlib import Path

import click
import pytest
from commands import Desk

from tickets.cli import _COMMANDS, tickets


@pytest.mark.parametrize("door", [("tickets",), ("flask", "tickets"), ("-m", "tickets")], ids=" ".join)
def test_every_door_leads_to_the_same_commands_from_any_folder(door: tuple[str, ...], desk: Desk, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made = desk.process(*door, "create-org", "--name", "Acme", "--email", "ada@acme.example", "--json", cwd=elsewhere)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["organization"]["slug"] == "acme"
    assert made.stderr == ""
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("door", [("tickets",), ("flask", "tickets"), ("-m", "tickets")], ids=" ".join)
def test_every_door_puts_a_wrong_argument_in_one_line(door: tuple[str, ...], desk: Desk):
    failed = desk.process(*door, "create-org", "--nme", "Acme")
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert failed.stderr.startswith("Error: No such option '--nme'")
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("door", "name"),
    [
        # The virtual environment is not on the PATH, then it is.
        (("tickets",), str(Path(sys.executable).with_name("tickets"))),
        (("tickets",), "tickets"),
        (("flask", "tickets"), "flask tickets"),
        (("-m", "tickets"), "python -m tickets"),
    ],
    ids=["path", "name", "flask", "module"],
)
def test_what_a_line_proposes_can_be_typed_as_it_is(door: tuple[str, ...], name: str, empty_desk: Desk):
    path = str(Path(sys.executable).parent) if name == "tickets" else "/usr/bin:/bin"
    assert f"run `{name} migrate` first" in empty_desk.process(*door, "list-api-keys", PATH=path).stderr
    assert f"`{name} list-api-keys --help`" in empty_desk.process(*door, "list-api-keys", "--nope", PATH=path).stderr


def test_help_imports_neither_the_database_nor_the_web(desk: Desk):
    shown = desk.process("-m", "tickets", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert shown.returncode == 0
    assert "migrate" in shown.stdout
    for heavy in ("sqlalchemy", "connexion", "alembic", "rich.console"):
        assert f" {heavy}\n" not in shown.stderr


def test_a_command_imports_no_more_than_it_needs(acme: Desk):
    shown = acme.process("-m", "tickets", "list-api-keys", "--json", PYTHONPROFILEIMPORTTIME="1")
    assert shown.returncode == 0
    assert " sqlalchemy\n" in shown.stderr
    for heavy in ("alembic", "connexion", "flask", "jsonschema_rs", "rich.console", "structlog", "yaml"):
        assert f" {heavy}\n" not in shown.stderr


def test_the_list_of_commands_says_what_each_command_says_of_itself():
    with click.Context(tickets) as context:
        for name, (_, summary) in _COMMANDS.items():
            command = tickets.get_command(context, name)
            assert command is not None
            assert command.name == name
            assert (command.help or "").splitlines()[0] == summary


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_explains_itself(name: str, empty_desk: Desk):
    assert f"Usage: tickets {name}" in empty_desk.ok(name, "--help")


@pytest.mark.parametrize(
    "words",
    [
        ("create-org", "--name", "A", "--email", "a@b.example"),
        ("create-user", "--org", "a", "--email", "a@b.example", "--role", "user"),
        ("create-api-key", "--email", "a@b.example"),
        ("list-api-keys",),
        ("revoke-api-key", "1"),
        ("seed-data", "--tickets", "1"),
        ("demo",),
        ("serve", "--port", "65000"),
        ("worker",),
        ("jobs", "list"),
        ("backup", "copy.db"),
    ],
    ids=lambda words: words[0],
)
class TestWithoutADatabase:
    def test_a_missing_one_is_named_and_not_made(self, words: tuple[str, ...], empty_desk: Desk):
        line = empty_desk.fails(*words)
        assert "There is no database" in line
        assert "`tickets migrate`" in line
        assert not empty_desk.database_path.exists()

    def test_one_at_another_revision_is_not_touched(self, words: tuple[str, ...], desk: Desk):
        with desk.database() as database:
            connection = database.engine.raw_connection()
            connection.cursor().execute("UPDATE alembic_version SET version_num = '0001'")
            connection.close()
        line = desk.fails(*words)
        assert "revision 0001" in line
        assert "`tickets migrate`" in line


def test_a_setting_that_cannot_be_used_is_one_line(empty_desk: Desk):
    assert "TICKETS_LOG_LEVEL" in empty_desk.fails("migrate", TICKETS_LOG_LEVEL="loud")


def test_a_file_that_is_no_database_is_one_line(empty_desk: Desk):
    empty_desk.database_path.write_text("This is a letter, not a database. " * 40)
    assert "database" in empty_desk.fails("list-api-keys")


def test_a_folder_that_cannot_be_made_is_one_line(empty_desk: Desk):
    (empty_desk.var_dir / "file").write_text("")
    assert "file" in empty_desk.fails("migrate", TICKETS_VAR_DIR=str(empty_desk.var_dir / "file" / "var"))


def test_an_unknown_command_is_one_line(empty_desk: Desk):
    assert "No such command 'creat-org'" in empty_desk.fails("creat-org")
    assert "No such option" in empty_desk.fails("--nope")


def test_without_a_command_the_help_is_shown(empty_desk: Desk):
    assert "create-api-key" in empty_desk.run().stderr
