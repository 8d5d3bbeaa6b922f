"""Bodies: JSON read as strictly as RFC 8259 and I-JSON (RFC 7493) ask."""

import json
import math
import re
from collections import Counter
from decimal import Decimal
from typing import Any

from tickets.contract.faults import one_fault
from tickets.errors import UnsupportedMediaType
from tickets.http.exchange import Headers

MAX_DEPTH = 64
MAX_DIGITS = 400
MAX_NAME = 256
"""Most characters of a name in an object: the longest that the contract allows has 100."""
MIN_VALUES = 10_000
"""So many values are read of any body, to name what is wrong with it; only the bulk operation can take as many."""
_EXACT = 2**53
"""Below, a double is the number that was written."""
_LARGEST = 2**64
"""Beyond, nothing of ours is a whole number; 1e300 written out would take a thousand times its own length."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_JSON = re.compile(rb'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.IGNORECASE)


def check_media(headers: Headers) -> None:
    """Accept ``application/json`` in UTF-8, in any letter case, once, and as it is.

    Raises:
        UnsupportedMediaType: anything else.
    """
    if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in headers):
        raise UnsupportedMediaType("Send the body without a content-encoding; compressed bodies are not read.")
    values = [value for name, value in headers if name == b"content-type"]
    if len(values) != 1 or _JSON.fullmatch(values[0].strip()) is None:
        raise UnsupportedMediaType("Send the body as JSON with one header `content-type: application/json`.")


def most_values(schema: dict[str, Any]) -> float:
    """Return the number of values that the largest valid body has, each list and object among them.

    Args:
        schema: an OpenAPI 3.0 Schema Object without references; infinity for one that sets no bound.
    """
    choices = schema.get("oneOf")
    if choices:
        return max(map(most_values, choices))
    count = 1 + sum(map(most_values, schema.get("properties", {}).values()))
    if "items" in schema:
        count += schema.get("maxItems", math.inf) * most_values(schema["items"])
    if isinstance(others := schema.get("additionalProperties"), dict):
        count += schema.get("maxProperties", math.inf) * most_values(others)
    return count


def check_values(body: bytes, most: float) -> None:
    """Refuse a body that has more values than any valid one, before it is parsed: each costs a microsecond or two.

    Args:
        body: in any encoding, JSON or not.
        most: values that it may have.

    Raises:
        InvalidRequest: it has more.
    """
    if len(body) <= 2 * most or _values(body) <= most:
        return
    # Each value may have a name; to take out more texts than that would take as long as to parse them.
    texts = (body.count(b'"') - body.count(rb"\"")) // 2
    if texts <= 2 * most and _values(_TEXT.sub(b"", body)) <= most:
        return
    detail = f"has more than {most:,.0f} values, and no valid body of this operation has as many; send less at once"
    raise one_fault("body", "", detail)


def _values(body: bytes) -> int:
    """Return how many values a body has at most; what is between quotes counts too."""
    return body.count(b",") + body.count(b"[") + body.count(b"{") + 1


def parse_json(body: bytes) -> Any:
    """Parse a body as strictly as RFC 8259 and I-JSON (RFC 7493) ask.

    Refused are other encodings than UTF-8, a byte order mark, NaN and Infinity, names that come twice or are very
    long, lone surrogates, NUL, numbers that no double can hold and nesting beyond 64 levels.

    Raises:
        InvalidRequest: with the reason.
    """
    if body.startswith(_BYTE_ORDER_MARK):
        raise one_fault("body", "", "starts with a byte order mark; send the JSON without it")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise one_fault("body", "", "is not UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise one_fault("body", "", f"is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise one_fault("body", "", f"is nested deeper than {MAX_DEPTH} levels") from None
    except _RefusedError as error:
        raise one_fault("body", "", str(error)) from None
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
    if max(map(len, made), default=0) > MAX_NAME:
        raise _RefusedError(f"has a name of more than {MAX_NAME} characters; no field has one so long, leave it out")
    return made


def _constant(name: str) -> Any:
    raise _RefusedError(f"is not JSON: {name} is no number of JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _RefusedError(f"has a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> int | float:
    """Read ``4.5``, or ``4.0`` and ``4e0`` as the whole number they are: JSON knows one kind of number."""
    number = float(digits) if len(digits) <= MAX_DIGITS else float("inf")
    if number in (float("inf"), float("-inf")):
        raise _RefusedError("has a number that is too large or too long")
    if not number.is_integer() or abs(number) > _LARGEST:
        return number
    # A double holds not every large id; the digits say which one is meant.
    return int(number) if abs(number) < _EXACT else round(Decimal(digits))


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number
)


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
    raise one_fault("body", "", f"is nested deeper than {MAX_DEPTH} levels")


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise one_fault("body", "", "contains the character NUL")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise one_fault("body", "", "contains half of a surrogate pair") from None
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_text(name)
            _check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner)
