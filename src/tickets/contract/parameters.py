"""Parameters in the query and in headers: text that becomes the values the contract names."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from tickets.clock import parse_rfc3339
from tickets.contract.faults import MAX_ERRORS, escaped, invalid, one_fault
from tickets.contract.validation import Checker
from tickets.errors import InputError, InvalidRequest

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?", re.ASCII)
MAX_CACHED_QUERY = 256
"""Bytes of a query up to which its values are kept for the next request that has it."""


class Parameters:
    """The parameters of an operation in one place (query, or headers), checked as one object.

    Args:
        parameters: resolved Parameter Objects, all with the same ``in``.
        where: ``query`` or ``header``.

    Attributes:
        names: of all of them.
    """

    def __init__(self, parameters: list[dict[str, Any]], where: str) -> None:
        self._where = where
        self._readers = {p["name"]: _reader(p["schema"]) for p in parameters}
        self.names = tuple(self._readers)
        self._lists = frozenset(p["name"] for p in parameters if p["schema"].get("type") == "array")
        self._joined = frozenset(p["name"] for p in parameters if not p.get("explode", True))
        self._defaults = {p["name"]: p["schema"]["default"] for p in parameters if "default" in p["schema"]}
        self._checker = Checker(
            {
                "type": "object",
                "properties": {p["name"]: p["schema"] for p in parameters},
                "required": [p["name"] for p in parameters if p.get("required")],
                "additionalProperties": False,
            },
            where,
        )
        takes = f"; it takes {', '.join(sorted(self._readers))}" if self._readers else ", which takes none"
        self._times = [p["name"] for p in parameters if p["schema"].get("format") == "date-time"]
        self._unknown = f"is no parameter of this operation{takes}"
        self._are_required = any(p.get("required") for p in parameters)
        self._arguments = lru_cache(maxsize=256)(self._read_query)

    def read(self, given: list[tuple[str, str]]) -> dict[str, Any]:
        """Convert and check what was given; times become milliseconds since the epoch.

        Raises:
            InvalidRequest: a name is unknown or given twice, or a value does not fit.
        """
        values: dict[str, Any] = {}
        faults = []
        for name, text in given:
            reader = self._readers.get(name)
            if reader is None:
                faults.append(InputError(f"/{escaped(name)}", self._unknown, self._where))
            elif name in self._lists:
                parts = text.split(",") if name in self._joined else [text]
                values.setdefault(name, []).extend(map(reader, parts))
            elif name in values:
                faults.append(InputError(f"/{name}", "is given twice", self._where))
            else:
                values[name] = reader(text)
        if faults:
            raise invalid(faults[:MAX_ERRORS])
        if values or self._are_required:
            try:
                self._checker.check(values)
            except InvalidRequest as found:
                raise invalid([self._hinted(fault, values) for fault in found.errors]) from None
        for name in self._times:
            if name in values:
                values[name] = parse_rfc3339(values[name])
        return values

    def arguments(self, query: bytes) -> dict[str, Any]:
        """Read a query string, and return its values with the defaults of what it leaves out.

        What was read is kept for the next request with the same query; who gets the values may change them all the
        same, lists too.

        Raises:
            InvalidRequest: see `read` and `parse_query`.
        """
        read = self._arguments if len(query) <= MAX_CACHED_QUERY else self._read_query
        values = dict(read(query))
        for name in self._lists:
            if name in values:
                values[name] = [*values[name]]
        return values

    def _read_query(self, query: bytes) -> Mapping[str, Any]:
        return self._defaults | self.read(parse_query(query))

    def _hinted(self, fault: InputError, values: Mapping[str, Any]) -> InputError:
        """Tell who wrote several values with commas between how they are written here."""
        _, name, *place = fault.pointer.split("/")
        if not place or name not in self._lists - self._joined or "," not in str(values[name][int(place[0])]):
            return fault
        return fault._replace(detail=f"{fault.detail}; for several values repeat it: {name}=…&{name}=…")


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
        known = _decoded(name, "")
        pairs.append((known, _decoded(value, f"/{escaped(known)}")))
    return pairs


def _decoded(raw: bytes, pointer: str) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    try:
        text = (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        raise one_fault("query", pointer, "is not UTF-8 in percent-encoding") from None
    if not text.isprintable() and any(ord(character) < 32 or ord(character) == 127 for character in text):  # noqa: PLR2004 - ASCII's control characters
        raise one_fault("query", pointer, "contains a control character")
    return text
