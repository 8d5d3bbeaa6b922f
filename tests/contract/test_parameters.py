"""Parameters: which text in a query is which value."""

from typing import Any

import pytest

from tickets.contract.faults import MAX_ERRORS
from tickets.contract.parameters import Parameters, parse_query
from tickets.errors import InputError, InvalidRequest

ARABIC_FIVE = "\u0665"


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

    def test_who_changes_the_values_of_a_query_changes_them_for_nobody_else(self):
        query = b"status=open&status=closed&limit=5"
        for _ in range(2):
            values = self.PARAMETERS.arguments(query)
            assert values == {"status": ["open", "closed"], "limit": 5}
            values["status"].append("changed")
            values["team"] = [1]

    def test_who_changes_a_default_changes_it_for_nobody_else(self):
        schema = {"type": "array", "items": {"type": "string"}, "default": ["open"]}
        parameters = Parameters([{"name": "status", "schema": schema}], "query")
        for _ in range(2):
            values = parameters.arguments(b"")
            assert values == {"status": ["open"]}
            values["status"].clear()
        assert schema["default"] == ["open"]

    def test_what_is_left_out_has_its_default(self):
        assert self.PARAMETERS.arguments(b"team=1") == {"limit": 50, "team": [1]}

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

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            *((query, "/email") for query in (b"email=%ff", b"email=\xff", b"email=%00", b"email=a%0Ab")),
            (b"limit=5&a%2Fb=%0A", "/a~1b"),
            *((query, "") for query in (b"%c3=1", b"a\x7f=1")),
        ],
    )
    def test_bad_encoding_and_control_characters_are_refused_and_named(self, query, pointer):
        with pytest.raises(InvalidRequest) as caught:
            parse_query(query)
        assert [(error.pointer, error.where) for error in caught.value.errors] == [(pointer, "query")]

    def test_who_joins_values_with_a_comma_is_told_to_repeat_the_parameter(self):
        for query, hinted in (("status=open,closed", True), ("status=new", False), ("email=abc,def", False)):
            with pytest.raises(InvalidRequest) as caught:
                self._read(query)
            [error] = caught.value.errors
            assert error.detail.endswith("; for several values repeat it: status=…&status=…") == hinted
            assert error.detail in caught.value.detail

    def test_what_is_joined_with_commas_by_itself_has_no_such_hint(self):
        schema = {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}
        with pytest.raises(InvalidRequest) as caught:
            Parameters([{"name": "expand", "explode": False, "schema": schema}], "query").read([("expand", "a,c")])
        assert caught.value.errors == [InputError("/expand/1", "must be one of a, b", "query")]

    def test_each_unknown_name_is_told(self):
        known = "active, email, limit, share, status, team"
        with pytest.raises(InvalidRequest) as caught:
            self._read("a=1&b=2")
        assert caught.value.errors == [
            InputError("/a", f"is no parameter of this operation; it takes {known}", "query"),
            InputError("/b", f"is no parameter of this operation; it takes {known}", "query"),
        ]

    def test_there_is_an_end_to_the_faults(self):
        with pytest.raises(InvalidRequest) as caught:
            self._read("&".join(f"x{n}=1" for n in range(500)))
        assert len(caught.value.errors) == MAX_ERRORS

    def test_what_is_required_is_missed(self):
        with pytest.raises(InvalidRequest, match="q: is required"):
            Parameters([{"name": "q", "required": True, "schema": {"type": "string"}}], "query").read([])
