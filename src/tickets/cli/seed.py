"""Believable data in any amount, written in batches that let a running service write in between."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click
from sqlalchemy import Text, bindparam, insert, select, update

from tickets import ids
from tickets.cli import seed_content as content
from tickets.cli.environment import SLUG, Command, organization_of, ready_database
from tickets.cli.failures import Failure
from tickets.cli.output import json_option, progress, show
from tickets.db import Database, Row, Statement, Transaction
from tickets.domain import organizations, teams, users
from tickets.models import Base, Comment, Contact, Organization, Team, Ticket, User

BATCH = 5_000
"""Tickets to one transaction: a tenth of a second or two, after which others have their turn."""


def _insert(model: type[Base], **given: Any) -> Statement:
    """Insert all columns but the id; unlike records.add, times are given."""
    values: dict[str, Any] = {
        column.name: bindparam(column.name) for column in model.__table__.c if column.name != "id"
    }
    return Statement(insert(model).values({**values, **given}))


_ADD_USER = _insert(User, is_active=True, version=1)
_ADD_TEAM = _insert(Team, version=1)
_ADD_CONTACT = _insert(Contact, user_id=None, attributes={}, version=1)
# Their JSON comes as text already; the JSON type would write it once more for each row.
_ADD_TICKET = _insert(
    Ticket,
    source="import",
    tags=bindparam("tags", type_=Text()),
    custom_fields=bindparam("custom_fields", type_=Text()),
)
_ADD_COMMENT = _insert(Comment, version=1)
_DATE_ORGANIZATION = Statement(
    update(Organization)
    .where(Organization.id == bindparam("of"))
    .values(created_at=bindparam("moment"), updated_at=bindparam("moment"))
)
_CONTACT = Statement(
    select(Contact.id).where(Contact.organization_id == bindparam("of"), Contact.email == bindparam("email"))
)
_TEAM = Statement(
    select(*Team.__table__.c).where(Team.organization_id == bindparam("of"), Team.name == bindparam("name"))
)
_NUMBERED = Statement(
    select(Ticket.id)
    .where(Ticket.organization_id == bindparam("of"), Ticket.number.between(bindparam("first"), bindparam("last")))
    .order_by(Ticket.number)
)


@dataclass
class Counts:
    """How much was made; what was there already is not counted."""

    organizations: int = 0
    users: int = 0
    teams: int = 0
    contacts: int = 0
    tickets: int = 0
    comments: int = 0


@click.command(cls=Command)
@click.option("--tickets", default=1_000, show_default=True, type=click.IntRange(1, 100_000_000), help="How many.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Decides what is made.")
@click.option("--org", type=SLUG, help="Slug of the organization; the first one by default.")
@click.option(
    "--organizations", type=click.IntRange(1, 10_000), help="Spread over so many organizations, made when missing."
)
@json_option
def seed_data(*, tickets: int, seed: int, org: str | None, organizations: int | None, as_json: bool) -> None:
    """Fill an organization with believable tickets; the same seed gives the same data."""
    if org is not None and organizations is not None:
        raise Failure("Give --org or --organizations, not both.")
    counts = Counts()
    with ready_database() as database:
        into = _organizations(database, org, organizations, seed, counts)
        began = time.perf_counter()
        with progress("Tickets", tickets) as advance:
            for index, organization in enumerate(into):
                share = tickets // len(into) + (index < tickets % len(into))
                if share:
                    _fill(database, organization, share, seed=seed, index=index, counts=counts, advance=advance)
        seconds = time.perf_counter() - began
    names = into[0].slug if len(into) == 1 else f"{into[0].slug} and {len(into) - 1} more"
    rate = round(counts.tickets / seconds)
    show(
        {
            **asdict(counts),
            "seed": seed,
            "into": [organization.slug for organization in into],
            "seconds": round(seconds, 3),
            "tickets_per_second": rate,
        },
        f"{counts.tickets:,} tickets and {counts.comments:,} comments for {names}, in {seconds:.1f} s ({rate:,}/s).",
        f"New besides: {counts.organizations} organizations, {counts.users} users, {counts.teams} teams, "
        f"{counts.contacts} contacts.",
        as_json=as_json,
    )


def _organizations(database: Database, slug: str | None, count: int | None, seed: int, counts: Counts) -> list[Row]:
    if count is None:
        with database.read() as tx:
            return [organization_of(tx, slug)]
    with database.write() as tx:
        return [_organization(tx, content.company(index), seed, counts) for index in range(count)]


def _organization(tx: Transaction, name: str, seed: int, counts: Counts) -> Row:
    slug = ids.slug(name)
    found = organizations.by_slug(tx, slug)
    if found is not None:
        return found
    made = organizations.create(tx, name=name, slug=slug)
    moment = content.start(seed)
    tx.run(_DATE_ORGANIZATION, of=made.id, moment=moment)
    admin = content.Person(f"Admin of {name}"[:200], f"admin@{slug}.example")
    _user(tx, made, admin, "admin", moment, counts)
    counts.organizations += 1
    return made


def _fill(
    database: Database,
    organization: Row,
    total: int,
    *,
    seed: int,
    index: int,
    counts: Counts,
    advance: Callable[[int], None],
) -> None:
    with database.write() as tx:
        cast = _cast(tx, organization, total, seed, counts)
    story = content.Story(seed, index, cast, total)
    # Made up before the transaction is opened: nobody waits for our imagination.
    while drafts := story.next(BATCH):
        with database.write() as tx:
            counts.comments += _store(tx, organization.id, drafts)
        counts.tickets += len(drafts)
        advance(len(drafts))


def _store(tx: Transaction, organization_id: int, drafts: list[content.Draft]) -> int:
    last = organizations.count_up(tx, organization_id, "tickets", step=len(drafts))
    first = last - len(drafts) + 1
    for number, draft in enumerate(drafts, first):
        draft.ticket["number"] = number
    tx.many(_ADD_TICKET, [draft.ticket for draft in drafts])
    numbered = tx.all(_NUMBERED, of=organization_id, first=first, last=last)
    said = []
    for row, draft in zip(numbered, drafts, strict=True):
        for comment in draft.comments:
            comment["ticket_id"] = row.id
            said.append(comment)
    tx.many(_ADD_COMMENT, said)
    return len(said)


def _cast(tx: Transaction, organization: Row, total: int, seed: int, counts: Counts) -> content.Cast:
    moment = content.start(seed)
    agents = [
        _user(tx, organization, person, "agent", moment, counts) for person in content.agents(seed, organization.slug)
    ]
    made = [_team(tx, organization, name, moment, counts) for name in content.TEAMS]
    for place, agent in enumerate(agents):
        teams.add_member(tx, made[place % len(made)], agent)
    people = content.contacts(seed, max(10, min(content.MOST_CONTACTS, total // 20)))
    return content.Cast(
        organization_id=organization.id,
        agents=[agent.id for agent in agents],
        contacts=_contacts(tx, organization, people, moment, counts),
        teams=[team.id for team in made],
    )


def _user(tx: Transaction, organization: Row, person: content.Person, role: str, moment: int, counts: Counts) -> Row:
    found = users.by_email(tx, person.email)
    if found is None:
        values = {"organization_id": organization.id, "role": role, "created_at": moment, "updated_at": moment}
        tx.run(_ADD_USER, **person._asdict(), **values)
        counts.users += 1
        found = users.by_email(tx, person.email)
    elif found.organization_id != organization.id:
        raise Failure(f"The e-mail {person.email} is taken in another organization; choose another --seed.")
    return found


def _team(tx: Transaction, organization: Row, name: str, moment: int, counts: Counts) -> Row:
    found = tx.first(_TEAM, of=organization.id, name=name)
    if found is None:
        values = {"description": content.TEAMS[name], "created_at": moment, "updated_at": moment}
        tx.run(_ADD_TEAM, organization_id=organization.id, name=name, **values)
        counts.teams += 1
        found = tx.one(_TEAM, of=organization.id, name=name)
    return found


def _contacts(
    tx: Transaction, organization: Row, people: list[content.Person], moment: int, counts: Counts
) -> list[int]:
    missing = [person for person in people if tx.first(_CONTACT, of=organization.id, email=person.email) is None]
    values = {"organization_id": organization.id, "external_id": None, "created_at": moment, "updated_at": moment}
    tx.many(_ADD_CONTACT, [{**person._asdict(), **values} for person in missing])
    counts.contacts += len(missing)
    return [tx.one(_CONTACT, of=organization.id, email=person.email).id for person in people]
