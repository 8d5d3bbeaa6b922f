"""Who is asking: an API key becomes a Principal, from either header, for Connexion's security layer."""

from collections.abc import Callable
from typing import Any

from connexion.security import NO_VALUE, ApiKeySecurityHandler, BearerSecurityHandler

from tickets.domain import api_keys
from tickets.errors import Unauthorized
from tickets.http.exchange import exchange_of
from tickets.http.transaction import Reader, Writer


class Authenticator:
    """Looks keys up.

    Args:
        reader: where to look.
        writer: notes the use of a key.
    """

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer
        self._touching: set[int] = set()

    async def __call__(self, key: str, scope: Any) -> dict[str, Any]:
        """Find out whose key it is.

        Returns:
            Connexion's token info, with the Principal under ``caller``.

        Raises:
            Unauthorized: the key is unknown, revoked or expired, or its user deactivated.
        """
        found = api_keys.authenticate(self._reader.single(), key)
        if found is None:
            raise Unauthorized("The API key is not valid: it is unknown, expired or revoked.")
        caller, touch_due = found
        exchange = exchange_of(scope)
        exchange.user_id = caller.user_id
        if touch_due and caller.api_key_id not in self._touching:
            self._touching.add(caller.api_key_id)
            noted = self._writer.soon(lambda tx: api_keys.touch(tx, caller.api_key_id))
            noted.add_done_callback(lambda _: self._touching.discard(caller.api_key_id))
        return {"sub": caller.user_id, "caller": caller}


def security_map(authenticate: Authenticator) -> dict[str, type]:
    """Make Connexion's security handlers, which read the header themselves and inspect nothing per call."""

    class KeyHeader(ApiKeySecurityHandler):  # type: ignore[misc]  # connexion ships no types
        def get_fn(self, security_scheme: dict[str, Any], _scopes: list[str]) -> Callable[[Any], Any]:
            name = security_scheme["name"].lower().encode()

            def verify(request: Any) -> Any:
                values = _header(request.scope, name)
                return authenticate(values[0], request.scope) if values else NO_VALUE

            return verify

    class BearerHeader(BearerSecurityHandler):  # type: ignore[misc]  # connexion ships no types
        def get_fn(self, _scheme: dict[str, Any], _scopes: list[str]) -> Callable[[Any], Any]:
            def verify(request: Any) -> Any:
                values = _header(request.scope, b"authorization")
                if not values:
                    return NO_VALUE
                kind, _, token = values[0].partition(" ")
                if kind.lower() != "bearer" or not token.strip():
                    raise Unauthorized("Write the header as `Authorization: Bearer <key>`.")
                return authenticate(token.strip(), request.scope)

            return verify

    return {"apiKey": KeyHeader, "bearer": BearerHeader}


def _header(scope: Any, name: bytes) -> list[str]:
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Unauthorized(f"The header {name.decode()} was sent more than once; send it once.")
    return values
