"""Values against the contract: schemas compiled once, faults named one by one."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

import jsonschema_rs

from tickets import clock
from tickets.contract.faults import MAX_ERRORS, faults_of, invalid

MAX_PARTS = 250
MAX_CHARACTERS = 65_536
MAX_ADDRESS = 1_000
"""Longest text that is checked as an address: no address is longer, and checking a longer text takes time."""
MAX_LOCAL_PART = 64
"""Characters before the @ (RFC 5321, 4.5.3.1.1)."""

_CAUSES = {
    "maxProperties": ["additionalProperties"],  # a field that is not known is also one too many
    "pattern": ["minLength"],  # an empty text also lacks what it should look like
    "format": ["minLength"],
}
"""What is no second fault of a value that has the first."""


def json_schema(schema: Any) -> Any:
    """Translate an OpenAPI 3.0 schema into JSON Schema 2020-12 (nullable, exclusive bounds)."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: json_schema(item) for name, item in value.items()}
        elif key in ("enum", "required", "default", "example"):
            made[key] = value
        else:  # x-property-names: OpenAPI 3.0 lacks the keyword, not the need
            made["propertyNames" if key == "x-property-names" else key] = json_schema(value)
    return _bounded(_nullable(made))


def _nullable(made: dict[str, Any]) -> dict[str, Any]:
    if made.pop("nullable", False):
        if "type" in made:
            made["type"] = [made["type"], "null"]
        if "enum" in made and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
    return made


def _bounded(made: dict[str, Any]) -> dict[str, Any]:
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if made.get(exclusive) is True:
            made[exclusive] = made.pop(bound)
    return made


_ADDRESS = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    re.ASCII | re.IGNORECASE,
)


def is_address(text: str) -> bool:
    """Tell whether a text is a bare e-mail address that mail can be sent to (RFC 5321's Dot-string at a domain).

    The validator's own check takes ``Ada <ada@acme.example>`` as well, and quoted names and numeric hosts.
    """
    return (
        len(text) <= MAX_ADDRESS
        and len(text.partition("@")[0]) <= MAX_LOCAL_PART
        and _ADDRESS.fullmatch(text) is not None
    )


class Checker:
    """A schema, compiled.

    Args:
        schema: an OpenAPI 3.0 Schema Object without references.
        where: what it describes: ``body``, ``query``, ``path`` or ``header``.
        shown: what answers show of the entity that it describes.
    """

    def __init__(self, schema: dict[str, Any], where: str, shown: frozenset[str] = frozenset()) -> None:
        self._schema = json_schema(schema)
        # The mask keeps values out of the validator's own words, wherever those may be logged.
        self._validator = jsonschema_rs.validator_for(
            self._schema,
            validate_formats=True,
            formats={"date-time": clock.is_rfc3339, "email": is_address},
            mask="the value",
        )
        self._where = where
        self._shown = shown

    def check(self, value: Any) -> None:
        """Accept a value or tell everything that is wrong with it.

        Raises:
            InvalidRequest: with up to 100 faults.
        """
        if self._validator.is_valid(value):
            return
        errors = list(self._errors(value))
        found = [(error.kind.name, error.instance_path) for error in errors]
        faults = []
        for error in errors:
            if not any((cause, error.instance_path) in found for cause in _CAUSES.get(error.kind.name, ())):
                faults.extend(faults_of(error, self._schema, self._where, self._shown))
        raise invalid(list(dict.fromkeys(faults))[:MAX_ERRORS])

    def _errors(self, value: Any) -> Iterable[jsonschema_rs.ValidationError]:
        """Find all errors of a value, or of one that is larger than any valid one the first.

        Each error keeps a copy of what it is in: all of a 1 MB body would take gigabytes.
        """
        if _is_small(value):
            return islice(self._validator.iter_errors(value), MAX_ERRORS)
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [error.with_traceback(None)]  # its frames hold the list that holds it
        return []


def _is_small(value: Any) -> bool:
    """Tell whether a value has few parts and little text, names included."""
    waiting, characters = [value], 0
    for seen in range(MAX_PARTS):
        if not waiting or characters > MAX_CHARACTERS:
            return not waiting and characters <= MAX_CHARACTERS
        part = waiting.pop()
        if isinstance(part, str):
            characters += len(part)
        elif isinstance(part, dict | list):
            if seen + len(waiting) + len(part) > MAX_PARTS:
                return False
            waiting.extend(part)
            if isinstance(part, dict):
                waiting.extend(part.values())
    return False
