"""Cross-origin requests: which pages in a browser may call, and what it is told of that (Fetch standard, CORS)."""

import re

from tickets.errors import Forbidden
from tickets.http.exchange import Headers, Response, Scope

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_HEADERS = (
    "accept",
    "accept-language",
    "authorization",
    "content-language",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "x-api-key",
    "x-request-id",
)
_ORIGIN = re.compile(rb"null|[a-z][a-z0-9+.-]{0,30}://[A-Za-z0-9._~%:\[\]-]{1,300}")
"""What is repeated of a request where all origins may call (RFC 6454, 6.1)."""
_SECONDS = b"600"
"""How long a browser remembers what it was told."""
_VARY_PREFLIGHT = b"origin, access-control-request-method, access-control-request-headers"


class Cors:
    """Tells browsers what pages of other origins may do; without configured origins, nothing.

    Args:
        origins: that may call, or ``*`` for all.
    """

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def preflight(self, scope: Scope) -> Response | None:
        """Answer a browser that asks before it sends a request; None for any other request.

        Raises:
            Forbidden: the origin, the method or a header is none of those allowed.
        """
        if not self._origins or scope["method"] != "OPTIONS":
            return None
        method = _header(scope, b"access-control-request-method")
        if method is None or _header(scope, b"origin") is None:
            return None
        if not self._allowed(scope):
            raise Forbidden("Pages of this origin may not call; whoever runs the service can allow it.")
        if method.decode("latin-1") not in _METHODS:
            raise Forbidden(f"Pages may send {', '.join(_METHODS)}, and no other method.")
        asked = (_header(scope, b"access-control-request-headers") or b"").decode("latin-1").lower()
        if not {name.strip() for name in asked.split(",") if name.strip()} <= set(_HEADERS):
            raise Forbidden(f"Pages may send the headers {', '.join(_HEADERS)}, and no other.")
        return Response(
            204,
            [
                (b"access-control-allow-methods", ", ".join(_METHODS).encode()),
                (b"access-control-allow-headers", ", ".join(_HEADERS).encode()),
                (b"access-control-max-age", _SECONDS),
            ],
        )

    def headers(self, scope: Scope) -> Headers:
        """Return what each answer says about who may read it."""
        if not self._origins:
            return []
        is_preflight = _header(scope, b"access-control-request-method") is not None
        vary = (b"vary", _VARY_PREFLIGHT if is_preflight else b"origin")
        allowed = self._allowed(scope)
        if not allowed:
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", b"*"),
        ]

    def _allowed(self, scope: Scope) -> bytes | None:
        """Return the origin of a request, if it may call."""
        origin = _header(scope, b"origin")
        if origin is None or (origin in self._origins and origin != b"*"):
            return origin
        return origin if b"*" in self._origins and _ORIGIN.fullmatch(origin) else None


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
