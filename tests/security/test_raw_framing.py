"""Methods, headers and framing that no client library would send: each answer a problem, nothing stored."""

from collections.abc import Callable

from probes import BAD, KEY, LARGE, MEGABYTE, MISSING, Probe, each, get, post
from rawhttp import JSON, TICKET, chunked, request

CHUNKED = "transfer-encoding: chunked"
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
    Probe(
        "201 headers",
        request("GET", "/api/v1/tickets", *["x-a: 1"] * 200),
        431,
        "headers_too_large",
        closes=True,
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


def host(*values: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    lines = [b"%b /api/v1/organization HTTP/%b" % (method, version), KEY.encode(), *(b"host: " + one for one in values)]
    return b"\r\n".join([*lines, b"", b""])


HOSTS = [
    Probe("no host", host(), *BAD),
    Probe("no host in OPTIONS", host(method=b"OPTIONS"), *BAD),
    Probe("an empty host", host(b""), *BAD),
    Probe("two hosts", host(b"a", b"b"), *BAD),
    Probe("the same host twice", host(b"a", b"a"), *BAD),
    Probe("two hosts in HTTP/1.0", host(b"a", b"b", version=b"1.0"), *BAD),
    Probe("an empty host in HTTP/1.0", host(b"", version=b"1.0"), *BAD),
    *(
        Probe(f"the host {value!r}", host(value), *BAD)
        for value in (
            *(b"a b", b"a, b", b"a/b", b"http://a", b"u@a", b"a?b", b"a#b", b"a\\b", b'"a"', b"<a>", b"a;b", b"a%00"),
            *(b"a:b", b"a:123456", b"a:1:2", b":80", b"[::1", b"::1", b"[]", b"[g::]", b"\xe9", b"a" * 256),
        )
    ),
]


@each(*HEADERS, *METHODS, *FRAMING, *HOSTS)
def test_a_bad_head_gets_its_problem_and_stores_nothing(probe: Probe, refused: Callable[[Probe], None]):
    refused(probe)
