"""One rule what is visible in a text of one line: names, subjects, tags and ids of others."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.checks import made, problem
from tickets.contract.document import Document
from tickets.contract.validation import Checker
from tickets.errors import InvalidRequest
from tickets.settings import shipped

DOCUMENT = Document(shipped("openapi.yaml"))
SCHEMAS = DOCUMENT.data["components"]["schemas"]
LINES = ("NewName", "NewTicketSubject", "NewExternalId")
RULES = (*LINES, "NewTag")

CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
INVISIBLE = [0xAD, 0x34F, 0x200B, *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC), 0xFFFE, 0xFFFF]
SEPARATORS = [0x2028, 0x2029]
TURNING = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
FORBIDDEN = sorted({*CONTROLS, *INVISIBLE, *SEPARATORS, *TURNING})
JOINING = [
    0x61C,
    0x115F,
    0x1160,
    *range(0x180B, 0x1810),
    *range(0x200C, 0x2010),
    0x2800,
    0x3164,
    0xFE0E,
    0xFE0F,
    0xFFA0,
]
"""What is not seen by itself, but shapes what stands beside it."""
REAL = [
    "Zoë Müller-Lüdenscheidt",
    "می\u200cخواهم",  # Persian: the letters must not join
    "ശ്രീകുമാര്\u200d",  # Malayalam: a chillu as it was written before Unicode 5.1
    "क्\u200dष",  # Hindi: the half form
    "עברית\u200f!",  # Hebrew: the mark stays on its side
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family
    "❤\ufe0f",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # the flag of England
    "C#|{}\\'\"<b>",
    "日本語",
]


def accepts(schema: str, value: str) -> bool:
    try:
        Checker(SCHEMAS[schema], "body").check(value)
    except InvalidRequest:
        return False
    return True


def reached(*names: str) -> Iterator[str]:
    """Walk the component schemas that some name, themselves and whatever they are made of."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield name
            waiting += _named(SCHEMAS[name])


def _named(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rsplit("/", 1)[-1]
        for inner in node.values():
            yield from _named(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _named(inner)


@pytest.mark.parametrize("schema", RULES)
class TestTheRule:
    def test_what_is_forbidden_is_so_alone_and_anywhere(self, schema):
        for code in FORBIDDEN:
            for text in ("{}", "a{}b", "{}ab", "ab{}"):
                assert not accepts(schema, text.format(chr(code))), f"{code:04x}"

    def test_what_shapes_its_neighbours_needs_one_that_shows(self, schema):
        for code in JOINING:
            assert not accepts(schema, chr(code)), f"{code:04x}"
            assert not accepts(schema, chr(code) * 3), f"{code:04x}"
            assert accepts(schema, f"a{chr(code)}b"), f"{code:04x}"

    def test_what_people_really_write_is_accepted(self, schema):
        for text in REAL:
            word = text.replace(" ", "_")
            assert accepts(schema, word), word

    def test_blanks_alone_are_none(self, schema):
        for text in ("", " ", "\u00a0", "\u3000", "\u2003\u200d", " \u200f "):
            assert not accepts(schema, text), text.encode("unicode-escape")


def test_every_text_of_one_line_that_is_sent_keeps_to_it():
    bodies = [
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        for _, _, operation in DOCUMENT.operations()
        if "requestBody" in operation
    ]
    sent = {
        name: SCHEMAS[name]["pattern"]
        for body in bodies
        for name in reached(body)
        if SCHEMAS[name].get("type") == "string" and "pattern" in SCHEMAS[name]
    }
    assert set(RULES) <= sent.keys()
    assert len({sent[name] for name in LINES}) == 1
    assert not {"Name", "Tag", "TicketSubject", "ExternalId"} & sent.keys()


TURNED = "Ada\u202eada.exe"


class TestOverHttp:
    @pytest.mark.parametrize(
        ("path", "body", "pointer"),
        [
            ("/users", {"email": "x@example.com", "name": TURNED, "role": "user"}, "/name"),
            ("/contacts", {"email": "x@example.com", "name": TURNED}, "/name"),
            ("/contacts", {"email": "x@example.com", "name": "N", "external_id": TURNED}, "/external_id"),
            ("/teams", {"name": TURNED}, "/name"),
            ("/api-keys", {"name": TURNED}, "/name"),
            ("/tickets", {"subject": TURNED, "description": ""}, "/subject"),
            ("/tickets", {"subject": "S", "description": "", "tags": [TURNED]}, "/tags/0"),
        ],
    )
    def test_it_is_a_400_that_says_what_is_wrong(self, admin, path, body, pointer):
        told = problem(admin.post(path, json=body), 400, "invalid_request", pointer)
        assert "turn text round" in told["errors"][0]["detail"]

    def test_of_an_organization_at_sign_up_and_later(self, admin, anonymous):
        body = {"email": "x@example.com", "password": "correct horse battery", "name": "N", "organization_name": TURNED}
        problem(anonymous.post("/auth/register", json=body), 400, "invalid_request", "/organization_name")
        problem(admin.patch("/organization", json={"name": TURNED}), 400, "invalid_request", "/name")

    def test_what_was_stored_before_is_shown_as_it_is_and_found(self, tenant, admin, agent):
        user = tenant.user("user", name=TURNED)
        assert agent.get(f"/users/{user.id}").json()["name"] == TURNED
        assert admin.patch(f"/users/{user.id}", json={"role": "agent"}).json()["name"] == TURNED
        assert agent.get("/tickets", params={"tag": TURNED}).json()["data"] == []

    def test_a_family_is_a_subject(self, admin):
        subject = "Tickets for \U0001f468\u200d\U0001f469\u200d\U0001f467"
        assert made(admin.post("/tickets", json={"subject": subject, "description": ""}))["subject"] == subject
