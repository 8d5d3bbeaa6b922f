"""Cursors: opaque, signed, good for one list of one tenant with one filter and sort."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec

from tickets.domain.access import Principal
from tickets.domain.slices import Position
from tickets.errors import InputError, InvalidRequest

MOST_ROWS = 200
_TAG = 16
_IN_QUERY = "!$&'()*+,;=:@/?%"
"""What a query may have as it is beside letters, digits and ``-._~`` (RFC 3986, 3.4)."""
_BARE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PLACE = frozenset({b"cursor", b"page", b"offset"})


class Cursors:
    """Writes and reads cursors.

    Args:
        secrets: of the service; the first signs, all are accepted.
    """

    def __init__(self, secrets: list[bytes]) -> None:
        self._keys = [hashlib.sha256(b"cursor:" + secret).digest() for secret in secrets]

    def write(self, position: Position | None, binding: bytes) -> str | None:
        """Make the cursor of a position; None stays None, at either end of a list."""
        if position is None:
            return None
        payload = msgspec.msgpack.encode(position)
        return base64.urlsafe_b64encode(_tag(self._keys[0], payload, binding) + payload).rstrip(b"=").decode()

    def read(self, cursor: str, binding: bytes) -> Position:
        """Read a cursor back.

        Raises:
            InvalidRequest: it was not made by this service for this very list.
        """
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        tag, payload = raw[:_TAG], raw[_TAG:]
        if not any(hmac.compare_digest(tag, _tag(key, payload, binding)) for key in self._keys):
            raise InvalidRequest(
                "The cursor is not of this list. Take it unchanged from the last page; keep filters and sort.",
                errors=[InputError("/cursor", "does not belong to this list, filter and sort", "query")],
            )
        return msgspec.msgpack.decode(payload, type=Position)


def _tag(key: bytes, payload: bytes, binding: bytes) -> bytes:
    return hmac.digest(key, binding + payload, "sha256")[:_TAG]


def binding(list_name: str, caller: Principal, where: Mapping[str, Sequence[Any]], sort: str) -> bytes:
    """Condense what a cursor is good for into 32 bytes."""
    who = caller.user_id if not caller.is_staff else None
    # Of several values any fits: in whichever order they come, the list is the same.
    where = {name: sorted(values, key=msgspec.json.encode) for name, values in where.items()}
    parts = msgspec.json.encode([list_name, caller.organization_id, who, where, sort], order="deterministic")
    return hashlib.sha256(parts).digest()


def link_header(path: str, query: bytes, body: Mapping[str, Any]) -> str | None:
    """Repeat a page's cursors as a Link header (RFC 8288).

    Args:
        path: the list's path.
        query: its raw query string.
        body: the page.
    """
    rest = _without_place(query)
    links = [
        f'<{path}?{rest + "&" if rest else ""}cursor={body[f"{relation}_cursor"]}>; rel="{relation}"'
        for relation in ("next", "prev")
        if body[f"{relation}_cursor"]
    ]
    return ", ".join(links) or None


def _without_place(query: bytes) -> str:
    """Take out of a query where its page lies, however that is written (``%63ursor`` is ``cursor``).

    A cursor goes with `limit`; what `per_page` says counts more than a `limit` beside it.
    """
    parts = [(unquote_to_bytes(part.partition(b"=")[0]), part) for part in query.split(b"&") if part]
    aside = _PLACE | {b"limit"} if any(name == b"per_page" for name, _ in parts) else _PLACE
    kept = []
    for name, part in parts:
        if name == b"per_page":
            kept.append(b"limit=%d" % min(int(unquote_to_bytes(part.partition(b"=")[2])), MOST_ROWS))
        elif name not in aside:
            kept.append(part)
    # As it came, a quote or an angle bracket could end our link and begin another.
    return quote(_BARE_PERCENT.sub(b"%25", b"&".join(kept)), safe=_IN_QUERY)
