"""demo: what the examples of the contract speak of."""

from typing import Any

import pytest
from commands import Desk

from tickets.cli.environment import contract
from tickets.domain import access, api_keys, organizations, records
from tickets.models import ApiKey, Base, Comment, Contact, Organization, SlaPolicy, Team, Ticket, User
from tickets.shapes.comments import comment
from tickets.shapes.contacts import contact
from tickets.shapes.organizations import organization
from tickets.shapes.sla_policies import sla_policy
from tickets.shapes.teams import team
from tickets.shapes.tickets import ticket
from tickets.shapes.users import user

TIMES = {"created_at", "updated_at", "email_verified_at", "first_responded_at", "sla", "is_breached"}
"""What the time of the test decides."""


@pytest.mark.parametrize(
    ("name", "model", "shape"),
    [
        ("Organization", Organization, organization),
        ("User", User, user),
        ("Team", Team, team),
        ("Contact", Contact, contact),
        ("Ticket", Ticket, ticket),
        ("Comment", Comment, comment),
        ("SlaPolicy", SlaPolicy, sla_policy),
    ],
)
def test_it_makes_what_the_examples_show(desk: Desk, name: str, model: type[Base], shape: Any):
    desk.ok("demo")
    example = contract().data["components"]["examples"][name]["value"]
    with desk.database() as database, database.read() as tx:
        row = records.find(tx, model, example["id"], 1)
    shown = shape(row)
    differs = {key for key in example if shown[key] != example[key]}
    assert differs <= TIMES


def test_it_makes_so_much_and_no_more(desk: Desk):
    desk.ok("demo")
    tables = ("organizations", "users", "teams", "team_members", "contacts", "tickets", "comments", "api_keys")
    counts = [desk.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables]
    assert counts == [1, 3, 1, 1, 2, 3, 2, 1]
    assert desk.rows("SELECT user_id FROM contacts ORDER BY id") == [(3,), (None,)]


def test_a_database_whose_only_organization_was_deleted_is_empty(desk: Desk):
    desk.ok("demo")
    with desk.database() as database, database.write() as tx:
        organizations.remove(tx, access.organization(tx, 1))
    again = desk.json("demo")
    assert (again["created"], again["key"] is not None) == (True, True)
    assert desk.rows("SELECT slug FROM organizations ORDER BY id") == [("deleted 1",), ("acme",)]
    assert desk.rows("SELECT email FROM users WHERE id = 1") == [("deleted 1",)]


def test_the_key_is_kept_for_its_owner_and_shown_again(desk: Desk):
    first = desk.json("demo", "--port", "8123")
    second = desk.json("demo", "--port", "8123")
    assert first["created"] is True
    assert second == {**first, "created": False}
    file = desk.var_dir / "demo.key"
    assert file.read_text().strip() == first["key"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert first["curl"] == f"curl -H 'x-api-key: {first['key']}' http://127.0.0.1:8123/api/v1/tickets"
    assert first["console"] == "http://127.0.0.1:8123/docs"
    assert desk.ok("demo") == desk.ok("demo")
    assert first["key"] in desk.ok("demo")


def test_the_key_is_one_that_works(desk: Desk):
    key = desk.json("demo")["key"]
    with desk.database() as database, database.read() as tx:
        found = api_keys.authenticate(tx, key)
    assert found is not None
    assert found[0].role == "admin"
    assert found[0].scopes == {"*"}


def test_with_other_data_it_changes_nothing_and_says_how_to_get_a_key(acme: Desk):
    text = acme.ok("demo")
    assert "create-api-key" in text
    assert "/docs" in text
    assert acme.json("demo")["key"] is None
    assert acme.rows("SELECT count(*) FROM users") == [(1,)]
    assert not (acme.var_dir / "demo.key").exists()


def test_a_key_that_was_revoked_or_is_of_a_lost_database_is_not_shown(desk: Desk):
    key = desk.json("demo")["key"]
    desk.ok("revoke-api-key", key)
    assert key not in desk.ok("demo")
    desk.database_path.unlink()
    for left in desk.var_dir.glob("tickets.db-*"):
        left.unlink()
    desk.ok("migrate")
    fresh = desk.json("demo")
    assert fresh["created"] is True
    assert fresh["key"] != key
    with desk.database() as database, database.read() as tx:
        assert records.find(tx, ApiKey, 1, 1) is not None
