"""The HTTP server: uvicorn, with bounds on what it lets a client do before the application sees anything."""

import asyncio
import logging
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tickets import ids
from tickets.errors import HeadersTooLarge, InvalidRequest, Problem, RequestTimeout
from tickets.http import problems
from tickets.http.exchange import App
from tickets.http.guard import SECURITY_HEADERS
from tickets.settings import Settings

MAX_HEADERS = 65_536
"""Most bytes of request line and headers."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on the size of headers and on the time they may take.

    uvicorn itself waits for ever for the rest of a header, keeps headers of any size and answers malformed
    requests in plain text.
    """

    header_timeout = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the clock for the first request."""
        super().connection_made(transport)
        self._header_timer = self.loop.call_later(self.header_timeout, self._headers_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._unset_keepalive_if_required()
        if self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._header_timer = self.loop.call_later(self.header_timeout, self._headers_late)
        self._header_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # An offer of another protocol (HTTP/2 from Java's client) may be ignored (RFC 9110, 7.8); the
            # parser would not go on after it.
            self.parser = httptools.HttpRequestParser(self)
            rest = data[upgrade.args[0] :]
            if rest:
                self.data_received(rest)
        except httptools.HttpParserError:
            self._refuse(InvalidRequest("This is not a valid HTTP/1.1 request."))
        else:
            if self._header_timer is not None and self._header_bytes > MAX_HEADERS:
                self._refuse(_too_large())

    def on_headers_complete(self) -> None:
        """The application takes over."""
        self._stop_clock()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEADERS:
            self._refuse(_too_large())
            raise ValueError("headers too large")  # ends the parser
        super().on_headers_complete()

    def _stop_clock(self) -> None:
        self._header_bytes = 0
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_late(self) -> None:
        self._header_timer = None
        self._refuse(RequestTimeout(f"The headers did not arrive within {self.header_timeout:g} s."))

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, and close."""
        if self.transport is None or self.transport.is_closing():
            return
        self._stop_clock()
        request_id = ids.request_id()
        response = problems.render(problem, path="", request_id=request_id)
        headers = [
            *response.headers,
            (b"content-length", b"%d" % len(response.body)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
            *SECURITY_HEADERS,
        ]
        lines = [STATUS_LINE[problem.status], *(b"%b: %b\r\n" % header for header in headers), b"\r\n"]
        self.transport.write(b"".join(lines) + response.body)
        self.transport.close()


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"The headers are larger than {MAX_HEADERS} bytes; send less.")


def configuration(app: App, settings: Settings, *, host: str, port: int) -> uvicorn.Config:
    """Configure the server: one process, bounded connections, nothing that names itself."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type("Protocol", (BoundedProtocol,), {"header_timeout": float(settings.request_timeout)}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.request_timeout,
        timeout_graceful_shutdown=8,
        limit_concurrency=settings.max_connections,
    )


def serve(app: App, settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; what is in flight is finished first.

    Args:
        app: the application.
        settings: its settings.
        host: address to listen on.
        port: port to listen on.
    """
    # Its lines about starting and stopping; each request has one of ours.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    uvicorn.Server(configuration(app, settings, host=host, port=port)).run()
