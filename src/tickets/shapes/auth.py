"""Who is asking, as the contract shows it."""

from collections.abc import Iterable
from typing import Any

from tickets import wire
from tickets.db import Row
from tickets.shapes.organizations import organization as show_organization
from tickets.shapes.users import user as show_user


def me(user: Row, organization: Row, scopes: Iterable[Any]) -> wire.Me:
    """Show the account that speaks, with its organization and what it may be used for."""
    return {**show_user(user), "organization": show_organization(organization), "scopes": sorted(scopes)}
