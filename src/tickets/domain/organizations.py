"""Founding, changing and deleting organizations."""

import secrets
from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

from sqlalchemy import bindparam, insert, select, update

from tickets import clock, ids
from tickets.db import Row, Statement, Transaction
from tickets.domain import jobs, records
from tickets.errors import InputError, InvalidRequest
from tickets.models import Counter, Organization

ERASE = "erase_organizations"
"""The job that removes, bite by bite, what belongs to organizations that are deleted."""
DEFAULT_SETTINGS = {"timezone": "UTC", "allow_self_registration": False, "require_verified_email": False}

COUNTERS = ("tickets", "events", "events_purged")
"""The number of the last ticket, of the last event, and of the last event that was deleted since nobody needs it."""

_BY_SLUG = Statement(select(*Organization.__table__.c).where(Organization.slug == bindparam("slug")))
_START_COUNTER = Statement(
    insert(Counter).values(organization_id=bindparam("organization_id"), name=bindparam("name"), value=0)
)
_counted = (Counter.organization_id == bindparam("of"), Counter.name == bindparam("counter"))
_COUNTED = Statement(select(Counter.value).where(*_counted))
_RAISE = Statement(
    update(Counter).where(*_counted, Counter.value < bindparam("reached")).values(value=bindparam("reached"))
)
_COUNT_UP = Statement(
    update(Counter).where(*_counted).values(value=Counter.value + bindparam("step")).returning(Counter.value)
)


def create(tx: Transaction, *, name: str, slug: str | None = None, settings: Mapping[str, Any] | None = None) -> Row:
    """Found an organization; without a slug one is made from the name."""
    if slug is None:
        slug = _free_slug(tx, ids.slug(name))
    chosen = _settings({**DEFAULT_SETTINGS, **(settings or {})})
    organization = records.add(tx, Organization, name=name, slug=slug, settings=chosen, deleted_at=None)
    for counter in COUNTERS:
        tx.run(_START_COUNTER, organization_id=organization.id, name=counter)
    return organization


def _free_slug(tx: Transaction, base: str) -> str:
    """Choose a slug that nobody has: with a number behind it, or where those are taken too, something random."""
    for slug in (base, *(f"{base[:50]}-{number}" for number in range(2, 10))):
        if by_slug(tx, slug) is None:
            return slug
    return f"{base[:50]}-{secrets.token_hex(4)}"


def change(tx: Transaction, organization: Row, changes: Mapping[str, Any]) -> Row:
    """Rename an organization or change some of its settings."""
    changes = dict(changes)
    if "settings" in changes:
        changes["settings"] = _settings({**organization.settings, **changes["settings"]})
    return records.change(tx, Organization, organization, changes)


def given_by(organization: Row, changes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the roles that strangers get by a change, each with the field that gives it.

    Whoever joins by themselves is a user; whoever may sign in without a verified address has any role.
    """
    before, after = organization.settings, {**organization.settings, **changes.get("settings", {})}
    gives = {
        ("user", "settings/allow_self_registration"): not before["allow_self_registration"]
        and after["allow_self_registration"],
        ("admin", "settings/require_verified_email"): before["require_verified_email"]
        and not after["require_verified_email"],
    }
    return [one for one, is_given in gives.items() if is_given]


def remove(tx: Transaction, organization: Row) -> None:
    """Delete an organization: for everybody at once, whatever its size.

    Its keys, sessions and passwords open nothing from the commit on, since whoever looks one up looks at
    `deleted_at`; its slug is free, and so are the addresses of its users (`users.let_go`). The rows go in a job.
    """
    slug = f"deleted {organization.id}"  # with a space: none that anybody can choose
    records.change(tx, Organization, organization, {"deleted_at": clock.now(), "slug": slug})
    jobs.enqueue(tx, ERASE, {})


def by_slug(tx: Transaction, slug: str) -> Row | None:
    """Find an organization by the name in its addresses."""
    return tx.first(_BY_SLUG, slug=slug)


def count_up(tx: Transaction, organization_id: int, counter: str, step: int = 1) -> int:
    """Take the next `step` numbers of a counter of the organization, without gaps; returns the last."""
    value: int = tx.one(_COUNT_UP, of=organization_id, counter=counter, step=step).value
    return value


def counted(tx: Transaction, organization_id: int, counter: str) -> int:
    """Return how far a counter of the organization is."""
    value: int = tx.one(_COUNTED, of=organization_id, counter=counter).value
    return value


def raise_to(tx: Transaction, organization_id: int, counter: str, value: int) -> None:
    """Let a counter be no less than a value; an organization that is being erased may have none any more."""
    tx.run(_RAISE, of=organization_id, counter=counter, reached=value)


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    if settings["timezone"] not in available_timezones():
        detail = "is no IANA time zone; use one like Europe/Vienna"
        raise InvalidRequest("The time zone is unknown.", errors=[InputError("/settings/timezone", detail)])
    return settings
