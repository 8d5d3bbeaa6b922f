"""API keys on the command line: made, listed, revoked."""

import re
from typing import Any

import click
from sqlalchemy import bindparam, select

from tickets import clock
from tickets.cli.environment import (
    EMAIL,
    NAME,
    SLUG,
    Command,
    Contracted,
    allowed,
    duration,
    organization_of,
    ready_database,
    user_of,
)
from tickets.cli.failures import Failure, program
from tickets.cli.output import json_option, show, table
from tickets.db import Row, Statement, Transaction
from tickets.domain import access, api_keys
from tickets.models import ApiKey, Organization, User
from tickets.settings import MAX_DAYS
from tickets.shapes import moment
from tickets.shapes.api_keys import api_key as show_api_key
from tickets.shapes.api_keys import created_api_key

_PREFIX = re.compile(r"(tk_[a-z0-9]{8})(?:_.*)?", re.ASCII)

_ALL = (
    select(*ApiKey.__table__.c, User.email, Organization.slug)
    .join(User, User.id == ApiKey.user_id)
    .join(Organization, Organization.id == ApiKey.organization_id)
    .where(Organization.deleted_at.is_(None))
    .order_by(ApiKey.id)
)
_LISTS = {
    (False, False): Statement(_ALL),
    (True, False): Statement(_ALL.where(ApiKey.organization_id == bindparam("org"))),
    (False, True): Statement(_ALL.where(ApiKey.user_id == bindparam("user"))),
    (True, True): Statement(
        _ALL.where(ApiKey.organization_id == bindparam("org"), ApiKey.user_id == bindparam("user"))
    ),
}
_PRESENT = (
    select(*ApiKey.__table__.c)
    .join(Organization, Organization.id == ApiKey.organization_id)
    .where(Organization.deleted_at.is_(None))
)
_BY_ID = Statement(_PRESENT.where(ApiKey.id == bindparam("key_id")))
_BY_PREFIX = Statement(_PRESENT.where(ApiKey.prefix == bindparam("prefix")))


class _Scopes(click.ParamType[list[str]]):
    name = "a,b"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        scopes = list(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
        known = allowed("Scope")
        for scope in scopes:
            if scope not in known:
                self.fail(f"{scope!r} is no scope; use some of {', '.join(known)}.", param, ctx)
        if not scopes:
            self.fail(f"it names no scope; use some of {', '.join(known)}.", param, ctx)
        return scopes


class _Expiry(click.ParamType[int]):
    name = "90d|time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        now = clock.now()
        length = duration(value)
        if length is not None:
            if length > MAX_DAYS * clock.DAY:
                self.fail(f"{value!r} is too far away; use at most {MAX_DAYS}d, or leave it out for ever.", param, ctx)
            return now + length
        if not clock.is_rfc3339(value):
            self.fail(f"{value!r} cannot be used; write 90d, 12h or 2027-01-31T00:00:00Z.", param, ctx)
        expires_at = clock.parse_rfc3339(value)
        if expires_at <= now:
            self.fail(f"{value!r} is in the past; choose a later time.", param, ctx)
        return expires_at


# The contract's pattern, not the wider one of settings: what a key has, the API must be able to show.
_RATE = Contracted("ApiKeyRateLimit", "write it like 1000/second, 60/minute, 500/hour or 5000/day")


@click.command(cls=Command)
@click.option("--email", required=True, type=EMAIL, help="E-mail of the user it speaks for.")
@click.option("--org", type=SLUG, help="Slug of the user's organization, to be sure it is the right one.")
@click.option("--name", type=NAME, default="Command line", show_default=True, help="What it is for.")
@click.option(
    "--scopes", type=_Scopes(), help="What it can be used for, like tickets:read,comments:read; all by default."
)
@click.option("--rate-limit", type=_RATE, metavar="RATE", help="Its own limit, like 1000/second.")
@click.option("--expires", type=_Expiry(), help="When it ends, like 90d or 2027-01-31T00:00:00Z; never by default.")
@json_option
def create_api_key(
    *,
    email: str,
    org: str | None,
    name: str,
    scopes: list[str] | None,
    rate_limit: str | None,
    expires: int | None,
    as_json: bool,
) -> None:
    """Make an API key; it is shown this once."""
    with ready_database() as database, database.write() as tx:
        user = access.active(user_of(tx, email, None if org is None else organization_of(tx, org)), "email")
        row, key = api_keys.create(tx, user, name=name, scopes=scopes, rate_limit=rate_limit, expires_at=expires)
    show(
        {**created_api_key(row, key)},
        f"API key {row.id} of {user.email}: {', '.join(row.scopes)}; ends: {moment(row.expires_at) or 'never'}",
        key,
        "Keep it now: only its hash is stored, so it cannot be shown again.",
        as_json=as_json,
    )


@click.command(cls=Command)
@click.option("--org", type=SLUG, help="Only those of an organization.")
@click.option("--email", type=EMAIL, help="Only those of a user.")
@json_option
def list_api_keys(*, org: str | None, email: str | None, as_json: bool) -> None:
    """List API keys, revoked ones too."""
    with ready_database() as database, database.read() as tx:
        organization = None if org is None else organization_of(tx, org)
        user = None if email is None else user_of(tx, email, organization)
        statement = _LISTS[organization is not None, user is not None]
        rows = tx.all(statement, org=organization and organization.id, user=user and user.id)
    if as_json:
        show({"data": [_with_owner(row) for row in rows]}, as_json=True)
    elif not rows:
        show({}, f"There are none; make one with `{program()} create-api-key --email E`.", as_json=False)
    else:
        table(
            ("ID", "PREFIX", "NAME", "USER", "ORGANIZATION", "SCOPES", "RATE LIMIT", "LAST USED", "STATE"),
            [_cells(row, clock.now()) for row in rows],
            names=2,
        )


def _with_owner(row: Row) -> dict[str, Any]:
    return {
        **show_api_key(row),
        "email": row.email,
        "organization": row.slug,
        "revoked_at": moment(row.revoked_at),
    }


def _cells(row: Row, now: int) -> tuple[str, ...]:
    if row.revoked_at is not None:
        state = f"revoked {moment(row.revoked_at)}"
    elif row.expires_at is None:
        state = "active"
    else:
        state = f"{'expired' if row.expires_at <= now else 'active until'} {moment(row.expires_at)}"
    return (
        str(row.id),
        row.prefix,
        row.name,
        row.email,
        row.slug,
        " ".join(row.scopes),
        row.rate_limit or "usual",
        moment(row.last_used_at) or "never",
        state,
    )


@click.command(cls=Command)
@click.argument("id_or_prefix")
@json_option
def revoke_api_key(*, id_or_prefix: str, as_json: bool) -> None:
    """End an API key at once.

    ID_OR_PREFIX is what `list-api-keys` shows: 12 or tk_ab12cd34.
    """
    with ready_database() as database, database.write() as tx:
        row = _key(tx, id_or_prefix)
        done = row.revoked_at is not None
        if not done:
            api_keys.revoke(tx, row)
            row = tx.one(_BY_ID, key_id=row.id)
    show(
        {**show_api_key(row), "revoked_at": moment(row.revoked_at)},
        f"API key {row.id} ({row.prefix}) {'was revoked already' if done else 'is revoked'}.",
        as_json=as_json,
    )


def _key(tx: Transaction, id_or_prefix: str) -> Row:
    prefix = _PREFIX.fullmatch(id_or_prefix)
    if prefix is not None:
        found = tx.all(_BY_PREFIX, prefix=prefix[1])
    elif id_or_prefix.isascii() and id_or_prefix.isdigit() and int(id_or_prefix) < 2**63:
        found = tx.all(_BY_ID, key_id=int(id_or_prefix))
    else:
        raise Failure("Name the API key by its id or prefix, like 12 or tk_ab12cd34.")
    if not found:
        raise Failure(f"There is no such API key; `{program()} list-api-keys` shows all.", code="not_found")
    if len(found) > 1:
        raise Failure(f"Several API keys begin like this; use an id: {', '.join(str(row.id) for row in found)}.")
    return found[0]
