"""Accounts on the command line."""

import click

from tickets.cli.environment import EMAIL, NAME, ROLE, SLUG, Command, name_from, organization_of, ready_database
from tickets.cli.output import json_option, show
from tickets.domain import users
from tickets.domain.events import SYSTEM
from tickets.shapes.users import user as show_user


@click.command(cls=Command)
@click.option("--org", required=True, type=SLUG, help="Slug of the organization.")
@click.option("--email", required=True, type=EMAIL, help="E-mail, unique in the whole service.")
@click.option("--role", required=True, type=ROLE, metavar="ROLE", help="admin, agent, user or platform.")
@click.option("--name", type=NAME, help="Name; made from the e-mail when left out.")
@json_option
def create_user(*, org: str, email: str, role: str, name: str | None, as_json: bool) -> None:
    """Make an account."""
    with ready_database() as database, database.write() as tx:
        organization = organization_of(tx, org)
        user = users.create(tx, SYSTEM, organization.id, email=email, name=name or name_from(email), role=role)
    show(
        {**show_user(user)},
        f"User {user.id}: {user.name} <{user.email}>, {user.role} of {organization.slug}",
        as_json=as_json,
    )
