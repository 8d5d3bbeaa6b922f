"""Bodies: which bytes are JSON for us, and what becomes of them."""

from pathlib import Path
from typing import Any

import pytest

from tickets.app import create_app
from tickets.contract import operation
from tickets.contract.bodies import MAX_DEPTH, MAX_NAME, check_media, check_values, most_values, parse_json
from tickets.contract.validation import Checker
from tickets.errors import InvalidRequest, UnsupportedMediaType
from tickets.settings import Settings


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
        check_media([(b"content-type", value.encode())])

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
            check_media([(b"content-type", value.encode()) for value in values])

    def test_a_compressed_body_is_a_415_that_says_so(self):
        with pytest.raises(UnsupportedMediaType, match="content-encoding"):
            check_media([(b"content-type", b"application/json"), (b"content-encoding", b"gzip")])

    def test_the_encoding_that_changes_nothing_is_accepted(self):
        check_media([(b"content-encoding", b"Identity"), (b"content-type", b"application/json")])


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
        ("body", "value"),
        [
            (b"4.0", 4),
            (b"4e0", 4),
            (b"9007199254740993.0", 9007199254740993),
            (b"1e18", 10**18),
            (b"-1e18", -(10**18)),
            # Written out it would be 301 digits, for five characters of a body: it stays what it is.
            (b"1e300", 1e300),
            (b"-1e300", -1e300),
        ],
    )
    def test_a_whole_number_is_one_however_it_is_written_unless_nothing_could_hold_it(self, body, value):
        read = parse_json(body)
        assert (read, type(read)) == (value, type(value))

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
            (b'{"' + b"n" * 257 + b'": 1}', "a name of more than 256 characters"),
            (b'[{"a": {"' + b"n" * 100_000 + b'": 1}}]', "a name of more than 256 characters"),
            (b'{"\\ud800": 1, "\\ud800": 2}', "names '?' twice"),
            ('"ä"'.encode("latin-1"), "is not UTF-8"),
            ('"ä"'.encode("utf-16"), "is not UTF-8"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
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

    @pytest.mark.parametrize(
        ("body", "whole"),
        [
            (b"4.0", 4),
            (b"1e3", 1000),
            (b"-2.50e1", -25),
            (b"-0.0", 0),
            (b"9007199254740993.0", 2**53 + 1),
            (b"1e-400", 0),
            (b"4.00000000000000000001", 4),
        ],
    )
    def test_a_whole_number_is_one_however_it_is_written(self, body, whole):
        value = parse_json(body)
        assert (type(value), value) == (int, whole)

    def test_a_name_of_the_greatest_length_is_fine(self):
        assert parse_json(b'{"%b": 1}' % (b"n" * MAX_NAME)) == {"n" * MAX_NAME: 1}

    def test_sixty_four_levels_are_fine(self):
        parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)

    def test_many_brackets_side_by_side_are_fine(self):
        assert len(parse_json(b"[" + b"[]," * 100 + b"[]]")) == 101

    def test_brackets_within_text_are_no_nesting(self):
        assert parse_json(b'"' + b"[" * 100 + b'"') == "[" * 100


class TestCheckValues:
    """What no operation could take is refused before it is parsed, which would take long."""

    @pytest.mark.parametrize(
        "body",
        [
            b"[" + b"1," * 1_000 + b"1]",
            b"[" + b'"",' * 1_000 + b'""]',
            b"[" + b'"\\"",' * 1_000 + b'""]',
            b"[" * 2_000,
            b'{"a":' * 1_000,
            b'["' + b'x",' * 1_000,
        ],
        ids=["numbers", "texts", "escapes", "lists", "objects", "no JSON"],
    )
    def test_more_values_than_there_can_be_are_refused(self, body):
        with pytest.raises(InvalidRequest, match="has more than 500 values"):
            check_values(body, 500)

    @pytest.mark.parametrize(
        "body",
        [
            b'["' + b"," * 2_000 + b'"]',
            b'["' + b'\\",[' * 2_000 + b'"]',
            b'["\\\\", "' + b"{" * 2_000 + b'"]',
            b"[" + b"1," * 498 + b"1]",
            b"1" * 2_000,
        ],
        ids=["commas in text", "escaped quotes", "an escaped backslash", "as many as there can be", "one"],
    )
    def test_what_stands_in_texts_is_no_value(self, body):
        check_values(body + b" " * 1_000, 500)

    def test_every_body_of_the_contract_has_a_bound(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        bounds = [most_values(schema) for schema in bodies_compiled(monkeypatch, tmp_path)]
        assert bounds
        assert max(bounds) < 60_000

    @pytest.mark.parametrize(
        ("schema", "most"),
        [
            ({"type": "string"}, 1),
            ({"type": "object", "properties": {"a": {}, "b": {}}}, 3),
            ({"type": "array", "items": {}, "maxItems": 4}, 5),
            ({"type": "array", "items": {}}, float("inf")),
            ({"type": "object", "additionalProperties": {}, "maxProperties": 2}, 3),
            ({"type": "object", "additionalProperties": {}}, float("inf")),
            ({"oneOf": [{}, {"type": "array", "items": {}, "maxItems": 4}]}, 5),
        ],
    )
    def test_the_bound_follows_from_the_schema(self, schema, most):
        assert most_values(schema) == most


def bodies_compiled(monkeypatch: pytest.MonkeyPatch, var_dir: Path) -> list[dict[str, Any]]:
    """Start the application and return the schema of each body it compiled."""
    compiled: list[dict[str, Any]] = []

    class Noted(Checker):
        def __init__(self, schema: dict[str, Any], where: str, *more: Any) -> None:
            super().__init__(schema, where, *more)
            if where == "body":
                compiled.append(schema)

    monkeypatch.setattr(operation, "Checker", Noted)
    create_app(Settings(var_dir=var_dir))
    return compiled


def test_what_is_compiled_of_a_body_is_its_own_schema_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    compiled = bodies_compiled(monkeypatch, tmp_path)
    assert compiled
    assert not [schema for schema in compiled if "components" in schema]
