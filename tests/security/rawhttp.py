"""HTTP without a client: bytes go out as written, and what comes back is taken apart."""

import json
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

LEAKS = re.compile(
    rb"traceback|sqlite|sqlalchemy|select |insert |site-packages|\.py\b|/tmp|werkzeug|uvicorn|starlette",
    re.IGNORECASE,
)
JSON = "content-type: application/json"
TICKET = b'{"subject": "Printer", "description": "It is on fire."}'
PROBLEM = {"type", "title", "status", "detail", "instance", "code", "request_id"}


@dataclass
class Answer:
    """One response.

    Attributes:
        status: of the final response; informational ones are counted in `informational`.
        headers: lower-case name to value, for names that came once; `repeated` names came more often.
        body: as it came.
        seconds: from the last byte sent to the end of the response.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    repeated: set[str] = field(default_factory=set)
    informational: list[int] = field(default_factory=list)

    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self) -> dict[str, Any]:
        """Check that it is a problem as the contract promises them, and return it."""
        assert self.headers["content-type"] == "application/problem+json"
        made = self.json()
        assert made.keys() - {"errors"} == PROBLEM
        assert made["status"] == self.status
        assert made["type"] == f"urn:ticketing:problem:{made['code']}"
        assert made["request_id"] == self.headers["x-request-id"]
        assert not LEAKS.search(self.body), self.body
        return made


class Connection:
    """A TCP connection to the service, from any address of the loopback network."""

    def __init__(self, port: int, *, timeout: float = 10, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send, also when the other end has stopped to listen: it may have answered before."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def _more(self) -> bool:
        try:
            data = self._socket.recv(65_536)
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data)

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            assert self._more(), f"the connection ended within a response: {self._buffer[:200]!r}"
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def answer(self, *, head: bool = False) -> Answer:
        """Read one response; `head` when it answers HEAD and so has no body."""
        started = time.perf_counter()
        informational = []
        while True:
            first, *lines = self._until(b"\r\n\r\n").split(b"\r\n")
            status = int(first.split(b" ")[1])
            if status >= 200:
                break
            informational.append(status)
        headers: dict[str, str] = {}
        repeated = set()
        for line in lines:
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() in headers:
                repeated.add(name.lower())
            headers[name.lower()] = value.strip()
        body = b""
        if not head and status not in (204, 304):
            length = int(headers["content-length"])
            while len(self._buffer) < length:
                assert self._more(), "the connection ended within a body"
            body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answer(status, headers, body, time.perf_counter() - started, repeated, informational)

    def ended(self, within: float = 5) -> bool:
        """Tell whether the other end closes, with nothing more to say, in time."""
        self._socket.settimeout(within)
        try:
            return not self._buffer and not self._more()
        except TimeoutError:
            return False


def request(
    method: str,
    target: bytes | str,
    *headers: bytes | str,
    body: bytes = b"",
    length: bool = True,
    version: str = "1.1",
) -> bytes:
    """Put a request together; nothing is escaped or checked.

    Args:
        method: the first word.
        target: the second, `version` ends the third.
        headers: lines such as ``x-api-key: …``.
        body: what follows the headers.
        length: whether to add a content-length that fits when there is a body.
        version: of HTTP.
    """
    lines = [b"%s %s HTTP/%s" % (method.encode(), _bytes(target), version.encode()), b"Host: 127.0.0.1"]
    lines += map(_bytes, headers)
    if length and body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def post(key: str, *headers: str, body: bytes = TICKET, length: bool = True, version: str = "1.1") -> bytes:
    """Put a request together that raises a ticket."""
    return request("POST", "/api/v1/tickets", key, *headers, body=body, length=length, version=version)


def answer_to(connection: Connection, data: bytes) -> Answer:
    """Send and read one response."""
    connection.send(data)
    return connection.answer()


def chunked(*chunks: bytes) -> bytes:
    """Encode a body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
