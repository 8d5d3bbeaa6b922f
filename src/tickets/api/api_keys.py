"""API keys, for admins."""

from tickets import clock, wire
from tickets.clock import parse_rfc3339
from tickets.domain import access, api_keys
from tickets.domain.listings import API_KEYS, where
from tickets.http.context import current
from tickets.shapes.api_keys import api_key as show
from tickets.shapes.api_keys import created_api_key


def list_api_keys(
    *, sort: str, limit: int, cursor: str | None = None, user_id: list[int] | None = None
) -> wire.ApiKeyList:
    """List the keys of the organization."""
    call = current()
    filters = where(organization_id=call.caller.organization_id, user_id=user_id)
    page: wire.ApiKeyList = call.page(API_KEYS, show, where=filters, sort=sort, limit=limit, cursor=cursor)
    return page


def create_api_key(*, body: wire.ApiKeyCreate) -> wire.ApiKeyCreated:
    """Make a key and show it, this once."""
    call = current()
    expires_at = body.get("expires_at")
    record, key = api_keys.grant(
        call.tx,
        call.caller,
        access.key_owner(call.tx, call.caller, body.get("user_id")),
        name=body["name"],
        scopes=body.get("scopes", ["*"]),
        expires_at=None if expires_at is None else parse_rfc3339(expires_at),
    )
    return created_api_key(record, key)


def get_api_key(*, api_key_id: int) -> wire.ApiKey:
    """Show a key by its prefix."""
    call = current()
    return show(access.api_key(call.tx, call.caller, api_key_id))


def rotate_api_key(*, api_key_id: int, body: wire.ApiKeyRotation) -> wire.ApiKeyCreated:
    """Replace a key and show the new one, this once."""
    call = current()
    api_key = access.api_key(call.tx, call.caller, api_key_id)
    user = access.key_owner(call.tx, call.caller, api_key.user_id)
    overlap = body.get("overlap_seconds", 0) * clock.SECOND
    record, key = api_keys.rotate(call.tx, call.caller, api_key, user, overlap=overlap)
    return created_api_key(record, key)


def delete_api_key(*, api_key_id: int) -> None:
    """Revoke a key, at once."""
    call = current()
    api_key = access.api_key(call.tx, call.caller, api_key_id)
    access.managed_user(call.tx, call.caller, api_key.user_id)
    call.expect(api_key)
    api_keys.revoke(call.tx, api_key)
