"""create-org, create-user and the API keys."""

import json

import time_machine
from commands import Desk

from tickets import clock
from tickets.db import Database
from tickets.domain import api_keys, records, users
from tickets.models import User
from tickets.settings import Settings


class TestCreateOrg:
    def test_it_answers_as_the_api_shows_them(self, desk: Desk):
        made = desk.json(
            "create-org", "--name", "Ärger & Söhne", "--email", "Ada@Acme.example", "--user-name", "Ada King"
        )
        assert made["organization"]["slug"] == "arger-sohne"
        assert made["organization"]["settings"]["timezone"] == "UTC"
        assert made["user"]["email"] == "ada@acme.example"
        assert made["user"]["name"] == "Ada King"
        assert made["user"]["role"] == "admin"
        assert made["user"]["organization_id"] == made["organization"]["id"]

    def test_a_person_reads_what_was_made_and_what_comes_next(self, desk: Desk):
        text = desk.ok("create-org", "--name", "Acme", "--email", "ada.king@acme.example")
        assert "Organization 1: Acme\nSlug: acme, made from the name; --slug chooses another.\n" in text
        assert "Ada King" in text
        assert "create-api-key --email ada.king@acme.example" in text

    def test_a_slug_that_is_not_the_name_is_explained(self, acme: Desk):
        def slug(name: str, *words: str) -> str:
            ((people,),) = acme.rows("SELECT count(*) FROM users")
            text = acme.ok("create-org", "--name", name, "--email", f"a{people}@b.example", *words)
            return next(line for line in text.splitlines() if line.startswith("Slug: "))

        assert [slug(name) for name in ("Acme", "日本", "Org", "!?")] == [
            "Slug: acme-2, since acme is taken; --slug chooses another.",
            "Slug: org, since the name has no Latin letters or digits; --slug chooses another.",
            "Slug: org-2, since org is taken; --slug chooses another.",
            "Slug: org-3, since org is taken; --slug chooses another.",
        ]
        assert slug("日本", "--slug", "nihon") == "Slug: nihon"

    def test_the_slug_can_be_chosen_but_not_twice(self, desk: Desk):
        desk.ok("create-org", "--name", "Acme", "--email", "a@acme.example", "--slug", "first")
        line = desk.fails("create-org", "--name", "Acme", "--email", "b@acme.example", "--slug", "first")
        assert "slug" in line
        assert desk.rows("SELECT count(*) FROM organizations") == [(1,)]

    def test_an_email_that_is_taken_founds_nothing(self, acme: Desk):
        assert "email" in acme.fails("create-org", "--name", "Other", "--email", "ADA@acme.example")
        assert acme.rows("SELECT count(*) FROM organizations") == [(1,)]

    def test_what_the_contract_does_not_allow_is_refused(self, desk: Desk):
        assert "ada@acme.example" in desk.fails("create-org", "--name", "Acme", "--email", "nobody")
        for name in (" ", "Ac\u202eme", "Ac\u200bme", "\u200d"):
            assert "200 characters" in desk.fails("create-org", "--name", name, "--email", "a@b.example")
        assert "hyphens" in desk.fails("create-org", "--name", "A", "--email", "a@b.example", "--slug", "No!")
        assert "Missing option '--name'" in desk.fails("create-org", "--email", "a@b.example")


class TestCreateUser:
    def test_each_role_can_be_given(self, acme: Desk):
        for role in ("admin", "agent", "user", "platform"):
            user = acme.json("create-user", "--org", "acme", "--email", f"{role}@acme.example", "--role", role)
            assert user["role"] == role
            assert user["name"] == role.title()

    def test_a_person_reads_one_line(self, acme: Desk):
        words = ("create-user", "--org", "acme", "--email", "b@acme.example", "--role", "agent", "--name", "Ben")
        assert acme.ok(*words) == "User 2: Ben <b@acme.example>, agent of acme\n"

    def test_an_unknown_organization_is_named(self, acme: Desk):
        line = acme.fails("create-user", "--org", "globex", "--email", "b@acme.example", "--role", "agent")
        assert "'globex'" in line
        assert "create-org" in line

    def test_an_unknown_role_is_told_the_known_ones(self, acme: Desk):
        line = acme.fails("create-user", "--org", "acme", "--email", "b@acme.example", "--role", "boss")
        assert "admin, agent, user, platform" in line

    def test_an_email_that_is_taken_is_refused(self, acme: Desk):
        assert "email" in acme.fails("create-user", "--org", "acme", "--email", "ada@acme.example", "--role", "user")


class TestCreateApiKey:
    def test_it_has_all_scopes_and_no_end_unless_told(self, acme: Desk):
        made = acme.json("create-api-key", "--email", "ada@acme.example")
        assert made["key"].startswith(made["prefix"] + "_")
        assert made["scopes"] == ["*"]
        assert made["rate_limit"] is None
        assert made["expires_at"] is None
        assert made["user_id"] == 1

    def test_nobody_has_more_than_a_hundred(self, acme: Desk):
        with Database(Settings(var_dir=acme.var_dir)) as database, database.write() as tx:
            for _ in range(100):
                api_keys.create(tx, users.by_email(tx, "ada@acme.example"), name="K")
        assert "revoke one" in acme.fails("create-api-key", "--email", "ada@acme.example")
        failed = acme.run("create-api-key", "--email", "ada@acme.example", "--json")
        assert json.loads(failed.stdout)["error"]["code"] == "too_many_keys"

    def test_who_is_deactivated_gets_none(self, acme: Desk):
        with Database(Settings(var_dir=acme.var_dir)) as database, database.write() as tx:
            records.change(tx, User, users.by_email(tx, "ada@acme.example"), {"is_active": False})
        line = acme.fails("create-api-key", "--email", "ada@acme.example")
        assert "deactivated" in line
        failed = acme.run("create-api-key", "--email", "ada@acme.example", "--json")
        assert json.loads(failed.stdout)["error"]["code"] == "user_inactive"
        assert acme.json("list-api-keys")["data"] == []

    def test_everything_can_be_chosen(self, acme: Desk):
        with time_machine.travel("2026-01-01T00:00:00Z", tick=False):
            made = acme.json(
                *("create-api-key", "--email", "ada@acme.example", "--org", "acme", "--name", "Reporting"),
                *("--scopes", "tickets:read, comments:read,tickets:read"),
                *("--rate-limit", "1000/second", "--expires", "90d"),
            )
        assert made["name"] == "Reporting"
        assert made["scopes"] == ["tickets:read", "comments:read"]
        assert made["rate_limit"] == "1000/second"
        assert made["expires_at"] == "2026-04-01T00:00:00.000Z"

    def test_the_end_can_be_a_time_with_an_offset(self, acme: Desk):
        end = "2099-01-01T01:00:00+01:00"
        made = acme.json("create-api-key", "--email", "ada@acme.example", "--expires", end)
        assert made["expires_at"] == "2099-01-01T00:00:00.000Z"

    def test_a_person_sees_the_key_on_a_line_of_its_own(self, acme: Desk):
        lines = acme.ok("create-api-key", "--email", "ada@acme.example").splitlines()
        assert sum(line.startswith("tk_") for line in lines) == 1

    def test_what_cannot_be_used_is_refused(self, acme: Desk):
        key = ("create-api-key", "--email", "ada@acme.example")
        assert "tickets:read" in acme.fails(*key, "--scopes", "tickets:fly")
        assert "no scope" in acme.fails(*key, "--scopes", ",")
        assert "1000/second" in acme.fails(*key, "--rate-limit", "fast")
        assert "past" in acme.fails(*key, "--expires", "2001-01-01T00:00:00Z")
        assert "90d" in acme.fails(*key, "--expires", "soon")
        assert "36500d" in acme.fails(*key, "--expires", "999999999d")

    def test_a_small_limit_is_a_limit_too(self, acme: Desk):
        made = acme.json("create-api-key", "--email", "ada@acme.example", "--rate-limit", "5/day")
        assert made["rate_limit"] == "5/day"

    def test_the_user_must_be_there_and_in_the_organization(self, acme: Desk):
        assert "create-user" in acme.fails("create-api-key", "--email", "eve@acme.example")
        acme.ok("create-org", "--name", "Globex", "--email", "hank@globex.example")
        line = acme.fails("create-api-key", "--email", "ada@acme.example", "--org", "globex")
        assert "in globex" in line


class TestListAndRevoke:
    def test_without_keys_it_says_how_to_make_one(self, acme: Desk):
        assert "create-api-key" in acme.ok("list-api-keys")
        assert acme.json("list-api-keys") == {"data": []}

    def test_all_states_are_shown(self, acme: Desk):
        acme.ok("create-org", "--name", "Globex", "--email", "hank@globex.example")
        with time_machine.travel("2026-01-01T00:00:00Z", tick=False):
            acme.ok("create-api-key", "--email", "ada@acme.example", "--expires", "1m", "--name", "[red]old")
            revoked = acme.json("create-api-key", "--email", "ada@acme.example")
            acme.ok("create-api-key", "--email", "hank@globex.example", "--expires", "2099-01-01T00:00:00Z")
            acme.ok("create-api-key", "--email", "hank@globex.example")
        acme.ok("revoke-api-key", revoked["prefix"])
        text = acme.ok("list-api-keys")
        assert "expired 2026-01-01T00:01:00.000Z" in text
        assert "[red]old" in text
        assert "revoked 20" in text
        assert "active until 2099" in text
        assert revoked["key"] not in text
        assert len(acme.json("list-api-keys")["data"]) == 4
        assert [row["id"] for row in acme.json("list-api-keys", "--org", "globex")["data"]] == [3, 4]
        assert [row["id"] for row in acme.json("list-api-keys", "--email", "ada@acme.example")["data"]] == [1, 2]
        both = acme.json("list-api-keys", "--org", "acme", "--email", "ada@acme.example")["data"]
        assert both[1]["revoked_at"] is not None
        assert both[1]["organization"] == "acme"
        assert both[1]["email"] == "ada@acme.example"

    def test_a_key_is_revoked_by_id_prefix_or_itself(self, acme: Desk):
        for name in ("id", "prefix", "key"):
            made = acme.json("create-api-key", "--email", "ada@acme.example")
            revoked = acme.json("revoke-api-key", str(made[name]))
            assert revoked["id"] == made["id"]
            assert clock.is_rfc3339(revoked["revoked_at"])
        assert acme.rows("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL") == [(0,)]

    def test_to_revoke_twice_changes_nothing(self, acme: Desk):
        made = acme.json("create-api-key", "--email", "ada@acme.example")
        assert "is revoked" in acme.ok("revoke-api-key", made["prefix"])
        before = acme.rows("SELECT revoked_at, version FROM api_keys")
        assert "already" in acme.ok("revoke-api-key", made["prefix"])
        assert acme.rows("SELECT revoked_at, version FROM api_keys") == before

    def test_an_unknown_key_is_refused(self, acme: Desk):
        assert "list-api-keys" in acme.fails("revoke-api-key", "7")
        assert "list-api-keys" in acme.fails("revoke-api-key", "tk_aaaaaaaa")
        assert "tk_ab12cd34" in acme.fails("revoke-api-key", "something")

    def test_of_two_keys_with_one_prefix_the_id_decides(self, acme: Desk):
        for _ in range(2):
            made = acme.json("create-api-key", "--email", "ada@acme.example")
        with acme.database() as database:
            connection = database.engine.raw_connection()
            connection.cursor().execute("UPDATE api_keys SET prefix = ?", (made["prefix"],))
            connection.close()
        assert "1, 2" in acme.fails("revoke-api-key", made["prefix"])
