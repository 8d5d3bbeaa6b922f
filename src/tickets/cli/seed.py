"""Believable data in any amount, written in batches that let a running service write in between."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import add
from types import SimpleNamespace
from typing import Any

import click
from sqlalchemy import bindparam, func, insert, select, update

from tickets import ids
from tickets.cli import seed_content as content
from tickets.cli.environment import SLUG, Command, organization_of, ready_database
from tickets.cli.failures import Failure
from tickets.cli.output import json_option, progress, show
from tickets.cli.seed_process import Teller, teller
from tickets.db import Bulk, Database, Row, Statement, Transaction
from tickets.domain import indexing, organizations, sla_policies, tags, tallies, teams, users
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
_ADD_TICKETS = Bulk(Ticket.__table__, ("number", *content.TICKET))
_ADD_COMMENTS = Bulk(Comment.__table__, ("ticket_id", *content.COMMENT))
_DATE_ORGANIZATION = Statement(
    update(Organization)
    .where(Organization.id == bindparam("of"))
    .values(created_at=bindparam("moment"), updated_at=bindparam("moment"))
)
_CONTACTS = Statement(
    select(Contact.email, Contact.id).where(
        Contact.organization_id == bindparam("of"),
        Contact.email.in_(select(func.json_each(bindparam("emails")).table_valued("value").c.value)),
    )
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
    with ready_database() as database, teller(tickets) as tell:
        into = _organizations(database, org, organizations, seed, counts)
        began = time.perf_counter()
        with progress("Tickets", tickets) as advance:
            for index, organization in enumerate(into):
                share = tickets // len(into) + (index < tickets % len(into))
                if share:
                    _fill(
                        database, organization, share, seed=seed, index=index, tell=tell, counts=counts, advance=advance
                    )
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
    tell: Teller,
    counts: Counts,
    advance: Callable[[int], None],
) -> None:
    with database.write() as tx:
        cast = _cast(tx, organization, total, seed, counts)
    story = content.Story(seed, index, cast, total)
    # Made up before the transaction is opened: nobody waits for our imagination.
    for batch in tell(story, BATCH):
        with database.write() as tx:
            _store(tx, organization.id, batch)
        counts.tickets += len(batch.tickets)
        counts.comments += len(batch.comments)
        advance(len(batch.tickets))


def _store(tx: Transaction, organization_id: int, batch: content.Batch) -> None:
    last = organizations.count_up(tx, organization_id, "tickets", step=len(batch.tickets))
    first = last - len(batch.tickets) + 1
    tx.bulk(_ADD_TICKETS, map(add, zip(range(first, last + 1)), batch.tickets))
    tags.spread_numbered(tx, organization_id, first, last)
    made = [row.id for row in tx.all(_NUMBERED, of=organization_id, first=first, last=last)]
    tallies.add(tx, organization_id, map(content.TALLIED, batch.tickets))
    tx.bulk(_ADD_COMMENTS, ((made[place], *said) for place, *said in batch.comments))
    indexing.index(tx, made[0], made[-1])


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
        # Plain, as they go to another process.
        policies=[SimpleNamespace(**policy._asdict()) for policy in sla_policies.of(tx, organization.id)],
    )


def _user(tx: Transaction, organization: Row, person: content.Person, role: str, moment: int, counts: Counts) -> Row:
    found = users.by_email(tx, person.email)
    if found is None:
        users.let_go(tx, person.email)
        times = dict.fromkeys(("created_at", "updated_at", "email_verified_at"), moment)
        tx.run(_ADD_USER, **person._asdict(), organization_id=organization.id, role=role, **times)
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
    emails = json.dumps([person.email for person in people])
    there = {row.email for row in tx.all(_CONTACTS, of=organization.id, emails=emails)}
    missing = [person for person in people if person.email not in there]
    values = {"organization_id": organization.id, "external_id": None, "created_at": moment, "updated_at": moment}
    tx.many(_ADD_CONTACT, [{**person._asdict(), **values} for person in missing])
    counts.contacts += len(missing)
    made = {row.email: row.id for row in tx.all(_CONTACTS, of=organization.id, emails=emails)}
    return [made[person.email] for person in people]
