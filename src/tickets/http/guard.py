"""The outermost layer: bounds on size and time, request ids, security headers, CORS, the last resort.

Everything that no operation should have to think about, and everything a server lets through: no ASGI
server closes a body that stalls, and none answers a malformed path with a problem.
"""

import asyncio
import re
import time
from typing import Any

import structlog

from tickets import ids
from tickets.contract.document import Document
from tickets.errors import (
    Forbidden,
    InternalError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    Problem,
    RequestTimeout,
    ServiceUnavailable,
    UriTooLong,
    forget_origin,
)
from tickets.http import problems, redaction
from tickets.http.addresses import client_address
from tickets.http.audit import Audit
from tickets.http.cors import Cors
from tickets.http.exchange import App, Exchange, Headers, Receive, Scope, Send, attach
from tickets.http.pages import is_page
from tickets.http.rate_limit import RateLimiter
from tickets.http.refusals import Refusals
from tickets.settings import Settings

MAX_TARGET = 8_000
"""Longest path with query, in bytes (RFC 9110, 4.1 recommends to support at least 8,000)."""

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# The set that helmet sends by default; upgrade-insecure-requests is left out, since the service itself
# speaks plain HTTP and the console would ask for its files over a port that is not there.
SECURITY_HEADERS: Headers = [
    (
        b"content-security-policy",
        (
            b"default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';"
            b"frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';"
            b"script-src-attr 'none';style-src 'self' https: 'unsafe-inline'"
        ),
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"origin-agent-cluster", b"?1"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-dns-prefetch-control", b"off"),
    (b"x-download-options", b"noopen"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-permitted-cross-domain-policies", b"none"),
    (b"x-xss-protection", b"0"),
]

# What belongs to a tenant, or is a key or token (RFC 6749, 5.1), has no place in a cache on the way.
API_HEADERS: Headers = [*SECURITY_HEADERS, (b"cache-control", b"no-store")]

log = structlog.get_logger("tickets.access")


class Guard:
    """Wraps the application.

    Args:
        app: what answers.
        settings: bounds, whose X-Forwarded-For to believe, and which origins may call.
        document: where the API begins, and which paths answer as another does.
        limiter: counts requests for pages.
        refusals: count what is refused here.
        audit: is told of each request.
    """

    def __init__(
        self,
        app: App,
        settings: Settings,
        document: Document,
        *,
        limiter: RateLimiter,
        refusals: Refusals,
        audit: Audit,
    ) -> None:
        self._app = app
        self._limiter = limiter
        self._refusals = refusals
        self._audit = audit
        self._max_body = settings.max_body_bytes
        self._timeout = settings.request_timeout
        self._proxies = settings.trusted_proxies
        self._cors = Cors(settings.cors_origins)
        self._base_path = document.base_path
        self._aliases = document.aliases

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        exchange = Exchange(self._request_id(scope), client_address(scope, self._proxies), redaction.path(path))
        attach(scope, exchange)
        is_api = path.startswith(self._base_path) or path in self._aliases
        sender = _Sender(send, exchange, [*self._cors.headers(scope), *(API_HEADERS if is_api else SECURITY_HEADERS)])
        try:
            _check_host(scope)
            exchange.audited = await self._answer_preflight(scope, sender)  # a question of a browser's own is no news
            if not exchange.audited:
                self._check(scope, exchange)
                if not is_api and is_page(scope["method"], path):
                    self._limiter.count_page(exchange)
                scope["path"] = self._aliases.get(path, path)
                await self._app(scope, _Body(receive, self._max_body, self._timeout), sender)
        except Problem as problem:
            await sender.fail(await self._refusals.charge(scope, problem), path)
        except Exception as error:
            log.exception("failed", request_id=exchange.request_id, path=exchange.path)
            forget_origin(error)
            await sender.fail(InternalError("Something went wrong on our side; quote the request id."), path)
        except asyncio.CancelledError:
            # Only the end of the service cancels: what took longer than its grace is told so. It was not done, since
            # a write that has begun does not let itself be cancelled (see Writer).
            await sender.fail(ServiceUnavailable("The service is stopping. Try again in a moment."), path)
        if not exchange.audited and path.startswith(self._base_path + "/"):
            self._audit.note(scope, exchange, sender.status)
        exchange.body = None  # an idle connection keeps its last scope
        log.info(
            "request",
            request_id=exchange.request_id,
            method=scope["method"],
            path=exchange.path,
            operation=exchange.operation_id,
            status=sender.status,
            client=exchange.client,
            user=exchange.user_id,
            ms=round((time.perf_counter() - exchange.started) * 1000, 1),
        )

    @staticmethod
    def _request_id(scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                return value.decode() if _SANE_ID.fullmatch(value) else ids.request_id()
        return ids.request_id()

    async def _answer_preflight(self, scope: Scope, sender: "_Sender") -> bool:
        """Answer a preflight, which counts for nobody: the browser sends it, and it does nothing."""
        try:
            response = self._cors.preflight(scope)
        except Forbidden as problem:
            await sender.fail(problem, scope["path"])
            return True
        if response is not None:
            await response.send(sender)
        return response is not None

    def _check(self, scope: Scope, exchange: Exchange) -> None:
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        if len(raw) + len(scope["query_string"]) > MAX_TARGET:
            raise UriTooLong(f"The address is longer than {MAX_TARGET} bytes; send less in the query.")
        if b"%" in raw:
            self._check_escapes(scope, raw)
        path = scope["path"]
        if "//" in path or (path.startswith(self._base_path) and path.endswith("/")):
            raise NotFound("There is nothing at this address; addresses have no empty parts and no slash at the end.")
        for name, value in scope["headers"]:
            if name == b"content-length":
                if not value.isdigit():
                    raise InvalidRequest("The header content-length is not a number.")
                if len(value) > 18 or int(value) > self._max_body:  # noqa: PLR2004 - more digits than any size has
                    raise too_large(self._max_body)
                exchange.sends_body = int(value) > 0
            elif name == b"transfer-encoding":
                exchange.sends_body = True

    @staticmethod
    def _check_escapes(scope: Scope, raw: bytes) -> None:
        path = scope["path"]
        if _BAD_ESCAPE.search(raw) or _CONTROL.search(path) or "\N{REPLACEMENT CHARACTER}" in path:
            raise InvalidRequest("The path is not valid percent-encoded UTF-8, or contains a control character.")
        if b"%2f" in raw.lower():
            raise NotFound("There is nothing at this address; an encoded slash is no part of any.")


def _check_host(scope: Scope) -> None:
    """Refuse what does not say whom it asks: a proxy in front may have read it otherwise (RFC 9112, 3.2).

    Raises:
        InvalidRequest: the header is missing, there twice, or names no host.
    """
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts and scope["http_version"] != "1.1":
        return
    if len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None:
        raise InvalidRequest(
            "Send one header `Host` with the name or address of the service, like api.example.com:8080."
        )


def too_large(most: int) -> PayloadTooLarge:
    """Make the 413; the connection closes, since the rest of the body is not read."""
    return PayloadTooLarge(f"The body is larger than {most} bytes; send less at once.", headers={"connection": "close"})


class _Body:
    """Receives a body within its bounds of size and time."""

    def __init__(self, receive: Receive, most: int, timeout: int) -> None:
        self._receive = receive
        self._most = most
        self._timeout = timeout
        self._got = 0
        self._deadline: float | None = None

    async def __call__(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._deadline is None:
            self._deadline = loop.time() + self._timeout
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout(
                f"The body did not arrive within {self._timeout} s.", headers={"connection": "close"}
            ) from None
        self._got += len(message.get("body", b""))
        if self._got > self._most:
            raise too_large(self._most)
        return message


class _Sender:
    """Sends an answer with the headers that every answer has."""

    def __init__(self, send: Send, exchange: Exchange, headers: Headers) -> None:
        self._send = send
        self._exchange = exchange
        self._headers = headers
        self.status = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [
                *message.get("headers", ()),
                (b"x-request-id", self._exchange.request_id.encode()),
                *(self._exchange.rate_headers or ()),
                *self._headers,
            ]
            message = {"type": "http.response.start", "status": self.status, "headers": headers}
        await self._send(message)

    async def fail(self, problem: Problem, path: str) -> None:
        if self.status:
            return  # the answer has begun: all that is left is to end the connection, which the server does
        response = problems.render(problem, path=path, request_id=self._exchange.request_id)
        await response.send(self)
