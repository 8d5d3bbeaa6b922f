"""What is unusual and yet allowed is taken for what it spells, and a cursor for nothing but itself."""

import json
import re

import pytest
from rawhttp import JSON, Connection, answer_to, post

from factories import Client, Tenant


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "x" * 255},
        {"subject": "\N{FIRE}" * 255},
        {"subject": "e\u0301" * 127},
        {"description": "x" * 50_000},
        {"description": "\N{FIRE}" * 50_000},
        {"description": "\r\n\t\x01\x7f\ufeff\uffff\u2028\u202e"},
        {"tags": [str(n) for n in range(50)]},
        {"tags": ["\N{FIRE}" * 50]},
        {"custom_fields": {str(n): None for n in range(50)}},
        {"custom_fields": {"\N{FIRE}" * 100: "\N{FIRE}" * 1_000}},
        {"custom_fields": {"a": 2**53 - 1, "b": -(2**53 - 1), "c": 5e-324, "d": -0.0, "e": 0.1, "f": True, "g": ""}},
        {"custom_fields": {"' OR 1=1--": "'; DROP TABLE tickets; --", "$where": "1", "{{ 7 * 7 }}": "{% raw %}"}},
        {"subject": "'); DELETE FROM tickets; --", "description": '"\\\\u0000%00\\x00<script>alert(1)</script>'},
        {"subject": "../../etc/passwd", "description": "${jndi:ldap://127.0.0.1/a}"},
    ],
    ids=str,
)
def test_what_the_contract_allows_comes_back_as_it_was_sent(admin: Client, fields: dict[str, object]):
    body = {"subject": "s", "description": "", **fields}
    made = admin.post("/tickets", content=json.dumps(body), headers={"content-type": "application/json"})
    assert made.status_code == 201, made.text
    read = admin.get(f"/tickets/{made.json()['id']}").json()
    assert {name: read[name] for name in body} == body


def test_escapes_are_read_as_what_they_stand_for(connection: Connection, key: str):
    answer = answer_to(connection, post(key, JSON, body=rb'{"subject": "\ud83d\udd25 \u00e9 \/", "description": ""}'))
    assert answer.json()["subject"] == "\N{FIRE} é /"


@pytest.mark.parametrize("depth", [64, 63])
def test_nesting_up_to_the_bound_is_read(connection: Connection, key: str, depth: int):
    """It is refused for what it is, not for its depth."""
    answer = answer_to(connection, post(key, JSON, body=b"[" * depth + b"]" * depth))
    assert (answer.status, "levels" in answer.problem()["detail"]) == (400, False)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/contacts", {"external_id": "' OR '1'='1"}),
        ("/contacts", {"external_id": '"; SELECT sqlite_version(); --'}),
        ("/contacts", {"external_id": "%"}),
        ("/contacts", {"external_id": "_*?[a]"}),
        ("/contacts", {"external_id": "$ne"}),
        ("/contacts", {"external_id": "\N{FIRE}" * 255}),
        ("/contacts", {"email": "o'brien@example.com"}),
        ("/contacts", {"email": "%@example.com"}),
        ("/users", {"email": "a*@example.com"}),
        ("/tickets", {"contact_id": str(2**63 - 1)}),
        ("/tickets", {"assigned_to": "9" * 19}),
        ("/tickets", {"team_id": str(2**63 - 1)}),
        ("/tickets", {"created_from": "9999-12-31T23:59:59.999Z"}),
        ("/tickets", {"created_to": "0001-01-01T00:00:00Z"}),
    ],
)
def test_operators_in_a_filter_match_what_they_spell(tenant: Tenant, admin: Client, path: str, value: dict[str, str]):
    contact = tenant.contact(external_id="plain")
    tenant.ticket(contact_id=contact["id"])
    answer = admin.get(path, params=value)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == []


def test_a_filter_with_quotes_finds_what_has_them(tenant: Tenant, admin: Client):
    for external_id in ("it's", '"quoted"', "100%", "under_score", "semi;colon--"):
        contact = tenant.contact(external_id=external_id)
        tenant.contact(external_id=external_id.upper() + "x")
        found = admin.get("/contacts", params={"external_id": external_id}).json()["data"]
        assert [row["id"] for row in found] == [contact["id"]]


class TestCursors:
    """A cursor is good for the list it came from and nothing else."""

    @pytest.fixture
    def cursor(self, tenant: Tenant, admin: Client) -> str:
        for _ in range(3):
            tenant.ticket()
        cursor: str = admin.get("/tickets?limit=1").json()["next_cursor"]
        return cursor

    def refused(self, client: Client, path: str, cursor: str) -> bool:
        answer = client.get(f"{path}{'&' if '?' in path else '?'}cursor={cursor}")
        return answer.status_code == 400 and answer.json()["errors"][0]["pointer"] == "/cursor"

    def test_it_works_where_it_belongs(self, admin: Client, cursor: str):
        assert admin.get("/tickets", params={"cursor": cursor, "limit": 200}).status_code == 200

    def test_a_change_of_any_character_is_noticed(self, admin: Client, cursor: str):
        for place in range(len(cursor) - 1):
            tampered = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
            assert self.refused(admin, "/tickets", tampered)

    def test_more_or_less_of_it_is_noticed(self, admin: Client, cursor: str):
        for tampered in (cursor[:-1], cursor[1:], cursor + "A", cursor * 2, "A" + cursor):
            assert self.refused(admin, "/tickets", tampered)

    def test_another_tenant_cannot_use_it(self, other: Tenant, cursor: str):
        other.ticket()
        assert self.refused(other.client("admin"), "/tickets", cursor)

    def test_a_user_cannot_use_an_admins(self, user: Client, cursor: str):
        assert self.refused(user, "/tickets", cursor)

    @pytest.mark.parametrize(
        "path",
        ["/tickets?status=open", "/tickets?sort=created_at", "/tickets?assigned_to=me", "/comments", "/contacts"],
    )
    def test_another_filter_sort_or_list_cannot_use_it(self, admin: Client, cursor: str, path: str):
        assert self.refused(admin, path, cursor)

    def test_the_link_holds_one_however_the_name_was_escaped(self, admin: Client, cursor: str):
        answer = admin.get(f"/tickets?%63urs%6Fr={cursor}&limit=1")
        assert answer.status_code == 200
        for link in answer.links.values():
            assert re.findall(r"[?&]([^=]*)=", link["url"]) == ["limit", "cursor"]
            assert admin.get(answer.request.url.join(link["url"])).status_code == 200

    def test_two_of_them_are_refused(self, admin: Client, cursor: str):
        assert admin.get(f"/tickets?cursor={cursor}&cursor={cursor}").status_code == 400
