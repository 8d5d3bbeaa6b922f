"""The HTTP server: uvicorn, with bounds on what it lets a client do before the application sees anything."""

import asyncio
import gc
import logging
from dataclasses import replace
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tickets import ids
from tickets.errors import HeadersTooLarge, InvalidRequest, Problem, RequestTimeout, ServiceUnavailable, UriTooLong
from tickets.http import problems
from tickets.http.backlog import Backlog
from tickets.http.connections import HEALTH, Connections, allowed
from tickets.http.exchange import App
from tickets.http.guard import MAX_TARGET, SECURITY_HEADERS
from tickets.settings import Settings

MAX_HEADERS = 65_536
"""Most bytes of request line and headers."""

MAX_DECODED_TARGET = 16_384
"""Longest target that is decoded, to be refused and counted by the guard: beyond, decoding it is what costs."""

MAX_FIELDS = 200
"""Most header fields: many small ones cost more than their bytes tell."""

MAX_PIPELINED = 200
"""Most pipelined requests of a connection that wait for earlier answers: each takes a hundred times its bytes."""

LINGER_SECONDS = 5.0
LINGER_BYTES = 16 << 20
"""How long, and how much, is read and dropped after an answer that came before the end of its request."""


class _OneWrite(RequestResponseCycle):
    """Sends an answer that is there as a whole in one piece.

    uvicorn writes headers and body in two system calls, and looks at each byte of each header.
    """

    _held: Any = None

    async def run_asgi(self, app: Any) -> None:
        """Call the application, then let go of the request and its connection.

        A connection keeps its last cycle, and both would wait for the garbage collector, with all that the scope holds.
        """
        try:
            await super().run_asgi(app)
        finally:
            del self.scope, self.transport
            self.body.clear()

    async def send(self, message: Any) -> None:
        """Hold the headers until the body tells whether it is whole."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._held = message
            return
        held, self._held = self._held, None
        if held is None:
            await super().send(message)
        elif self._is_plain(held, message):
            self._send_whole(held, message.get("body", b""))
        else:
            await super().send(held)
            await super().send(message)

    def _is_plain(self, start: Any, body: Any) -> bool:
        return (
            self.scope["method"] != "HEAD"
            and not body.get("more_body", False)
            and not self.disconnected
            and not self.flow.write_paused
            and start["status"] not in (204, 304)
            and (b"content-length", b"%d" % len(body.get("body", b""))) in start["headers"]
            and all(name != b"connection" for name, _ in start["headers"])
        )

    def _send_whole(self, start: Any, body: bytes) -> None:
        headers = [*self.default_headers, *start["headers"]]
        lines = [STATUS_LINE[start["status"]], *(b"%b: %b\r\n" % header for header in headers)]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a header contains a line break")
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(b"%b\r\n%b" % (head, body))
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class _LingeringTransport:
    """What a cycle writes to: to close it is to let the client finish its sentence first."""

    def __init__(self, protocol: "BoundedProtocol") -> None:
        self._protocol = protocol
        self.write = protocol.transport.write

    def is_closing(self) -> bool:
        return self._protocol.is_closing()

    def close(self) -> None:
        if self._protocol.cycle.more_body or self._protocol.is_cut_short:
            self._protocol.linger()
        else:
            self._protocol.close()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on the size of headers, on the time they may take, and on an answer nobody reads.

    uvicorn itself waits for ever for the rest of a header and for a client that does not read, keeps headers of
    any size, answers malformed requests in plain text and drops the body of a request that offers another protocol.
    """

    header_timeout = 20.0
    places: Connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._in_headers = False
        self._offers_upgrade = False
        self._refusal: str | None = None
        self.is_cut_short = False
        self._deadline = 0.0
        self._linger_timer: asyncio.TimerHandle | None = None
        self._linger_left = LINGER_BYTES
        self._backlog: Backlog

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the clock for the first request."""
        super().connection_made(transport)
        self._backlog = Backlog(transport, self.header_timeout)
        self._refusal = self.places.admit(self, self._address())
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self.places.leave(self)
        self._stop_clock()
        self._backlog.rest()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; after the last answer (see `linger`) drop what arrives, up to `LINGER_BYTES`."""
        if self._linger_timer is not None:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        self.places.ask(self)
        if self._header_timer is None and not self._is_answering():
            self._start_clock()
        headers_only = self._in_headers
        stopped_at = self._feed(data)
        if stopped_at is not None:
            rest = memoryview(data)  # no copies: with many upgrade offers in one packet they would be expensive
            while stopped_at is not None:
                rest = rest[stopped_at:]
                self._feed(self._head_without_upgrade())
                stopped_at = self._feed(rest)
        elif headers_only and self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADERS:
                self._refuse(_too_large())

    def on_message_begin(self) -> None:
        """Expect headers."""
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; a field behind a chunked body (a trailer) says nothing here, least of all who asks."""
        if self._in_headers:
            if len(self.headers) >= MAX_FIELDS:
                self._refuse(HeadersTooLarge(f"The request has more than {MAX_FIELDS} header fields; send fewer."))
                raise ValueError("too many header fields")  # ends the parser
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the headers, and hand the request to the application."""
        if self.parser.get_method() == b"CONNECT":
            self._refuse(InvalidRequest("This service is no proxy: ask for a path of its own, with another method."))
            raise ValueError("no proxy")  # ends the parser
        self._offers_upgrade = self.parser.should_upgrade() and any(name == b"upgrade" for name, _ in self.headers)
        if self._offers_upgrade:
            return
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEADERS:
            self._refuse(_too_large())
            raise ValueError("headers too large")  # ends the parser
        if len(self.url) > MAX_DECODED_TARGET:
            self._refuse(UriTooLong(f"The address is longer than {MAX_TARGET} bytes; send less in the query."))
            raise ValueError("target too long")  # ends the parser
        if self._refusal is not None:
            self._try_again()
        if len(self.pipeline) >= MAX_PIPELINED:
            self.is_cut_short = True
            self.cycle.keep_alive = False
            raise ValueError("too many requests wait")  # ends the parser; what was asked before is answered
        self._in_headers = False
        self._stop_clock()
        self._deadline = self.loop.time() + self.header_timeout
        super().on_headers_complete()
        if self._refusal is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole, unless the parser only stopped for another protocol."""
        if not self._offers_upgrade:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, unless this answer was the last."""
        if self._linger_timer is None:
            super().on_response_complete()
            if not self._is_answering() and not self._in_headers:
                self.places.rest(self)
        else:
            self.server_state.total_requests += 1

    def pause_writing(self) -> None:
        """Wait for the client, as long as it takes something now and then."""
        super().pause_writing()
        self._backlog.watch()

    def resume_writing(self) -> None:
        """Go on to write; what is left before a close stays under watch."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._backlog.rest()

    def eof_received(self) -> None:
        """Close: nothing more is asked."""
        self.close()

    def shutdown(self) -> None:
        """Close, if nothing is asked, or after the next answer."""
        super().shutdown()
        self._watch_the_rest()

    def timeout_keep_alive_handler(self) -> None:
        """Close: nothing was asked for long."""
        super().timeout_keep_alive_handler()
        self._watch_the_rest()

    def close(self) -> None:
        """Close once the client has what was written, or takes nothing of it."""
        self.transport.close()
        self._watch_the_rest()

    def is_closing(self) -> bool:
        """Tell whether nothing more can be said."""
        return self._linger_timer is not None or self.transport.is_closing()

    def linger(self) -> None:
        """Say that nothing more will come, then read and drop what is under way before closing.

        To close while a client still sends resets the connection, and many a client that only reads after it
        has sent everything would then never see the answer. The request keeps its bound in time, and memory
        is not needed: what comes does not even reach the parser.
        """
        if self.is_closing():
            return
        self._stop_clock()
        seconds = min(LINGER_SECONDS, self._deadline - self.loop.time())
        if seconds <= 0 or self._refusal is not None:
            self.close()
            return
        if self.cycle is not None:  # to the application it is as if the client had left
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._linger_timer = self.loop.call_later(seconds, self.transport.abort)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def give_way(self) -> None:
        """Close at once, since another needs the place; what the kernel was given still arrives."""
        if self._refusal is not None or self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _try_again(self) -> None:
        """Ask for a place again, since a request has arrived; without a place, refuse all but requests for health."""
        self._refusal = self.places.admit(self, self._address())
        if self._refusal is None:
            self.places.ask(self)
        elif self.url.partition(b"?")[0] not in HEALTH:
            self._refuse(ServiceUnavailable(self._refusal))
            raise ValueError("too many connections")  # ends the parser

    def _feed(self, data: bytes | memoryview) -> int | None:
        """Parse bytes; return the offset at which the parser stopped for an upgrade offer, or None."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            stopped_at: int = upgrade.args[0]
            return stopped_at
        except httptools.HttpParserError:
            self._refuse(InvalidRequest("This is not a valid HTTP/1.1 request."))
        return None

    def _head_without_upgrade(self) -> bytes:
        """Make a new parser, and the headers for it as if they had not offered another protocol.

        An offer may be ignored (RFC 9110, 7.8). The parser takes what follows such headers for the other protocol;
        Java's client offers HTTP/2 so, and what follows is the body.
        """
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        return b"\r\n".join([*lines, b"", b""])

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = _OneWrite  # uvicorn has no other way to name the class of its cycles
        cycle.transport = cast("asyncio.Transport", _LingeringTransport(self))
        super()._start_asgi_task(cycle, app)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch_the_rest(self) -> None:
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._backlog.watch()

    def _start_clock(self) -> None:
        self._deadline = self.loop.time() + self.header_timeout
        self._header_timer = self.loop.call_later(self.header_timeout, self._headers_late)

    def _stop_clock(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_late(self) -> None:
        self._header_timer = None
        if self._in_headers or self.cycle is None:
            self._refuse(RequestTimeout(f"The headers did not arrive within {self.header_timeout:g} s."))
        elif not self._is_answering():
            self.close()  # all that came was the rest of a body that is answered already

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, and close."""
        if self.transport is None or self.is_closing():
            return
        self._stop_clock()
        if self._in_headers and self._is_answering():
            self.cycle.keep_alive = False  # what was asked before is answered first; that ends the connection
            return
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
        self.linger()


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"The headers are larger than {MAX_HEADERS} bytes; send less.")


def configuration(app: App, settings: Settings, *, host: str, port: int) -> uvicorn.Config:
    """Configure the server: one process, bounded connections, nothing that names itself."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type(
            "Protocol",
            (BoundedProtocol,),
            {
                "header_timeout": float(settings.request_timeout),
                "places": Connections(
                    settings.max_connections, settings.connections_of_an_address(), settings.trusted_proxies
                ),
            },
        ),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.request_timeout,
        timeout_graceful_shutdown=7,
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
    # Contract, plans and statements stay for good: the collector need not look at them again and again.
    gc.collect()
    gc.freeze()
    # Reference counts free what a request makes; looking for cycles after every 700 objects costs a POST a tenth. What
    # a cycle keeps all the same is found after two million objects that stayed (decisions/0021).
    gc.set_threshold(20_000, 10, 10)
    settings = replace(settings, max_connections=allowed(settings))
    uvicorn.Server(configuration(app, settings, host=host, port=port)).run()
