"""One request and what is known of it so far; the answer, before it is sent."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tickets.errors import InvalidRequest, Problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
_KEY = "tickets"


@dataclass(slots=True)
class Exchange:
    """What the layers tell each other about a request.

    Attributes:
        request_id: on the answer, in every log line and problem.
        client: IP address of who asked, in at most 64 characters.
        path: the path that was asked for, fit to be written down.
        rate_headers: headers of the rate limit that applied; None until one was counted.
        user_id: who asked, once known.
        organization_id: whose they are.
        api_key_id: the key they used.
        session_id: the session they used.
        operation_id: which operation it is, once known.
        body: what the body says, once read; None when there is none.
        body_size: the bytes it came in.
        sends_body: whether a body came, or is still to come.
        audited: whether the audit log needs no more to be told.
        started: when the request began, by the clock that only measures.
    """

    request_id: str
    client: str
    path: str
    rate_headers: Headers | None = None
    user_id: int | None = None
    organization_id: int | None = None
    api_key_id: int | None = None
    session_id: int | None = None
    operation_id: str | None = None
    body: Any = None
    body_size: int = 0
    sends_body: bool = False
    audited: bool = False
    started: float = field(default_factory=time.perf_counter)


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that the guard attached to a request."""
    found: Exchange = scope["extensions"][_KEY]
    return found


def attach(scope: Scope, exchange: Exchange) -> None:
    """Attach an exchange to a request; only the guard does."""
    scope.setdefault("extensions", {})[_KEY] = exchange


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Any]) -> Any:
    """Do work that takes long, and give it up when the client that asked for it leaves.

    Args:
        receive: of a request whose body was read, or that has none.
        work: what to do; it is cancelled.

    Raises:
        InvalidRequest: the client left; nobody reads it, but the logs show it.
    """
    doing = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((doing, left), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done() and left.result():
            raise InvalidRequest("The connection closed before the answer was there.")
        return await doing
    finally:
        left.cancel()
        doing.cancel()


async def _disconnected(receive: Receive) -> bool:
    """Wait until the client leaves; False when the server says nothing more of it."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except Problem:  # all that the client may send, or the time it may take for it
        return False
    return True


class Response(NamedTuple):
    """An answer: status, headers without length, and body."""

    status: int
    headers: Headers
    body: bytes = b""

    async def send(self, send: Send) -> None:
        """Send it."""
        headers = self.headers
        if self.status not in (204, 304):
            headers = [*headers, (b"content-length", str(len(self.body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
