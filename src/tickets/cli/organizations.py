"""Organizations on the command line."""

import click

from tickets import ids
from tickets.cli.environment import EMAIL, NAME, SLUG, Command, name_from, ready_database
from tickets.cli.failures import program
from tickets.cli.output import json_option, show
from tickets.db import Row
from tickets.domain import organizations, users
from tickets.domain.events import SYSTEM
from tickets.shapes.organizations import organization as show_organization
from tickets.shapes.users import user as show_user


@click.command(cls=Command)
@click.option("--name", required=True, type=NAME, help="Name of the organization.")
@click.option("--email", required=True, type=EMAIL, help="E-mail of its first user, who becomes an admin.")
@click.option("--user-name", type=NAME, help="Name of that user; made from the e-mail when left out.")
@click.option("--slug", type=SLUG, help="Short name for addresses; made from the name when left out.")
@json_option
def create_org(*, name: str, email: str, user_name: str | None, slug: str | None, as_json: bool) -> None:
    """Found an organization with its first user, an admin."""
    with ready_database() as database, database.write() as tx:
        organization = organizations.create(tx, name=name, slug=slug)
        user = users.create(tx, SYSTEM, organization.id, email=email, name=user_name or name_from(email), role="admin")
    show(
        {"organization": show_organization(organization), "user": show_user(user)},
        f"Organization {organization.id}: {organization.name}",
        f"Slug: {_origin(organization, slug)}",
        f"Admin {user.id}: {user.name} <{user.email}>",
        f"Next: {program()} create-api-key --email {user.email}",
        as_json=as_json,
    )


def _origin(organization: Row, chosen: str | None) -> str:
    """Tell the slug, and why it is this one when nobody chose it."""
    slug: str = organization.slug
    if chosen is not None:
        return slug
    own = ids.slug(organization.name)
    if slug != own:
        why = f"since {own} is taken"
    elif ids.slug(f"{organization.name} x") == "x":  # nothing else of it was left
        why = "since the name has no Latin letters or digits"
    else:
        why = "made from the name"
    return f"{slug}, {why}; --slug chooses another."
