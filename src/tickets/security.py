"""Who is asking: an API key or an access token becomes a Principal, for Connexion's security layer."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
from connexion.security import NO_VALUE, ApiKeySecurityHandler, BearerSecurityHandler

from tickets import clock
from tickets.db import Transaction
from tickets.domain import api_keys, sessions
from tickets.domain.access import Principal
from tickets.errors import Unauthorized
from tickets.http.exchange import exchange_of
from tickets.http.transaction import Reader, Writer

_ALGORITHM = "HS256"
_ISSUER = "ticketing-api"
_LONGEST = 2_000
"""Characters of the longest token that is looked at."""


class AccessTokens:
    """Writes and reads access tokens: JSON Web Tokens (RFC 7519) that name a session.

    Which algorithm and which key count is ours to say, never the token's (RFC 8725, 3.1).

    Args:
        secrets: of the service; the first signs, all are accepted.
        lifetime: seconds a token is good for, at most.
    """

    def __init__(self, secrets: list[bytes], lifetime: int) -> None:
        keys = [hashlib.sha256(b"access token:" + secret).digest() for secret in secrets]
        self._keys = {hashlib.sha256(key).hexdigest()[:16]: key for key in keys}
        self._current = next(iter(self._keys))
        self._lifetime = lifetime

    def write(self, session_id: int, user_id: int, *, ends_at: int) -> tuple[str, int]:
        """Make a token for a session, which does not outlive it.

        Args:
            session_id: the session.
            user_id: whose it is.
            ends_at: when the session ends.

        Returns:
            The token, and the seconds it is good for.
        """
        now = clock.now() // clock.SECOND
        lifetime = max(1, min(self._lifetime, ends_at // clock.SECOND - now))
        claims = {
            "iss": _ISSUER,
            "aud": _ISSUER,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": now,
            "exp": now + lifetime,
        }
        token = jwt.encode(claims, self._keys[self._current], _ALGORITHM, headers={"kid": self._current})
        return token, lifetime

    def read(self, token: str) -> int | None:
        """Return the session that a token names; None for a token that is not ours, or not good any more."""
        if len(token) > _LONGEST:
            return None
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                audience=_ISSUER,
                options={
                    "require": ["exp", "iat", "iss", "aud", "sub", "sid"],
                    # There is one clock here, and it is not the library's.
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            now = clock.now() / clock.SECOND
            is_good = claims["iat"] <= now < claims["exp"] and claims.get("nbf", 0) <= now
            return int(claims["sid"]) if is_good else None
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            return None


class Authenticator:
    """Looks keys and sessions up.

    Args:
        reader: where to look.
        writer: notes the use of a key.
        tokens: reads access tokens.
    """

    def __init__(self, reader: Reader, writer: Writer, tokens: AccessTokens) -> None:
        self._reader = reader
        self._writer = writer
        self._tokens = tokens
        self._touching: set[int] = set()

    async def by_key(self, key: str, scope: Any) -> dict[str, Any]:
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
        if touch_due and caller.api_key_id is not None:
            self._touch(caller.api_key_id)
        return _known(caller, scope)

    async def by_bearer(self, token: str, scope: Any) -> dict[str, Any]:
        """Find out whose access token it is, or whose key.

        Raises:
            Unauthorized: the token is not ours, has expired, or its session is over.
        """
        if token.startswith("tk_"):
            return await self.by_key(token, scope)
        session_id = self._tokens.read(token)
        found = None if session_id is None else sessions.find(self._reader.single(), session_id)
        if found is None:
            raise Unauthorized("The token is not valid: it is not ours, has expired, or its session is over.")
        caller = Principal(
            user_id=found.user_id,
            organization_id=found.organization_id,
            role=found.role,
            name=found.name,
            scopes=frozenset({"*"}),
            session_id=found.id,
            is_verified=found.email_verified_at is not None,
        )
        return _known(caller, scope)

    async def caller_of(self, scope: Any) -> Principal | None:
        """Find out who asks, of a request that no operation answers; None when no valid credentials came."""
        ways = ((_key, self.by_key), (_bearer, self.by_bearer))
        for read, find in ways:
            try:
                credential = read(scope)
                if credential is not None:
                    caller: Principal = (await find(credential, scope))["caller"]
                    return caller
            except Unauthorized:
                continue
        return None

    def _touch(self, key_id: int) -> None:
        if key_id not in self._touching:
            self._touching.add(key_id)
            noted = self._writer.soon(lambda tx: api_keys.touch(tx, key_id))
            noted.add_done_callback(lambda _: self._touching.discard(key_id))


def _known(caller: Principal, scope: Any) -> dict[str, Any]:
    exchange = exchange_of(scope)
    exchange.user_id = caller.user_id
    exchange.organization_id = caller.organization_id
    exchange.api_key_id = caller.api_key_id
    exchange.session_id = caller.session_id
    return {"sub": caller.user_id, "caller": caller}


def confirm(tx: Transaction, caller: Principal) -> Principal:
    """Look within a write who its caller is by now: what went before it may have ended the key or session.

    Raises:
        Unauthorized: the key was revoked, the session ended, or the user deactivated, or one of them deleted,
            perhaps with the organization.
    """
    if caller.session_id is not None:
        session = sessions.find(tx, caller.session_id)
        role = None if session is None else session.role
    else:
        role = api_keys.role_of(tx, caller.api_key_id)
    if role is None:
        raise Unauthorized("What you signed in with is not valid any more: it was revoked in the meantime.")
    return caller if role == caller.role else replace(caller, role=role)


def security_map(authenticator: Authenticator) -> dict[str, type]:
    """Make Connexion's security handlers, which read the header themselves and inspect nothing per call."""

    class KeyHeader(ApiKeySecurityHandler):  # type: ignore[misc]  # connexion ships no types
        def get_fn(self, _scheme: dict[str, Any], _scopes: list[str]) -> Callable[[Any], Any]:
            def verify(request: Any) -> Any:
                key = _key(request.scope)
                return NO_VALUE if key is None else authenticator.by_key(key, request.scope)

            return verify

    class BearerHeader(BearerSecurityHandler):  # type: ignore[misc]  # connexion ships no types
        def get_fn(self, _scheme: dict[str, Any], _scopes: list[str]) -> Callable[[Any], Any]:
            def verify(request: Any) -> Any:
                token = _bearer(request.scope)
                return NO_VALUE if token is None else authenticator.by_bearer(token, request.scope)

            return verify

    return {"apiKey": KeyHeader, "bearer": BearerHeader}


def _key(scope: Any) -> str | None:
    return _header(scope, b"x-api-key")


def _bearer(scope: Any) -> str | None:
    value = _header(scope, b"authorization")
    if value is None:
        return None
    kind, _, token = value.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthorized("Write the header as `Authorization: Bearer <token or key>`.")
    return token.strip()


def _header(scope: Any, name: bytes) -> str | None:
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Unauthorized(f"The header {name.decode()} was sent more than once; send it once.")
    return values[0] if values else None
