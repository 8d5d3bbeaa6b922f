"""What an answer repeats of a request stays what it is: a query forges no link, a header no other."""

import re
from urllib.parse import unquote_to_bytes

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rawhttp import Connection, request

from factories import Tenant
from service import ThreadService
from tickets.http.pagination import link_header

_VALUE = re.compile(
    r'\s*<([^>]*)>((?:\s*;\s*[!#$&+.^_`|~0-9A-Za-z-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;<>]+))*)\s*(?:,|$)'
)
_PARAMETER = re.compile(r';\s*([^\s=]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;<>]+))')
_QUERY = re.compile(r"/api/v1/tickets\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
"""A reference with a query (RFC 3986, 3.4)."""


def links_of(header: str) -> list[tuple[str, dict[str, str]]]:
    """Take a Link header apart as a client does (RFC 8288, appendix B.2)."""
    found, at = [], 0
    while at < len(header):
        match = _VALUE.match(header, at)
        assert match, header[at:]
        parameters = {name.lower(): quoted or token for name, quoted, token in _PARAMETER.findall(match[2])}
        found.append((match[1], parameters))
        at = match.end()
    return found


FORGED = b'x="><https://evil.example/?cursor=1>; rel="next", <'
PIECES = st.sampled_from(
    [b'"', b"<", b">", b";", b",", b" ", b"\\", b"^", b"`", b"{", b"|", b"}", b"%", b"&", b"=", b"\xff"]
)


@given(
    st.lists(PIECES | st.binary(max_size=5), max_size=30).map(b"".join).filter(lambda query: b"per_page" not in query)
)
@example(FORGED)
@example(b"a=%zz&b=%4&c=%&d=%41%e2%82%ac")
@example(b"cursor=A&%63ursor=B&page=1&offset=2")
@example("search=Müller ✓".encode())
def test_whatever_the_query_the_links_are_ours(query: bytes):
    header = link_header("/api/v1/tickets", query, {"next_cursor": "NEXT-_", "prev_cursor": "PREV"})
    assert header is not None
    assert header.isascii()
    assert header.isprintable()
    links = links_of(header)
    assert [parameters for _, parameters in links] == [{"rel": "next"}, {"rel": "prev"}]
    for (target, _), cursor in zip(links, ("NEXT-_", "PREV"), strict=True):
        assert _QUERY.fullmatch(target)
        rest, _, last = target.partition("?")[2].rpartition("cursor=")
        assert last == cursor
        kept = [part for part in query.split(b"&") if part]
        places = (b"cursor", b"page", b"offset")
        kept = [part for part in kept if unquote_to_bytes(part.partition(b"=")[0]) not in places]
        assert [unquote_to_bytes(part) for part in rest.rstrip("&").split("&") if part] == list(
            map(unquote_to_bytes, kept)
        )


def test_a_search_with_quotes_and_brackets_can_be_followed(tenant: Tenant, service: ThreadService):
    for number in range(3):
        tenant.ticket(subject=f"Printer {number}")
    admin = tenant.client("admin")
    asked = request("GET", '/api/v1/tickets?limit=1&search="Printer"&sort=-created_at', f"x-api-key: {admin.key}")
    with Connection(service.port) as connection:
        connection.send(asked)
        answer = connection.answer()
    assert answer.status == 200
    ((target, parameters),) = links_of(answer.headers["link"])
    assert parameters == {"rel": "next"}
    page = httpx.get(f"{service.origin}{target}", headers={"x-api-key": admin.key or ""})
    assert (page.status_code, len(page.json()["data"])) == (200, 1)
    assert page.json()["data"] != answer.json()["data"]


@pytest.mark.parametrize("target", ['/nowhere?"><b>', "/%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/docs/%3Cb%3E.js"])
def test_what_a_problem_repeats_is_text_in_json(service: ThreadService, target: str):
    with Connection(service.port) as connection:
        connection.send(request("GET", target, 'x-request-id: "<b>', 'origin: "><b>'))
        answer = connection.answer()
    assert answer.problem()["instance"] == unquote_to_bytes(target.partition("?")[0]).decode()
    assert not any("<" in value for value in answer.headers.values())
