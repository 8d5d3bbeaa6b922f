"""Input against the contract: schemas compiled once, values read strictly, faults named one by one."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema_rs

from tickets import clock
from tickets.errors import InputError, InvalidRequest, UnsupportedMediaType

MAX_ERRORS = 100
MAX_PARTS = 250
MAX_CHARACTERS = 65_536
MAX_DEPTH = 64
MAX_DIGITS = 400
_JSON = re.compile(rb'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.IGNORECASE)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?", re.ASCII)


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


class Checker:
    """A schema, compiled.

    Args:
        schema: an OpenAPI 3.0 Schema Object without references.
        where: what it describes: ``body``, ``query``, ``path`` or ``header``.
    """

    def __init__(self, schema: dict[str, Any], where: str) -> None:
        # The mask keeps values out of messages: a value may be a secret.
        self._validator = jsonschema_rs.validator_for(
            json_schema(schema),
            validate_formats=True,
            formats={"date-time": clock.is_rfc3339},
            mask="the value",
        )
        self._where = where

    def check(self, value: Any) -> None:
        """Accept a value or tell everything that is wrong with it.

        Raises:
            InvalidRequest: with up to 100 faults.
        """
        if self._validator.is_valid(value):
            return
        faults = []
        for error in self._errors(value):
            faults.extend(_fault(error, self._where))
        raise invalid(faults[:MAX_ERRORS])

    def _errors(self, value: Any) -> Iterable[jsonschema_rs.ValidationError]:
        """Find all errors of a value, or of one that is larger than any valid one the first.

        Each error keeps a copy of what it is in: all of a 1 MB body would take gigabytes.
        """
        if _is_small(value):
            return islice(self._validator.iter_errors(value), MAX_ERRORS)
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [error]
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


def _fault(error: jsonschema_rs.ValidationError, where: str) -> list[InputError]:
    path = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in error.instance_path)
    kind_of: Any = error.kind
    kind = type(kind_of).__name__.rpartition("_")[2]
    if kind == "AdditionalProperties":
        names = kind_of.unexpected
        return [InputError(f"{path}/{_escaped(name)}", "is not known here; leave it out", where) for name in names]
    if kind == "Required":
        return [InputError(f"{path}/{_escaped(kind_of.property)}", "is required", where)]
    return [InputError(path, error.message[:300].removeprefix("the value "), where)]


def _escaped(name: str) -> str:
    """Write a name the caller made up as a part of a JSON pointer, of bounded length."""
    return name[:100].replace("~", "~0").replace("/", "~1")


def invalid(faults: list[InputError]) -> InvalidRequest:
    """Make the 400 that names each fault."""
    first = faults[0]
    name = first.pointer.removeprefix("/") or f"the {first.where}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return InvalidRequest(f"{name}: {first.detail}{more}", errors=faults)


def _one_fault(where: str, pointer: str, detail: str) -> InvalidRequest:
    return invalid([InputError(pointer, detail, where)])


# Bodies ---------------------------------------------------------------------------------------------------


def check_content_type(values: list[bytes]) -> None:
    """Accept ``application/json`` in UTF-8, in any letter case, once.

    Raises:
        UnsupportedMediaType: anything else.
    """
    if len(values) != 1 or _JSON.fullmatch(values[0].strip()) is None:
        raise UnsupportedMediaType("Send the body as JSON with one header `content-type: application/json`.")


def parse_json(body: bytes) -> Any:
    """Parse a body as strictly as RFC 8259 and I-JSON (RFC 7493) ask.

    Refused are other encodings than UTF-8, a byte order mark, NaN and Infinity, duplicate names, lone
    surrogates, NUL, numbers that no double can hold and nesting beyond 64 levels.

    Raises:
        InvalidRequest: with the reason.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _one_fault("body", "", "is not UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _one_fault("body", "", f"is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise _one_fault("body", "", f"is nested deeper than {MAX_DEPTH} levels") from None
    except _RefusedError as error:
        raise _one_fault("body", "", str(error)) from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if "\\u" in text:
        _check_text(value)
    return value


class _RefusedError(ValueError):
    """JSON that some parser may read and we do not."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _RefusedError(f"names {twice[:100].encode(errors='replace').decode()!r} twice")
    return made


def _constant(name: str) -> Any:
    raise _RefusedError(f"is not JSON: {name} is no number of JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _RefusedError(f"has a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits) if len(digits) <= MAX_DIGITS else float("inf")
    if number in (float("inf"), float("-inf")):
        raise _RefusedError("has a number that is too large or too long")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _one_fault("body", "", f"is nested deeper than {MAX_DEPTH} levels")


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise _one_fault("body", "", "contains the character NUL")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _one_fault("body", "", "contains half of a surrogate pair") from None
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_text(name)
            _check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner)


# Parameters -----------------------------------------------------------------------------------------------


class Parameters:
    """The parameters of an operation in one place (query, or headers), checked as one object.

    Args:
        parameters: resolved Parameter Objects, all with the same ``in``.
        where: ``query`` or ``header``.
    """

    def __init__(self, parameters: list[dict[str, Any]], where: str) -> None:
        self._where = where
        self._readers = {p["name"]: _reader(p["schema"]) for p in parameters}
        self._lists = frozenset(p["name"] for p in parameters if p["schema"].get("type") == "array")
        self.defaults = {p["name"]: p["schema"]["default"] for p in parameters if "default" in p["schema"]}
        self._checker = Checker(
            {
                "type": "object",
                "properties": {p["name"]: p["schema"] for p in parameters},
                "required": [p["name"] for p in parameters if p.get("required")],
                "additionalProperties": False,
            },
            where,
        )
        self._required = any(p.get("required") for p in parameters)

    def read(self, given: list[tuple[str, str]]) -> dict[str, Any]:
        """Convert and check what was given.

        Raises:
            InvalidRequest: a name is unknown or given twice, or a value does not fit.
        """
        values: dict[str, Any] = {}
        faults = []
        for name, text in given:
            reader = self._readers.get(name)
            if reader is None:
                faults.append(InputError(f"/{_escaped(name)}", "is no parameter of this operation", self._where))
            elif name in self._lists:
                values.setdefault(name, []).append(reader(text))
            elif name in values:
                faults.append(InputError(f"/{name}", "is given twice", self._where))
            else:
                values[name] = reader(text)
        if faults:
            raise invalid(faults[:MAX_ERRORS])
        if values or self._required:
            self._checker.check(values)
        return values


def _reader(schema: dict[str, Any]) -> Callable[[str], Any]:
    """Choose how text becomes a value; text that does not fit stays text, and the schema refuses it."""
    kind = schema.get("type")
    if kind == "array":
        return _reader(schema["items"])
    if kind == "integer":
        return lambda text: int(text) if _INTEGER.fullmatch(text) else text
    if kind == "number":
        return lambda text: float(text) if _NUMBER.fullmatch(text) else text
    if kind == "boolean":
        return lambda text: _BOOLEANS.get(text, text)
    return str


_BOOLEANS: Mapping[str, bool | str] = {"true": True, "false": False}


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """Split a query string into names and values.

    Raises:
        InvalidRequest: it is not UTF-8, or contains a control character.
    """
    pairs = []
    for part in query.split(b"&"):
        if not part:
            continue
        name, _, value = part.partition(b"=")
        pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    try:
        text = (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        raise _one_fault("query", "", "is not UTF-8 in percent-encoding") from None
    if not text.isprintable() and any(ord(character) < 32 or ord(character) == 127 for character in text):  # noqa: PLR2004 - ASCII's control characters
        raise _one_fault("query", "", "contains a control character")
    return text
