"""How commands fail for programs: with --json one object on stdout, beside the line on stderr."""

import json

import pytest
from commands import Desk


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("invalid_request", ("create-org", "--nme", "Acme")),
        ("invalid_request", ("create-org", "--name", "Acme", "--email", "nobody")),
        ("invalid_request", ("creat-org",)),
        ("invalid_request", ("--nope",)),
        ("already_exists", ("create-org", "--name", "Acme", "--email", "ada@acme.example")),
        ("not_found", ("create-api-key", "--email", "eve@acme.example")),
        ("not_found", ("create-api-key", "--email", "ada@acme.example", "--org", "globex")),
        ("not_found", ("revoke-api-key", "7")),
        ("failed", ("seed-data", "--org", "acme", "--organizations", "2")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_program_reads_why(acme: Desk, code: str, words: tuple[str, ...]):
    for given in ((*words, "--json"), ("--json", *words)) if words[0].startswith("-") else ((*words, "--json"),):
        result = acme.run(*given)
        assert result.exit_code == 2
        assert result.stdout.count("\n") == 1
        error = json.loads(result.stdout)["error"]
        assert error["code"] == code
        assert result.stderr == f"Error: {error['message']}\n"


def test_a_setting_or_a_database_that_is_missing_is_told_too(empty_desk: Desk):
    for result in (
        empty_desk.run("list-api-keys", "--json"),
        empty_desk.run("list-api-keys", "--json", TICKETS_LOG_LEVEL="loud"),
    ):
        assert result.exit_code == 2
        assert result.stderr == f"Error: {json.loads(result.stdout)['error']['message']}\n"


def test_a_person_reads_the_line_alone(acme: Desk):
    assert "revoke" not in acme.fails("revoke-api-key", "7")


def test_through_flask_it_is_the_same(acme: Desk):
    failed = acme.process("flask", "tickets", "revoke-api-key", "7", "--json")
    assert failed.returncode == 2
    assert json.loads(failed.stdout)["error"]["code"] == "not_found"
    assert failed.stderr.count("\n") == 1
