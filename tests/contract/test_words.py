"""The words of faults: ours for every keyword of the contract, plain, and without the value."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tickets.contract.document import Document
from tickets.contract.faults import _UNKNOWN
from tickets.contract.validation import Checker
from tickets.errors import InvalidRequest
from tickets.settings import shipped

DOCUMENT = Document(shipped("openapi.yaml"))
SECRET = "hunter2"
JARGON = re.compile(r'[\^\\$]|\[A-Z|oneOf|schema|keyword|pattern|propert|"(string|integer|email)"|\bvalid\b')
# They say nothing about a value, or only of what type the others speak.
SILENT = {
    *("description", "example", "default", "nullable", "properties", "items", "additionalProperties", "required"),
    *("x-pattern-hint", "x-size-hint", "x-property-names", "discriminator"),
}
# Formats that no validator knows: the domain judges a time zone, the others tell tools how to show a value.
SHOWN = {"int32", "int64", "double", "password", "cursor", "idempotency-key", "entity-tag", "entity-tags"} | {
    "iana-timezone"
}


def _schemas(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk all schemas of the document, those of parameters and headers too."""
    if isinstance(node, list):
        for number, inner in enumerate(node):
            yield from _schemas(inner, f"{name}/{number}")
    elif isinstance(node, dict):
        if isinstance(node.get("type"), str) or "oneOf" in node:
            yield name, node
        for key, inner in node.items():
            if key not in {"example", "examples", "enum", "default"}:
                yield from _schemas(inner, f"{name}/{key}")


SCHEMAS = [
    found
    for part in ("schemas", "parameters", "headers")
    for found in _schemas(DOCUMENT.data["components"][part], part)
] + list(_schemas(DOCUMENT.data["paths"], "paths"))
RULES = [
    (f"{name}/{keyword}", schema, keyword)
    for name, schema in SCHEMAS
    for keyword in schema
    if keyword not in SILENT and not (keyword == "format" and schema["format"] in SHOWN)
]


def _breaking(keyword: str, limit: Any) -> Any:
    """Make a value that breaks one keyword."""
    many = [f"{SECRET}{n}" for n in range(limit + 1)] if keyword in {"maxItems", "maxProperties"} else []
    return {
        "type": lambda: [SECRET] if limit != "array" else SECRET,
        "enum": lambda: SECRET,
        "format": lambda: f" {SECRET} %",
        "pattern": lambda: next(text for text in BROKEN if not re.search(limit, text)),
        "minLength": lambda: "",
        "maxLength": lambda: SECRET[0] * (limit + 1),
        "minimum": lambda: limit - 1,
        "maximum": lambda: limit + 1,
        "minItems": list,
        "maxItems": lambda: many,
        "uniqueItems": lambda: [SECRET, SECRET],
        "minProperties": dict,
        "maxProperties": lambda: dict.fromkeys(many, 1),
        "oneOf": lambda: [SECRET],
    }[keyword]()


BROKEN = (f"{SECRET}\0 \n", f"{SECRET}-\n", " ")


def _details(schema: dict[str, Any], value: Any, where: str = "body") -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        Checker(schema, where).check(value)
    return [error.detail for error in caught.value.errors]


class TestEveryKeyword:
    @pytest.mark.parametrize(("schema", "keyword"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
    def test_each_keyword_of_the_document_has_plain_words(self, schema, keyword):
        if keyword == "uniqueItems" and not schema[keyword]:
            return  # it allows everything
        alone = {key: schema[key] for key in (keyword, "x-pattern-hint", "x-size-hint") if key in schema}
        if keyword == "oneOf":
            alone = DOCUMENT.data["components"]["schemas"]["FieldValue"]
        [detail] = _details(alone, _breaking(keyword, schema[keyword]))
        assert detail != _UNKNOWN
        assert not JARGON.search(detail.removeprefix("must be urn:")), detail
        assert SECRET not in detail
        assert len(detail) <= 1000

    def test_every_pattern_has_a_hint(self):
        without = [name for name, schema in SCHEMAS if "pattern" in schema and not schema.get("x-pattern-hint")]
        assert not without

    def test_a_hint_is_beside_a_pattern(self):
        assert not [name for name, schema in SCHEMAS if "x-pattern-hint" in schema and "pattern" not in schema]

    def test_the_names_of_fields_are_spoken_of_as_such(self):
        [detail] = _details(
            DOCUMENT.data["components"]["schemas"]["Fields"] | {"additionalProperties": True}, {"\n": 1}
        )
        assert detail == "has a name in it that must be one line without control characters"


class TestWords:
    @pytest.mark.parametrize(
        ("schema", "value", "detail"),
        [
            ({"type": "integer"}, "7", "must be a whole number"),
            ({"type": "integer", "nullable": True}, "7", "must be a whole number or null"),
            ({"type": "string"}, 7, "must be text"),
            ({"type": "boolean"}, 7, "must be true or false"),
            ({"type": "array"}, 7, "must be a list"),
            ({"type": "object"}, 7, "must be an object"),
            ({"type": "string", "enum": ["a", "b"]}, 7, "must be one of a, b"),
            ({"type": "string", "enum": ["a", "b"], "nullable": True}, "c", "must be one of a, b, null"),
            ({"type": "string", "enum": ["a"]}, "c", "must be a"),
            ({"format": "email"}, "c", "must be an e-mail address like ada@acme.example"),
            ({"format": "date-time"}, "c", "must be a time like 2026-01-02T03:04:05Z"),
            ({"minLength": 1}, "", "must not be empty"),
            ({"minLength": 10}, "", "must have at least 10 characters"),
            ({"minLength": 6, "maxLength": 6}, "", "must have exactly 6 characters"),
            ({"minLength": 6, "maxLength": 6}, "1234567", "must have exactly 6 characters"),
            ({"maxLength": 255}, "x" * 256, "must have at most 255 characters"),
            ({"maxLength": 1}, "xx", "must have at most 1 character"),
            ({"type": "integer", "minimum": 1}, 0, "must be 1 or more"),
            ({"type": "integer", "maximum": 200}, 201, "must be 200 or less"),
            ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 1, "must be more than 1"),
            ({"type": "integer", "maximum": 1, "exclusiveMaximum": True}, 1, "must be less than 1"),
            ({"minItems": 1}, [], "must have at least 1 item"),
            ({"maxItems": 2}, [1, 2, 3], "must have at most 2 items"),
            ({"uniqueItems": True}, [1, 1], "must not have the same item twice"),
            ({"minProperties": 1}, {}, "must have at least 1 field"),
            ({"maxProperties": 1}, {"a": 1, "b": 2}, "must have at most 1 field"),
            ({"pattern": "^a$", "x-pattern-hint": "an a"}, "b", "must be an a"),
            ({"pattern": "^a$"}, "b", _UNKNOWN),
            ({"not": {}}, "b", _UNKNOWN),
        ],
    )
    def test_a_fault_is_told_in_these_words(self, schema, value, detail):
        assert _details(schema, value) == [detail]

    @pytest.mark.parametrize(
        ("value", "detail"),
        [
            ([], "must be text, a number, true or false or null"),
            ("x" * 1001, "must have at most 1000 characters"),
            (2**53, "must be 9007199254740991 or less"),
        ],
    )
    def test_among_alternatives_the_one_that_was_meant_is_spoken_of(self, value, detail):
        assert _details(DOCUMENT.data["components"]["schemas"]["FieldValue"], value) == [detail]

    @pytest.mark.parametrize(
        ("operation", "faults"),
        [
            (7, {"": "must be an object"}),
            ({"id": 1}, {"/op": "must be one of update, delete"}),
            ({"op": "drop", "id": 0}, {"/op": "must be one of update, delete"}),
            ({"op": "update", "id": 1, "version": 1}, {"/patch": "is required"}),
            ({"op": "update", "id": 1, "version": 1, "patch": {"status": "new"}}, {"/patch/status": None}),
            ({"op": "delete", "id": 0, "patch": {}}, {"/id": None, "/version": "is required", "/patch": None}),
        ],
    )
    def test_of_alternatives_that_a_word_tells_apart_the_named_one_is_spoken_of(self, admin, operation, faults):
        errors = admin.post("/tickets/bulk", json={"operations": [operation]}).json()["errors"]
        told = {error["pointer"].removeprefix("/operations/0"): error["detail"] for error in errors}
        assert told.keys() == faults.keys()
        assert all(detail in (None, told[pointer]) for pointer, detail in faults.items())

    def test_a_time_in_a_query_comes_with_a_warning_of_the_plus(self):
        [detail] = _details({"type": "string", "format": "date-time"}, "yesterday", "query")
        assert detail == "must be a time like 2026-01-02T03:04:05Z (write + as %2B in a query)"

    def test_all_of_a_long_list_is_told(self):
        options = [f"option-{number}" for number in range(60)]
        [detail] = _details({"type": "string", "enum": options}, "x")
        assert detail == f"must be one of {', '.join(options)}"

    def test_a_list_instead_of_a_word_is_one_fault_however_long(self):
        assert _details({"type": "string", "enum": ["a", "b"]}, [0] * 500) == ["must be one of a, b"]

    @pytest.mark.parametrize("more", [{}, {"organization_name": "Globex", "organization_slug": "globex"}])
    def test_who_signs_up_names_one_organization(self, anonymous, more):
        body = {"email": "fay@globex.example", "password": "correct horse battery", "name": "Fay", **more}
        errors = anonymous.post("/auth/register", json=body).json()["errors"]
        assert errors == [
            {
                "pointer": "",
                "in": "body",
                "detail": "must have exactly one of organization_name and organization_slug",
            }
        ]

    def test_no_value_is_told_whatever_is_wrong(self, admin):
        body = {"email": SECRET, "name": [SECRET], "attributes": {"a": [SECRET]}, "external_id": SECRET + "\0"}
        answer = admin.post("/contacts", json=body)
        assert answer.status_code == 400
        assert SECRET not in answer.text


class TestWholeNumbers:
    def test_a_version_of_four_point_zero_is_the_whole_number(self, tenant, admin):
        ticket = tenant.ticket()
        for body in (b'{"version": 1.0, "priority": "high"}', b'{"version": 2e0, "custom_fields": {"n": 4.0}}'):
            answer = admin.patch(f"/tickets/{ticket['id']}", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 200, answer.text
        assert json.loads(answer.text, parse_float=str)["custom_fields"] == {"n": 4}

    def test_a_version_with_a_fraction_is_refused(self, tenant, admin):
        answer = admin.patch(f"/tickets/{tenant.ticket()['id']}", json={"version": 1.5})
        assert answer.json()["errors"] == [{"pointer": "/version", "in": "body", "detail": "must be a whole number"}]
