"""Values against the contract: what is refused, and where it points."""

import json
from typing import Any, ClassVar

import pytest

from tickets.contract.faults import MAX_ERRORS
from tickets.contract.validation import Checker, is_address, json_schema
from tickets.errors import InvalidRequest


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

    def test_what_answers_show_of_the_entity_is_called_read_only(self):
        with pytest.raises(InvalidRequest) as caught:
            Checker(self.SCHEMA, "body", frozenset({"id", "name"})).check({"name": "x", "id": 1, "b": 1})
        assert {error.pointer: error.detail for error in caught.value.errors} == {
            "/b": "is not known here; leave it out",
            "/id": "is read-only here; leave it out",
        }

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


class TestIsAddress:
    @pytest.mark.parametrize(
        "text",
        ["ada@acme.example", "a.b+c_d@x-y.z9.example", "O'Neil@ACME.Example", "a@b.co", "x" * 64 + "@acme.example"],
    )
    def test_a_bare_address_is_one(self, text):
        assert is_address(text)

    @pytest.mark.parametrize(
        "text",
        [
            *("Ada <ada@acme.example>", "<ada@acme.example>", "ada@acme.example ", "ada@acme.example\n"),
            *("a b@acme.example", '"a b"@acme.example', "ada@[127.0.0.1]", "ada@localhost", "ada@", "@acme.example"),
            *("ada", "a@b@c.example", ".a@acme.example", "a..b@acme.example", "a.@acme.example", "a@-acme.example"),
            *("a@acme..example", "a@acme.example.", "x" * 65 + "@acme.example", "\u00e4@acme.example", "a,b@c.example"),
        ],
    )
    def test_anything_else_is_none(self, text):
        assert not is_address(text)
