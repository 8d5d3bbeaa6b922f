"""What no client library would send: each request byte for byte, each answer a problem, nothing stored."""

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from rawhttp import Connection, chunked, request

from factories import Tenant
from service import ThreadService

KEY = "x-api-key: {KEY}"
JSON = "content-type: application/json"
CHUNKED = "transfer-encoding: chunked"
KEYS, CONTACTS = "/api/v1/api-keys", "/api/v1/contacts"
TICKET = b'{"subject": "Printer", "description": "It is on fire."}'
MEGABYTE = 1 << 20

Stored = Callable[[], dict[str, int]]


class Probe(NamedTuple):
    """Bytes, and the answer they deserve."""

    name: str
    data: bytes
    status: int
    code: str
    closes: bool = False


def get(target: str | bytes, *headers: str | bytes, method: str = "GET") -> bytes:
    return request(method, target, KEY, *headers)


def post(body: bytes, *headers: str | bytes, target: str = "/api/v1/tickets", length: bool = True) -> bytes:
    return request("POST", target, KEY, *(headers or (JSON,)), body=body, length=length)


def ticket(**fields: object) -> bytes:
    return post(json.dumps({"subject": "Printer", "description": "", **fields}).encode())


def raw_ticket(subject: bytes) -> bytes:
    return post(b'{"subject": %b, "description": ""}' % subject)


def custom(value: bytes) -> bytes:
    return post(b'{"subject": "s", "description": "", "custom_fields": {"n": %b}}' % value)


BAD = (400, "invalid_request")
MISSING = (404, "not_found")
MEDIA = (415, "unsupported_media_type")
LARGE = (413, "payload_too_large")

BODIES = [
    Probe("no body", post(b"", JSON), *BAD),
    Probe("no body, with its length", post(b"", JSON, "content-length: 0"), *BAD),
    Probe("white space only", post(b" \r\n\t "), *BAD),
    Probe("broken JSON", post(b'{"subject": "s", "description": '), *BAD),
    Probe("two JSON documents", post(TICKET + TICKET), *BAD),
    Probe("trailing comma", post(b'{"subject": "s", "description": "",}'), *BAD),
    Probe("single quotes", post(b"{'subject': 's', 'description': ''}"), *BAD),
    Probe("a comment", post(b"/* hi */ " + TICKET), *BAD),
    Probe("an array", post(b"[" + TICKET + b"]"), *BAD),
    Probe("a text", post(b'"subject"'), *BAD),
    Probe("null", post(b"null"), *BAD),
    Probe("a number", post(b"5"), *BAD),
    Probe("wrong type of a field", ticket(subject=5), *BAD),
    Probe("an object for a text", ticket(subject={"$ne": ""}), *BAD),
    Probe("null for a text", ticket(subject=None), *BAD),
    Probe("a missing field", post(b'{"subject": "s"}'), *BAD),
    Probe("an unknown field", ticket(colour="red"), *BAD),
    Probe("a read-only field", ticket(id=5), *BAD),
    Probe("another tenant", ticket(organization_id=1), *BAD),
    Probe("the fields of a prototype", post(b'{"subject": "s", "description": "", "__proto__": {"a": 1}}'), *BAD),
    Probe("a value outside the enum", ticket(priority="URGENT"), *BAD),
    Probe("a true for a number", ticket(contact_id=True), *BAD),
    Probe("a text for a number", ticket(contact_id="1"), *BAD),
    Probe("a fraction for an id", ticket(contact_id=1.5), *BAD),
    Probe("an id of zero", ticket(contact_id=0), *BAD),
    Probe("an id below zero", ticket(contact_id=-1), *BAD),
    Probe("an id beyond 64 bits", ticket(contact_id=2**63), *BAD),
    Probe("an id far beyond 64 bits", ticket(contact_id=10**40), *BAD),
    Probe("the largest id", ticket(contact_id=2**63 - 1), *MISSING),
    Probe("the largest id as a fraction", post(b'{"subject":"s","description":"","contact_id":9.3e18}'), *BAD),
    Probe("an integer of 5,000 digits", custom(b"9" * 5_000), *BAD),
    Probe("an integer of 5,000 digits for an id", post(b'{"contact_id": %b}' % (b"9" * 5_000)), *BAD),
    Probe("an integer of 900,000 digits", custom(b"9" * 900_000), *BAD),
    Probe("a fraction of 5,000 digits", custom(b"0." + b"9" * 5_000), *BAD),
    Probe("an exponent that no double has", custom(b"1e400"), *BAD),
    Probe("an exponent of 5,000 digits", custom(b"1e" + b"9" * 5_000), *BAD),
    Probe("a number no reader keeps exact", custom(b"1e300"), *BAD),
    Probe("NaN", custom(b"NaN"), *BAD),
    Probe("Infinity", custom(b"Infinity"), *BAD),
    Probe("-Infinity", custom(b"-Infinity"), *BAD),
    Probe("a leading zero", custom(b"007"), *BAD),
    Probe("a leading plus", custom(b"+5"), *BAD),
    Probe("Arabic digits", custom("\u0665".encode()), *BAD),
    Probe("hexadecimal", custom(b"0x10"), *BAD),
    Probe("a number with a gap", custom(b"1_0"), *BAD),
    Probe("nested 100,000 deep", post(b"[" * 100_000 + b"]" * 100_000), *BAD),
    Probe("nested 100,000 deep and broken", post(b"[" * 100_000), *BAD),
    Probe("objects 100,000 deep", post(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), *BAD),
    Probe("nested 1,000 deep in a field", custom(b"[" * 1_000 + b"]" * 1_000), *BAD),
    Probe("nested 65 deep", post(b"[" * 65 + b"]" * 65), *BAD),
    Probe("a name twice", post(b'{"subject": "a", "description": "", "subject": "b"}'), *BAD),
    Probe("a name twice, once escaped", post(rb'{"subject": "a", "description": "", "\u0073ubject": "b"}'), *BAD),
    Probe("a name twice, deep", custom(b'{"a": 1, "a": 1}'), *BAD),
    Probe(
        "a name twice after 60,000 others",
        post(b"{" + b"".join(b'"n%d":0,' % n for n in range(60_000)) + b'"z":0,"z":0}'),
        *BAD,
    ),
    Probe("60,000 unknown names", post(b"{" + b"".join(b'"n%d":0,' % n for n in range(60_000)) + b'"z":0}'), *BAD),
    Probe("400,000 tags", ticket(tags=["a"] * 200_000), *BAD),
    Probe("90,000 tags of their own", ticket(tags=[f"t{n}" for n in range(90_000)]), *BAD),
    Probe("90,000 wrong elements", ticket(tags=list(range(90_000))), *BAD),
    Probe("a high surrogate alone", raw_ticket(rb'"a\ud800"'), *BAD),
    Probe("a low surrogate alone", raw_ticket(rb'"\udc00a"'), *BAD),
    Probe("surrogates in the wrong order", raw_ticket(rb'"\udc00\ud800"'), *BAD),
    Probe("a surrogate in a name", post(rb'{"subject": "s", "description": "", "custom_fields": {"\ud800": 1}}'), *BAD),
    Probe("a surrogate in an unknown name", post(rb'{"subject": "s", "description": "", "\ud800": 1}'), *BAD),
    Probe("a surrogate name twice", post(rb'{"\ud800": 1, "\ud800": 1}'), *BAD),
    Probe("a surrogate in UTF-8", raw_ticket(b'"\xed\xa0\x80"'), *BAD),
    Probe("NUL, escaped", raw_ticket(rb'"a\u0000b"'), *BAD),
    Probe("NUL in a text of lines", post(rb'{"subject": "s", "description": "a\u0000b"}'), *BAD),
    Probe("NUL in a name", post(rb'{"subject": "s", "description": "", "custom_fields": {"a\u0000": 1}}'), *BAD),
    Probe("NUL, raw", raw_ticket(b'"a\0b"'), *BAD),
    Probe("NUL after the JSON", post(TICKET + b"\0"), *BAD),
    Probe("a line feed, raw", raw_ticket(b'"a\nb"'), *BAD),
    Probe("a line feed in a line", raw_ticket(rb'"a\nb"'), *BAD),
    Probe("a blank subject", ticket(subject="  \u2003 "), *BAD),
    Probe("an unknown escape", raw_ticket(rb'"\x41"'), *BAD),
    Probe("half an escape", raw_ticket(rb'"\u00"'), *BAD),
    Probe("bad UTF-8", raw_ticket(b'"\xff\xfe"'), *BAD),
    Probe("UTF-8 longer than needed", raw_ticket(b'"\xc0\xaf"'), *BAD),
    Probe("UTF-8 beyond Unicode", raw_ticket(b'"\xf4\x90\x80\x80"'), *BAD),
    Probe("UTF-8 cut off", raw_ticket(b'"\xe2\x82"'), *BAD),
    Probe("Latin-1", raw_ticket('"für"'.encode("latin-1")), *BAD),
    Probe("a byte order mark", post(b"\xef\xbb\xbf" + TICKET), *BAD),
    Probe("UTF-16", post(TICKET.decode().encode("utf-16")), *BAD),
    Probe("UTF-16 without a mark", post(TICKET.decode().encode("utf-16-le")), *BAD),
    Probe("UTF-32", post(TICKET.decode().encode("utf-32")), *BAD),
    Probe(
        "60,000 unknown custom fields, each wrong", ticket(custom_fields={f"{n}\n": {} for n in range(60_000)}), *BAD
    ),
    Probe(
        "900 long names of custom fields, each wrong",
        ticket(custom_fields={"x" * 1_000 + f"{n}\n": 0 for n in range(900)}),
        *BAD,
    ),
    Probe("a time that is none", post(b'{"name":"k","expires_at":"2026-02-30T00:00:00Z"}', target=KEYS), *BAD),
    Probe("a time after the last", post(b'{"name":"k","expires_at":"9999-12-31T23:59:59-23:59"}', target=KEYS), *BAD),
    Probe("a time before the first", post(b'{"name":"k","expires_at":"0001-01-01T00:00:00+23:59"}', target=KEYS), *BAD),
    Probe("a leap second", post(b'{"name":"k","expires_at":"2016-12-31T23:59:60Z"}', target=KEYS), *BAD),
    Probe(
        "a time in Arabic digits",
        post('{"name":"k","expires_at":"\u0662\u0660\u0662\u0666-01-01T00:00:00Z"}'.encode(), target=KEYS),
        *BAD,
    ),
    Probe("an e-mail that is none", post(b'{"name":"c","email":"a b@example.com"}', target=CONTACTS), *BAD),
    Probe(
        "an e-mail with a line feed", post(rb'{"name":"c","email":"a@example.com\nbcc: b@c"}', target=CONTACTS), *BAD
    ),
    Probe("a subject of 256 characters", ticket(subject="x" * 256), *BAD),
    Probe("a subject of 900,000 characters", ticket(subject="x" * 900_000), *BAD),
    Probe("a subject of 900,000 spaces", ticket(subject=" " * 900_000), *BAD),
    Probe("a description of 50,001 characters", ticket(description="x" * 50_001), *BAD),
    Probe("51 tags", ticket(tags=[str(n) for n in range(51)]), *BAD),
    Probe("a tag of 51 characters", ticket(tags=["x" * 51]), *BAD),
    Probe("a tag twice", ticket(tags=["a", "a"]), *BAD),
    Probe("51 custom fields", ticket(custom_fields={str(n): n for n in range(51)}), *BAD),
    Probe("a custom field of 1,001 characters", ticket(custom_fields={"a": "x" * 1_001}), *BAD),
    Probe("the name of a custom field of 101 characters", ticket(custom_fields={"x" * 101: 1}), *BAD),
    Probe("an object in a custom field", ticket(custom_fields={"a": {"b": 1}}), *BAD),
    Probe("a name of 201 characters", post(b'{"name": "%b"}' % (b"x" * 201), target="/api/v1/teams"), *BAD),
    Probe("a body beyond the limit", post(b'"%b"' % (b"x" * MEGABYTE)), *LARGE, closes=True),
    Probe("a body of 5 MB", post(b" " * 5 * MEGABYTE + TICKET), *LARGE, closes=True),
    Probe(
        "a body of 5 MB in chunks",
        post(chunked(*[b" " * 65_000] * 80), JSON, CHUNKED, length=False),
        *LARGE,
        closes=True,
    ),
]

CONTENT_TYPES = [
    Probe("no content type", request("POST", "/api/v1/tickets", KEY, body=TICKET), *MEDIA),
    Probe("an empty content type", post(TICKET, "content-type:"), *MEDIA),
    Probe("a form", post(b"subject=s&description=d", "content-type: application/x-www-form-urlencoded"), *MEDIA),
    Probe("parts", post(b"--x--", "content-type: multipart/form-data; boundary=x"), *MEDIA),
    Probe("plain text", post(TICKET, "content-type: text/plain"), *MEDIA),
    Probe("XML", post(b"<ticket/>", "content-type: application/xml"), *MEDIA),
    Probe("something like JSON", post(TICKET, "content-type: application/jsonp"), *MEDIA),
    Probe("a kind of JSON", post(TICKET, "content-type: application/merge-patch+json"), *MEDIA),
    Probe("JSON in Latin-1", post(TICKET, "content-type: application/json; charset=latin-1"), *MEDIA),
    Probe("JSON in UTF-16", post(TICKET, "content-type: application/json; charset=utf-16"), *MEDIA),
    Probe("JSON in UTF-7", post(TICKET, "content-type: application/json; charset=utf-7"), *MEDIA),
    Probe("JSON in no charset there is", post(TICKET, "content-type: application/json; charset=x"), *MEDIA),
    Probe("two content types", post(TICKET, JSON, "content-type: text/plain"), *MEDIA),
    Probe("one content type twice", post(TICKET, JSON, JSON), *MEDIA),
    Probe("a list of content types", post(TICKET, "content-type: application/json, text/plain"), *MEDIA),
    Probe("a content type that is no text", post(TICKET, b"content-type: application/json\xff"), *MEDIA),
    Probe("a content type of 10 KB", post(TICKET, "content-type: " + "x" * 10_000), *MEDIA),
]

PATHS = [
    Probe("an unknown path", get("/api/v1/nothing"), *MISSING),
    Probe("the base path", get("/api/v1"), *MISSING),
    Probe("the base path with a slash", get("/api/v1/"), *MISSING),
    Probe("another version", get("/api/v2/tickets"), *MISSING),
    Probe("another letter case", get("/API/V1/tickets"), *MISSING),
    Probe("a path outside", get("/nothing"), *MISSING),
    Probe("an empty part", get("/api/v1//tickets"), *MISSING),
    Probe("an empty part in front", get("//api/v1/tickets"), *MISSING),
    Probe("an empty part for an id", get("/api/v1/tickets//comments"), *MISSING),
    Probe("a slash at the end", get("/api/v1/tickets/"), *MISSING),
    Probe("a slash after an id", get("/api/v1/tickets/1/"), *MISSING),
    Probe("slashes only", get("/" * 4_000), *MISSING),
    Probe("an empty part outside the API", get("/docs//index.css"), *MISSING),
    Probe("a line feed", get("/api/v1/tickets/1%0A"), *BAD),
    Probe("a line feed in front", get("/api/v1/tickets/%0a1"), *BAD),
    Probe("CR LF and a header", get("/api/v1/tickets%0d%0aX-Evil:%201"), *BAD),
    Probe("NUL", get("/api/v1/tickets/%00"), *BAD),
    Probe("NUL after an id", get("/api/v1/tickets/1%00"), *BAD),
    Probe("DEL", get("/api/v1/tickets/%7f"), *BAD),
    Probe("an encoded slash", get("/api/v1%2Ftickets"), *MISSING),
    Probe("an encoded slash in lower case", get("/api/v1/tickets%2f1"), *MISSING),
    Probe("an encoded slash at the end", get("/api/v1/tickets%2F"), *MISSING),
    Probe("an escape that is none", get("/api/v1/tickets/%zz"), *BAD),
    Probe("half an escape", get("/api/v1/tickets/%4"), *BAD),
    Probe("a bare percent sign", get("/api/v1/tickets/%"), *BAD),
    Probe("an escape of IIS", get("/api/v1/tickets/%u0031"), *BAD),
    Probe("an escaped escape", get("/api/v1/tickets/%2531"), *MISSING),
    Probe("bad UTF-8", get("/api/v1/tickets/%ff"), *BAD),
    Probe("UTF-8 longer than needed", get("/api/v1/tickets/%c0%af"), *BAD),
    Probe("a surrogate", get("/api/v1/tickets/%ed%a0%80"), *BAD),
    Probe("raw bytes", get(b"/api/v1/tickets/\xc3\xa9"), *BAD),
    Probe("a raw NUL", get(b"/api/v1/tickets/\0"), *BAD),
    Probe("a dot segment", get("/api/v1/./tickets"), *MISSING),
    Probe("a way up", get("/api/v1/tickets/../users"), *MISSING),
    Probe("a way out", get("/docs/../../../../etc/passwd"), *MISSING),
    Probe("an encoded way out", get("/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), *MISSING),
    Probe("a way out with backslashes", get("/docs/..%5c..%5cetc%5cpasswd"), *MISSING),
    Probe("the folder of static files", get("/static/"), *MISSING),
    Probe("a file the console has not", get("/docs/nothing.js"), *MISSING),
    Probe("a path parameter of old", get("/api/v1/tickets;jsessionid=1"), *MISSING),
    Probe("what the router's index makes of an id", get("/api/v1/tickets/%23"), *MISSING),
    Probe("a template", get("/api/v1/tickets/{ticket_id}"), *MISSING),
    Probe("an id of zero", get("/api/v1/tickets/0"), *MISSING),
    Probe("an id with a plus", get("/api/v1/tickets/+5"), *MISSING),
    Probe("an id with an escaped plus", get("/api/v1/tickets/%2B5"), *MISSING),
    Probe("an id with zeros in front", get("/api/v1/tickets/007"), *MISSING),
    Probe("an id below zero", get("/api/v1/tickets/-1"), *MISSING),
    Probe("an id with a gap", get("/api/v1/tickets/1_0"), *MISSING),
    Probe("an id with a space", get("/api/v1/tickets/%201"), *MISSING),
    Probe("a fraction", get("/api/v1/tickets/1.0"), *MISSING),
    Probe("an exponent", get("/api/v1/tickets/1e3"), *MISSING),
    Probe("hexadecimal", get("/api/v1/tickets/0x1"), *MISSING),
    Probe("an id in Arabic digits", get("/api/v1/tickets/%D9%A5"), *MISSING),
    Probe("an id in superscript", get("/api/v1/tickets/%C2%B2"), *MISSING),
    Probe("the largest id", get(f"/api/v1/tickets/{2**63 - 1}"), *MISSING),
    Probe("an id beyond 64 bits", get(f"/api/v1/tickets/{2**63}"), *MISSING),
    Probe("an id of 20 digits", get(f"/api/v1/tickets/{10**19}"), *MISSING),
    Probe("an id of 5,000 digits", get("/api/v1/tickets/" + "9" * 5_000), *MISSING),
    Probe("an id of 5,000 digits, and below it", get("/api/v1/tickets/" + "9" * 5_000 + "/comments"), *MISSING),
    Probe("a word for an id", get("/api/v1/tickets/new"), *MISSING),
    Probe("SQL for an id", get("/api/v1/tickets/1%20OR%201=1"), *MISSING),
    Probe("a path of 9,000 bytes", get("/api/v1/" + "x" * 9_000), 414, "uri_too_long"),
    Probe("a query of 9,000 bytes", get("/api/v1/tickets?cursor=" + "x" * 9_000), 414, "uri_too_long"),
    Probe("a path of 60 KB", get("/" + "x" * 60_000), 414, "uri_too_long"),
]

QUERIES = [
    Probe(f"query {query[:60]}", get(f"/api/v1/tickets?{query}"), *BAD)
    for query in [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=1_0",
        "limit=%205",
        "limit=5%20",
        "limit=+5",
        "limit=%2B5",
        "limit=007",
        "limit=1.0",
        "limit=1e1",
        "limit=0x1",
        "limit=%D9%A5",
        "limit=",
        "limit",
        "limit=5;sort=created_at",
        f"limit={'9' * 5_000}",
        f"limit={2**31}",
        f"limit={2**64}",
        "limit=5&limit=5",
        "limit=5&limit=6",
        "limit=5&%6Cimit=5",
        "limit[]=5",
        "limit%5B%24gt%5D=5",
        "limit=true",
        "limit=null",
        "LIMIT=5",
        "unknown=1",
        "=1",
        "%00=1",
        "limit=5%00",
        "limit=5%0A",
        "limit=%0d%0aX-Evil:1",
        "status=%ff",
        "%ff=1",
        "status=%ed%a0%80",
        "status=open%00",
        "status=OPEN",
        "status=",
        "status=open,closed",
        "status[]=open",
        "status=%27%20OR%201=1--",
        "priority=%27;DROP%20TABLE%20tickets;--",
        "type=*",
        "type=%7B%22%24ne%22:1%7D",
        "assigned_to=you",
        "assigned_to=0",
        "assigned_to=-1",
        "assigned_to=1%20OR%201",
        "assigned_to=me%27",
        "assigned_to=" + "9" * 20,
        "contact_id=0",
        "contact_id=-1",
        f"contact_id={2**63}",
        "contact_id=" + "9" * 5_000,
        "contact_id=1%20UNION%20SELECT%201",
        "contact_id=%27",
        "team_id=null",
        "team_id=1%3B--",
        "team_id=%D9%A5",
        "sort=id",
        "sort=--created_at",
        "sort=created_at%20DESC",
        "sort=+created_at",
        "sort=(SELECT%201)",
        "sort=created_at&sort=-created_at",
        "created_from=yesterday",
        "created_from=2026-01-01",
        "created_from=2026-01-01T00:00:00",
        "created_from=2026-13-01T00:00:00Z",
        "created_from=2026-01-01T00:00:00+01:00",
        "created_to=2026-01-01T24:00:01Z",
        "created_to=2026-01-01%2000:00:00Z",
        "updated_since=%27%20OR%20%27%27=%27",
        "updated_since=9999-12-31T23:59:59-23:59",
        "updated_since=" + "9" * 3_000,
        "&".join(["status=open"] * 21),
        "&".join(f"contact_id={n}" for n in range(1, 500)),
        "&".join(f"x{n}=1" for n in range(1_000)),
        "&".join(["limit=1"] * 990),
        "cursor=",
        "cursor=%20",
        "cursor=AAAA",
        "cursor=" + "A" * 1_024,
        "cursor=" + "A" * 1_025,
        "cursor=A",
        "cursor=../..",
        "cursor=%00",
        "cursor=%F0%9F%98%80",
        "cursor=-1",
        "page=1",
        "search=%27",
        "expand=sla",
    ]
] + [
    Probe("an unknown parameter on a single record", get("/api/v1/tickets/1?fields=id"), *BAD),
    Probe("an unknown parameter on a POST", post(TICKET, target="/api/v1/tickets?dry_run=1"), *BAD),
    Probe("a parameter where none is", get("/api/v1/organization?x=1"), *BAD),
    Probe("an operator for an e-mail", get("/api/v1/contacts?email[$ne]=a@example.com"), *BAD),
    Probe("SQL for an e-mail", get("/api/v1/contacts?email=%27%20OR%201=1--"), *BAD),
    Probe("a yes for a boolean", get("/api/v1/users?is_active=yes"), *BAD),
    Probe("a 1 for a boolean", get("/api/v1/users?is_active=1"), *BAD),
    Probe("a TRUE for a boolean", get("/api/v1/users?is_active=TRUE"), *BAD),
    Probe("raw bytes in a query", get(b"/api/v1/contacts?external_id=\xff"), *BAD),
]

HEADERS = [
    Probe("an empty idempotency key", post(TICKET, JSON, "idempotency-key:"), *BAD),
    Probe("an idempotency key of 256 characters", post(TICKET, JSON, "idempotency-key: " + "x" * 256), *BAD),
    Probe("an idempotency key with a space", post(TICKET, JSON, "idempotency-key: a b"), *BAD),
    Probe("an idempotency key that is no ASCII", post(TICKET, JSON, b"idempotency-key: \xe9"), *BAD),
    Probe("two idempotency keys", post(TICKET, JSON, "idempotency-key: a", "idempotency-key: b"), *BAD),
    Probe("no credentials", request("GET", "/api/v1/tickets"), 401, "unauthorized"),
    Probe("an empty key", request("GET", "/api/v1/tickets", "x-api-key:"), 401, "unauthorized"),
    Probe("an unknown key", request("GET", "/api/v1/tickets", "x-api-key: tk_aaaaaaaa_bbb"), 401, "unauthorized"),
    Probe("a key of bytes", request("GET", "/api/v1/tickets", b"x-api-key: \xff\xfe"), 401, "unauthorized"),
    Probe("a key of 8 KB", request("GET", "/api/v1/tickets", "x-api-key: " + "x" * 8_000), 401, "unauthorized"),
    Probe("SQL for a key", request("GET", "/api/v1/tickets", "x-api-key: ' OR 1=1--"), 401, "unauthorized"),
    Probe("two keys", get("/api/v1/tickets", KEY), 401, "unauthorized"),
    Probe("a good and a bad key", get("/api/v1/tickets", "x-api-key: bad"), 401, "unauthorized"),
    Probe("the key as a parameter", request("GET", "/api/v1/tickets?x-api-key={KEY}"), 401, "unauthorized"),
    Probe(
        "two Authorization headers",
        request("GET", "/api/v1/tickets", "authorization: Bearer {KEY}", "authorization: Bearer {KEY}"),
        401,
        "unauthorized",
    ),
    Probe("Basic", request("GET", "/api/v1/tickets", "authorization: Basic dTpw"), 401, "unauthorized"),
    Probe("Bearer alone", request("GET", "/api/v1/tickets", "authorization: Bearer"), 401, "unauthorized"),
    Probe("a key without Bearer", request("GET", "/api/v1/tickets", "authorization: {KEY}"), 401, "unauthorized"),
    Probe(
        "no credentials on a POST of 900 KB",
        request("POST", "/api/v1/tickets", JSON, body=b" " * 900_000),
        401,
        "unauthorized",
    ),
    Probe("a bad path wins over no credentials", request("GET", "/api/v1/tickets/%00"), *BAD),
    Probe(
        "1 MB in one header",
        get("/api/v1/tickets", "x-large: " + "x" * MEGABYTE),
        431,
        "headers_too_large",
        closes=True,
    ),
    Probe(
        "1 MB in 10,000 headers",
        get("/api/v1/tickets", *[f"x-{n}: {'x' * 92}" for n in range(10_000)]),
        431,
        "headers_too_large",
        closes=True,
    ),
    Probe(
        "70 KB of headers", get("/api/v1/tickets", "x-large: " + "x" * 70_000), 431, "headers_too_large", closes=True
    ),
    Probe("70 KB of path", get("/" + "x" * 70_000), 431, "headers_too_large", closes=True),
    Probe(
        "the name of a header of 1 MB",
        get("/api/v1/tickets", "x" * MEGABYTE + ": 1"),
        431,
        "headers_too_large",
        closes=True,
    ),
]

METHODS = [
    Probe("TRACE", get("/api/v1/tickets", method="TRACE"), 405, "method_not_allowed"),
    Probe("OPTIONS", get("/api/v1/tickets", method="OPTIONS"), 405, "method_not_allowed"),
    Probe("PUT where there is none", get("/api/v1/tickets", method="PUT"), 405, "method_not_allowed"),
    Probe("POST on a record", get("/api/v1/tickets/1", method="POST"), 405, "method_not_allowed"),
    Probe("DELETE on a list", get("/api/v1/tickets", method="DELETE"), 405, "method_not_allowed"),
    Probe("PROPFIND", get("/api/v1/tickets", method="PROPFIND"), 405, "method_not_allowed"),
    Probe("POST on a page", get("/docs", method="POST"), 405, "method_not_allowed"),
    Probe(
        "a method overridden",
        get("/api/v1/tickets", "x-http-method-override: GET", method="DELETE"),
        405,
        "method_not_allowed",
    ),
    Probe("an unknown method", get("/api/v1/tickets", method="BREW"), *BAD, closes=True),
    Probe("a method in lower case", get("/api/v1/tickets", method="get"), *BAD, closes=True),
    Probe("CONNECT", request("CONNECT", "127.0.0.1:443", KEY), *BAD, closes=True),
]

FRAMING = [
    Probe("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, *BAD, closes=True),
    Probe("an unknown version", request("GET", "/api/v1/tickets", KEY, version="9.9"), *BAD, closes=True),
    Probe("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", *BAD, closes=True),
    Probe("a space in the path", get("/api/v1/tickets/1 2"), *BAD, closes=True),
    Probe("a length below zero", post(TICKET, JSON, "content-length: -5", length=False), *BAD, closes=True),
    Probe("a length with a plus", post(TICKET, JSON, "content-length: +55", length=False), *BAD, closes=True),
    Probe("a length in hexadecimal", post(TICKET, JSON, "content-length: 0x37", length=False), *BAD, closes=True),
    Probe("a length that is a word", post(TICKET, JSON, "content-length: all", length=False), *BAD, closes=True),
    Probe("an empty length", post(TICKET, JSON, "content-length:", length=False), *BAD, closes=True),
    Probe("a list of lengths", post(TICKET, JSON, "content-length: 55, 55", length=False), *BAD, closes=True),
    Probe("a length beyond 64 bits", post(TICKET, JSON, f"content-length: {2**64}", length=False), *BAD, closes=True),
    Probe(
        "a length of 5,000 digits",
        post(TICKET, JSON, "content-length: " + "9" * 5_000, length=False),
        *BAD,
        closes=True,
    ),
    Probe("a huge length", post(TICKET, JSON, f"content-length: {2**62}", length=False), *LARGE, closes=True),
    Probe(
        "two lengths", post(TICKET, JSON, "content-length: 55", "content-length: 56", length=False), *BAD, closes=True
    ),
    Probe(
        "a length and chunks",
        post(chunked(TICKET), JSON, "content-length: 55", CHUNKED, length=False),
        *BAD,
        closes=True,
    ),
    Probe(
        "chunks and a length",
        post(chunked(TICKET), JSON, CHUNKED, "content-length: 55", length=False),
        *BAD,
        closes=True,
    ),
    Probe(
        "a transfer encoding nobody knows",
        post(TICKET, JSON, "transfer-encoding: xchunked", length=False),
        *BAD,
        closes=True,
    ),
    Probe(
        "chunked not as the last",
        post(TICKET, JSON, "transfer-encoding: chunked, gzip", length=False),
        *BAD,
        closes=True,
    ),
    Probe("a chunk of no size", post(b"zz\r\n" + TICKET, JSON, CHUNKED, length=False), *BAD, closes=True),
    Probe("a chunk of -1", post(b"-1\r\n" + TICKET, JSON, CHUNKED, length=False), *BAD, closes=True),
    Probe("a chunk beyond 64 bits", post(b"f" * 17 + b"\r\n" + TICKET, JSON, CHUNKED, length=False), *BAD, closes=True),
    Probe(
        "a chunk longer than it says", post(b"2\r\n{}{}\r\n0\r\n\r\n", JSON, CHUNKED, length=False), *BAD, closes=True
    ),
    Probe(
        "a body longer than its length says", post(TICKET, JSON, "content-length: 20", length=False), *BAD, closes=True
    ),
    Probe("a header without a colon", get("/api/v1/tickets", "x-nothing"), *BAD, closes=True),
    Probe("a header with a space in its name", get("/api/v1/tickets", "x nothing: 1"), *BAD, closes=True),
    Probe("a header without a name", get("/api/v1/tickets", ": 1"), *BAD, closes=True),
    Probe("a folded header", get("/api/v1/tickets", "x-a: 1\r\n 2"), *BAD, closes=True),
    Probe("NUL in a header", get("/api/v1/tickets", b"x-a: \0"), *BAD, closes=True),
    Probe("a bare CR in a header", get("/api/v1/tickets", b"x-a: 1\rx-b: 2"), *BAD, closes=True),
    Probe("garbage after a request", get("/api/v1/nothing") + b"garbage\r\n\r\n", *MISSING, closes=True),
]

PROBES = [*BODIES, *CONTENT_TYPES, *PATHS, *QUERIES, *HEADERS, *METHODS, *FRAMING]


@pytest.mark.parametrize("probe", [pytest.param(probe, id=probe.name) for probe in PROBES])
def test_a_bad_request_gets_its_problem_within_a_second_and_stores_nothing(
    probe: Probe, service: ThreadService, raw_tenant: Tenant, stored: Stored
) -> None:
    key = raw_tenant.client("admin").key or ""
    before = stored()
    with Connection(service.port) as connection:
        connection.send(probe.data.replace(b"{KEY}", key.encode()))
        answer = connection.answer()
        assert (answer.status, answer.problem()["code"]) == (probe.status, probe.code), answer.body
        assert answer.seconds < 1
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not answer.repeated
        if probe.closes:
            assert connection.ended()
    assert stored() == before
