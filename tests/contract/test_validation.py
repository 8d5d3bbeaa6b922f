"""Input against the contract: what is refused, and in which words."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import connexion
import httpx
import pytest
from connexion.resolver import Resolution, Resolver

from factories import Client, Tenant
from service import ThreadService
from tickets.contract.document import Document
from tickets.contract.validation import (
    MAX_DEPTH,
    MAX_ERRORS,
    Checker,
    Parameters,
    check_content_type,
    json_schema,
    parse_json,
    parse_query,
)
from tickets.errors import InputError, InvalidRequest, UnsupportedMediaType
from tickets.settings import shipped

ARABIC_FIVE = "\u0665"


class TestJsonSchema:
    @pytest.mark.parametrize(
        ("openapi", "translated"),
        [
            ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
            ({"type": "string", "nullable": False}, {"type": "string"}),
            ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
            ({"type": "string", "enum": [None], "nullable": True}, {"type": ["string", "null"], "enum": [None]}),
            ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 1}),
            ({"type": "number", "maximum": 1, "exclusiveMaximum": True}, {"type": "number", "exclusiveMaximum": 1}),
            (
                {"type": "object", "x-property-names": {"maxLength": 3}},
                {"type": "object", "propertyNames": {"maxLength": 3}},
            ),
            (
                {"oneOf": [{"type": "string", "nullable": True}, {"type": "boolean"}]},
                {"oneOf": [{"type": ["string", "null"]}, {"type": "boolean"}]},
            ),
        ],
    )
    def test_what_openapi_writes_differently_is_translated(self, openapi, translated):
        assert json_schema(openapi) == translated

    def test_a_property_may_be_called_like_a_keyword(self):
        schema = {"type": "object", "properties": {"nullable": {"type": "boolean"}, "enum": {"type": "string"}}}
        assert json_schema(schema) == schema

    def test_values_are_not_taken_for_schemas(self):
        schema = {"enum": [{"nullable": True}], "default": {"nullable": True}, "example": {"nullable": True}}
        assert json_schema(schema) == schema

    def test_the_schema_given_stays_as_it_was(self):
        schema = {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}
        before = json.dumps(schema)
        json_schema(schema)
        assert json.dumps(schema) == before


class TestChecker:
    SCHEMA: ClassVar = {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "a/b~c": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "at": {"type": "string", "format": "date-time"},
        },
    }

    def _faults(self, value: Any) -> list[tuple[str, str]]:
        with pytest.raises(InvalidRequest) as caught:
            Checker(self.SCHEMA, "body").check(value)
        assert all(error.where == "body" for error in caught.value.errors)
        return [(error.pointer, error.detail) for error in caught.value.errors]

    def test_what_fits_is_accepted(self):
        Checker(self.SCHEMA, "body").check({"name": "x", "a/b~c": 1, "tags": ["y"], "at": "2026-01-02T03:04:05Z"})

    def test_a_missing_field_is_named(self):
        assert self._faults({}) == [("/name", "is required")]

    def test_each_unknown_field_is_named(self):
        assert self._faults({"name": "x", "b": 1, "c": 1}) == [
            ("/b", "is not known here; leave it out"),
            ("/c", "is not known here; leave it out"),
        ]

    def test_pointers_are_escaped_and_lead_into_lists(self):
        assert [pointer for pointer, _ in self._faults({"name": "x", "a/b~c": "1", "tags": ["a", 2]})] == [
            "/a~1b~0c",
            "/tags/1",
        ]

    def test_an_unknown_name_is_escaped_and_cut(self):
        assert self._faults({"name": "x", "x/" + "y" * 500: 1})[0][0] == "/x~1" + "y" * 98

    def test_the_value_itself_is_never_told(self):
        told = str(self._faults({"name": "x", "a/b~c": "hunter2", "tags": "hunter2", "at": "hunter2"}))
        assert "hunter2" not in told

    def test_a_time_is_an_rfc_3339_time(self):
        assert [pointer for pointer, _ in self._faults({"name": "x", "at": "2026-02-30T00:00:00Z"})] == ["/at"]

    def test_there_is_an_end_to_the_faults(self):
        faults = self._faults({"name": "x", **{f"unknown {n}": 1 for n in range(120)}})
        assert len(faults) == MAX_ERRORS

    @pytest.mark.parametrize(
        "large",
        [
            {f"unknown {n}": 1 for n in range(500)},
            {"unknown": "x" * 70_000, "another": 1},
            {"unknown": [[1]] * 300, "another": 1},
        ],
    )
    def test_of_what_is_larger_than_any_valid_value_the_first_fault_is_told(self, large):
        [(pointer, _)] = self._faults({"name": "x", **large})
        assert pointer.startswith("/unknown")

    def test_the_detail_names_the_first_fault_and_counts_the_rest(self):
        with pytest.raises(InvalidRequest, match=r"^name: is required \(and 1 more\)$"):
            Checker({**self.SCHEMA, "required": ["name", "tags"]}, "body").check({})

    def test_a_whole_that_does_not_fit_has_the_empty_pointer(self):
        assert [pointer for pointer, _ in self._faults([])] == [""]

    def test_a_boolean_is_no_integer(self):
        assert [pointer for pointer, _ in self._faults({"name": "x", "a/b~c": True})] == ["/a~1b~0c"]


class TestContentType:
    @pytest.mark.parametrize(
        "value",
        [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            'application/json;charset="UTF-8"',
            " application/json ",
        ],
    )
    def test_json_in_utf_8_is_accepted(self, value):
        check_content_type([value.encode()])

    @pytest.mark.parametrize(
        "values",
        [
            [],
            [""],
            ["text/plain"],
            ["application/json; charset=latin-1"],
            ["application/json, application/json"],
            ["application/json", "application/json"],
            ["application/jsonx"],
            ["application/json; version=1"],
            ["application/merge-patch+json"],
        ],
    )
    def test_anything_else_is_a_415(self, values):
        with pytest.raises(UnsupportedMediaType):
            check_content_type([value.encode() for value in values])


class TestParseJson:
    @pytest.mark.parametrize(
        ("body", "value"),
        [
            (b"{}", {}),
            (b' [1, 2.5, -3e2, "x", true, false, null] ', [1, 2.5, -300.0, "x", True, False, None]),
            ('"ä€😀"'.encode(), "ä€😀"),
            (rb'"\ud83d\ude00"', "😀"),
            (b'{"a": 1, "A": 2}', {"a": 1, "A": 2}),
            (b"9223372036854775808", 2**63),
        ],
    )
    def test_json_is_read(self, body, value):
        assert parse_json(body) == value

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "is not JSON"),
            (b"{", "is not JSON"),
            (b"{'a': 1}", "is not JSON"),
            (b"[1,]", "is not JSON"),
            (b"01", "is not JSON"),
            (b"{} {}", "is not JSON"),
            (b'"\x01"', "is not JSON"),
            (b"NaN", "NaN is no number"),
            (b"[Infinity]", "Infinity is no number"),
            (b"-Infinity", "-Infinity is no number"),
            (b"1e400", "too large"),
            (b"-1e400", "too large"),
            (b"9" * 401, "more than 400 digits"),
            (b"9" * 5_000, "more than 400 digits"),
            (b"0." + b"1" * 500, "too large or too long"),
            (b'{"a": 1, "a": 2}', "names 'a' twice"),
            (b'{"b": {"a": 1, "a": 1}}', "names 'a' twice"),
            (b'{"\\ud800": 1, "\\ud800": 2}', "names '?' twice"),
            ('"ä"'.encode("latin-1"), "is not UTF-8"),
            ('"ä"'.encode("utf-16"), "is not UTF-8"),
            (b"\xef\xbb\xbf{}", "is not JSON"),
            (rb'"\ud800"', "half of a surrogate pair"),
            (rb'["x", {"\udfff": 1}]', "half of a surrogate pair"),
            (rb'{"a": "x\u0000y"}', "NUL"),
            (b"[" * 65 + b"]" * 65, "nested deeper than 64"),
            (b"[" * 100_000, "nested deeper than 64"),
            (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64"),
        ],
    )
    def test_what_is_refused_is_refused_with_the_reason(self, body, reason):
        with pytest.raises(InvalidRequest) as caught:
            parse_json(body)
        [error] = caught.value.errors
        assert (error.pointer, error.where) == ("", "body")
        assert reason in error.detail

    def test_sixty_four_levels_are_fine(self):
        parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)

    def test_many_brackets_side_by_side_are_fine(self):
        assert len(parse_json(b"[" + b"[]," * 100 + b"[]]")) == 101

    def test_brackets_within_text_are_no_nesting(self):
        assert parse_json(b'"' + b"[" * 100 + b'"') == "[" * 100


class TestParameters:
    PARAMETERS = Parameters(
        [
            {"name": "limit", "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}},
            {"name": "share", "schema": {"type": "number"}},
            {"name": "active", "schema": {"type": "boolean"}},
            {"name": "status", "schema": {"type": "array", "items": {"type": "string", "enum": ["open", "closed"]}}},
            {"name": "team", "schema": {"type": "array", "maxItems": 2, "items": {"type": "integer"}}},
            {"name": "email", "schema": {"type": "string", "maxLength": 5}},
        ],
        "query",
    )

    def _read(self, query: str) -> dict[str, Any]:
        return self.PARAMETERS.read(parse_query(query.encode()))

    @pytest.mark.parametrize(
        ("query", "values"),
        [
            ("", {}),
            ("&", {}),
            ("limit=5", {"limit": 5}),
            ("share=0.5", {"share": 0.5}),
            ("share=-2", {"share": -2}),
            ("active=true", {"active": True}),
            ("active=false", {"active": False}),
            ("status=open&status=closed", {"status": ["open", "closed"]}),
            ("team=1&email=a&team=2", {"team": [1, 2], "email": "a"}),
            ("email=a+b", {"email": "a b"}),
            ("email=a%2Bb", {"email": "a+b"}),
            ("email=%C3%A4", {"email": "ä"}),
            ("email=a%26b", {"email": "a&b"}),
            ("%6Cimit=5", {"limit": 5}),
        ],
    )
    def test_values_become_what_the_contract_says(self, query, values):
        assert self._read(query) == values

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            *(
                (f"limit={text}", "/limit")
                for text in (
                    *("", "x", "0", "201", "-1", "+5", "05", "1_0", "%205", "5%20", "5.0", "1e1", "0x5", "true"),
                    *(ARABIC_FIVE, "%D9%A5", "\uff19", "9" * 5_000, "--5"),
                )
            ),
            ("limit", "/limit"),
            ("limit=5&limit=5", "/limit"),
            ("limit=5&%6Cimit=6", "/limit"),
            *((f"share={text}", "/share") for text in ("NaN", "inf", "1e5", ".5", "5.", "1_0", ARABIC_FIVE)),
            *((f"active={text}", "/active") for text in ("True", "TRUE", "1", "0", "yes", "", "on")),
            ("status=pending", "/status/0"),
            ("status=open,closed", "/status/0"),
            ("status=", "/status/0"),
            ("team=1&team=x", "/team/1"),
            ("team=1&team=2&team=3", "/team"),
            ("email=abcdef", "/email"),
            ("Limit=5", "/Limit"),
            ("limit[]=5", "/limit[]"),
            ("=5", "/"),
            ("a/b=5", "/a~1b"),
        ],
    )
    def test_anything_else_is_refused_and_named(self, query, pointer):
        with pytest.raises(InvalidRequest) as caught:
            self._read(query)
        assert [(error.pointer, error.where) for error in caught.value.errors] == [(pointer, "query")]

    @pytest.mark.parametrize("query", [b"email=%ff", b"email=\xff", b"%c3=1", b"email=%00", b"email=a%0Ab", b"a\x7f=1"])
    def test_bad_encoding_and_control_characters_are_refused(self, query):
        with pytest.raises(InvalidRequest):
            parse_query(query)

    def test_each_unknown_name_is_told(self):
        with pytest.raises(InvalidRequest) as caught:
            self._read("a=1&b=2")
        assert caught.value.errors == [
            InputError("/a", "is no parameter of this operation", "query"),
            InputError("/b", "is no parameter of this operation", "query"),
        ]

    def test_there_is_an_end_to_the_faults(self):
        with pytest.raises(InvalidRequest) as caught:
            self._read("&".join(f"x{n}=1" for n in range(500)))
        assert len(caught.value.errors) == MAX_ERRORS

    def test_what_is_required_is_missed(self):
        with pytest.raises(InvalidRequest, match="q: is required"):
            Parameters([{"name": "q", "required": True, "schema": {"type": "string"}}], "query").read([])

    def test_defaults_are_told(self):
        assert self.PARAMETERS.defaults == {"limit": 50}


# The oracle -----------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A request, and why the verdict of Connexion as it comes is another one, if it is."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] | None = None
    differs: str = ""


TICKET = {"subject": "Printer", "description": "It is on fire."}
CONTACT = {"email": "oracle@example.com", "name": "Oracle"}


def _ticket(**more: Any) -> dict[str, Any]:
    return {**TICKET, **more}


def _contact(**more: Any) -> dict[str, Any]:
    return {**CONTACT, **more}


LOOSE_INTEGER = "limit=1_0, %205 and Arabic digits are accepted"
LAST_WINS = "the last duplicate wins"
LOOSE_JSON = "NaN, duplicate keys and lone surrogates pass"
CRASHES = "bad input in a body is a 500"

CASES = [
    # Queries that are fine
    Case("GET", "/tickets"),
    Case("GET", "/tickets?limit=1"),
    Case("GET", "/tickets?limit=200"),
    Case("GET", "/tickets?sort=-updated_at&status=open&status=closed"),
    Case("GET", "/tickets?assigned_to=me&assigned_to=7&assigned_to=none"),
    Case("GET", "/tickets?team_id=1&team_id=2"),
    Case("GET", "/tickets?created_from=2026-01-02T03:04:05Z"),
    Case("GET", "/users?is_active=true&role=agent"),
    Case("GET", "/users?email=a@example.com"),
    Case("GET", "/contacts?external_id=A-1"),
    Case("GET", "/teams?sort=name"),
    Case("GET", "/tickets/1/comments?visibility=public"),
    Case("GET", "/tickets/1", headers={"If-None-Match": '"1"'}),
    # Queries that are not
    Case("GET", "/tickets?limit=0"),
    Case("GET", "/tickets?limit=201"),
    Case("GET", "/tickets?limit=-1"),
    Case("GET", "/tickets?limit=x"),
    Case("GET", "/tickets?limit=1.5"),
    Case("GET", "/tickets?limit="),
    Case("GET", "/tickets?sort=subject"),
    Case("GET", "/tickets?sort="),
    Case("GET", "/tickets?status=new"),
    Case("GET", "/tickets?status=open&status=new"),
    Case("GET", "/tickets?team_id=0"),
    Case("GET", "/tickets?team_id=x"),
    Case("GET", "/tickets?assigned_to=you"),
    Case("GET", "/tickets?surprise=1"),
    Case("GET", "/tickets?Limit=1"),
    Case("GET", "/teams/1?surprise=1"),
    Case("GET", "/users?is_active=maybe"),
    Case("GET", "/users?email=nobody"),
    Case("GET", "/users?role=root"),
    Case("GET", "/teams?sort=description"),
    Case("GET", "/contacts?external_id=" + "x" * 256),
    Case("GET", "/tickets?cursor=" + "x" * 2049),
    Case("GET", "/tickets?cursor=*"),
    Case("GET", "/tickets/1", headers={"If-None-Match": "x" * 1025}),
    # Formats: Connexion checks a time only because a tool of the tests brings rfc3339-validator
    Case("GET", "/tickets?created_from=yesterday"),
    Case("GET", "/tickets?created_from=2026-02-30T00:00:00Z"),
    Case("POST", "/api-keys", {"name": "x", "expires_at": "tomorrow"}),
    # Queries that Connexion takes
    Case("GET", "/tickets?limit=1_0", differs=LOOSE_INTEGER),
    Case("GET", "/tickets?limit=%205", differs=LOOSE_INTEGER),
    Case("GET", "/tickets?limit=%D9%A5", differs=LOOSE_INTEGER),
    Case("GET", "/tickets?limit=1&limit=2", differs=LAST_WINS),
    # Bodies that are fine
    Case("POST", "/tickets", _ticket()),
    Case("POST", "/tickets", _ticket(description="", tags=[], custom_fields={})),
    Case("POST", "/tickets", _ticket(assignee_id=None, team_id=None)),
    Case("POST", "/tickets", _ticket(custom_fields={"a": "x", "b": 1.5, "c": True, "d": None})),
    Case("POST", "/tickets", _ticket(subject="x" * 255, tags=["a"] + [f"t{n}" for n in range(49)])),
    Case("POST", "/contacts", _contact(external_id=None, attributes={"vip": True})),
    Case("PATCH", "/teams/1", {"description": ""}),
    Case("PATCH", "/contacts/1", {"external_id": None}),
    Case("POST", "/tickets", _ticket(), headers={"Idempotency-Key": "oracle"}),
    # Bodies that are not
    Case("POST", "/tickets", {}),
    Case("POST", "/tickets", []),
    Case("POST", "/tickets", "text"),
    Case("POST", "/tickets", {"subject": "Printer"}),
    Case("POST", "/tickets", _ticket(subject="")),
    Case("POST", "/tickets", _ticket(subject=" ")),
    Case("POST", "/tickets", _ticket(subject="a\nb")),
    Case("POST", "/tickets", _ticket(subject="x" * 256)),
    Case("POST", "/tickets", _ticket(subject=7)),
    Case("POST", "/tickets", _ticket(subject=None)),
    Case("POST", "/tickets", _ticket(surprise=1)),
    Case("POST", "/tickets", _ticket(status="open")),
    Case("POST", "/tickets", _ticket(priority="huge")),
    Case("POST", "/tickets", _ticket(priority=None)),
    Case("POST", "/tickets", _ticket(contact_id=None)),
    Case("POST", "/tickets", _ticket(contact_id=0)),
    Case("POST", "/tickets", _ticket(contact_id="1")),
    Case("POST", "/tickets", _ticket(contact_id=True)),
    Case("POST", "/tickets", _ticket(contact_id=1.5)),
    Case("POST", "/tickets", _ticket(contact_id=2**63)),
    Case("POST", "/tickets", _ticket(tags=["a", "a"])),
    Case("POST", "/tickets", _ticket(tags=["a b"])),
    Case("POST", "/tickets", _ticket(tags=[f"t{n}" for n in range(51)])),
    Case("POST", "/tickets", _ticket(tags="a")),
    Case("POST", "/tickets", _ticket(custom_fields={"a": {}})),
    Case("POST", "/tickets", _ticket(custom_fields={"a": "x" * 1001})),
    Case("POST", "/tickets", _ticket(custom_fields={f"f{n}": 1 for n in range(51)})),
    Case("POST", "/contacts", _contact(email="nobody")),
    Case("POST", "/contacts", _contact(attributes=None)),
    Case("PATCH", "/teams/1", {}),
    Case("PATCH", "/teams/1", {"name": None}),
    Case("PATCH", "/teams/1", {"name": "x", "version": 0}),
    Case("POST", "/users", {"email": "a@example.com", "name": "A", "role": "platform"}),
    Case("POST", "/api-keys", {"name": "x", "scopes": []}),
    Case("POST", "/api-keys", {"name": "x", "scopes": ["everything"]}),
    Case("POST", "/tickets", _ticket(), headers={"Idempotency-Key": "a b"}),
    Case("POST", "/tickets", _ticket(), headers={"Idempotency-Key": "x" * 256}),
    Case("POST", "/tickets", b""),
    Case("POST", "/tickets", b"{"),
    # Bodies that Connexion takes, or chokes on
    Case("POST", "/tickets", b'{"subject": "a", "subject": "b", "description": ""}', differs=LOOSE_JSON),
    Case("POST", "/tickets", rb'{"subject": "\ud800", "description": ""}', differs=LOOSE_JSON),
    Case("POST", "/tickets", b'{"subject": "\xff", "description": ""}', differs=CRASHES),
    Case("POST", "/tickets", b"[" * 100_000, differs=CRASHES),
]


class StubResolver(Resolver):
    """Every operation accepts everything."""

    def resolve(self, operation: Any) -> Resolution:
        return Resolution(lambda **_: ({}, 200), operation.operation_id)


def _send(client: httpx.Client, case: Case, key: str | None = None) -> int:
    headers = {"content-type": "application/json"} if case.body is not None else {}
    headers |= case.headers or {}
    if key is not None:
        headers["x-api-key"] = key
    content = case.body if case.body is None or isinstance(case.body, bytes) else json.dumps(case.body).encode()
    return client.request(case.method, f"/api/v1{case.path}", content=content, headers=headers).status_code


@pytest.fixture(scope="module")
def oracle() -> Iterator[httpx.Client]:
    """Connexion as it comes, with the same contract, without security, in this process."""
    data = Document(shipped("openapi.yaml")).data
    data.pop("security")
    app = connexion.FlaskApp("oracle")
    app.add_api(data, resolver=StubResolver(), strict_validation=True)
    with app.test_client(raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def ours(service: ThreadService) -> Iterator[tuple[httpx.Client, str]]:
    tenant = Tenant(service.database, service.origin)
    key = tenant.key(tenant.user("admin"))
    with Client(service.origin) as client:
        client.base_url = httpx.URL(service.origin)
        yield client, key
    tenant.close()


class TestOracle:
    """Connexion as it comes gives the same verdict as our plans, except where it is known not to."""

    @pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method} {case.path[:60]} {str(case.body)[:60]}")
    def test_the_verdicts_agree(self, oracle, ours, case):
        client, key = ours
        our_status = _send(client, case, key)
        assert our_status in {200, 201, 304, 400, 404, 409}
        their_status = _send(oracle, case)
        assert their_status in {200, 400, 500}
        refused = our_status == 400
        if case.differs:
            assert refused
            assert their_status != 400, "they agree by now"
        else:
            assert (their_status == 400) is refused, (our_status, their_status)
