"""The simulation on the command line: tickets are raised and closed, at once or as time goes by."""

import signal
from random import Random

import click
import structlog

from tickets import clock, logs
from tickets.cli.environment import SLUG, Command, organization_of, ready_database
from tickets.cli.output import json_option, progress, show
from tickets.cli.seed_content import request
from tickets.db import Database, Row
from tickets.domain import access, simulation
from tickets.errors import ServiceUnavailable
from tickets.jobs.schedule import Periodic, Schedule
from tickets.settings import Settings

PATIENCE = 60.0
"""Seconds that a command waits for its turn to write: nobody waits for its answer, as of a request."""
LONGEST_WAIT = 10.0
"""Seconds between two looks at the clock, which may be set anew."""

log = structlog.get_logger("tickets")

_count = click.option("--count", required=True, type=click.IntRange(1, 100_000_000), help="How many.")
_org = click.option("--org", type=SLUG, help="Slug of the organization; the first one by default.")


@click.command(cls=Command)
@_count
@_org
@json_option
def generate(*, count: int, org: str | None, as_json: bool) -> None:
    """Raise random tickets, in the names of an organization's accounts."""
    draw = Random()  # noqa: S311 - a simulation, not a secret
    made = 0
    with ready_database() as database, progress("Tickets", count) as advance:
        organization = _organization(database, org)
        while made < count:
            requests = [request(draw) for _ in range(min(simulation.AT_ONCE, count - made))]
            with database.write(wait=PATIENCE) as tx:
                # Looked up anew: it may be deleted by now.
                simulation.generate(tx, access.organization(tx, organization.id), requests, draw)
            made += len(requests)
            advance(len(requests))
    show(
        {"generated": made, "organization": organization.slug},
        f"{made:,} tickets raised in {organization.slug}.",
        as_json=as_json,
    )


@click.command(cls=Command)
@_count
@_org
@json_option
def process(*, count: int, org: str | None, as_json: bool) -> None:
    """Close the tickets that wait for work, the oldest first.

    However many run at once, each closes others.
    """
    closed: list[int] = []
    with ready_database() as database, progress("Tickets", count) as advance:
        organization = _organization(database, org)
        more = True
        while more and len(closed) < count:
            wanted = min(simulation.AT_ONCE, count - len(closed))
            with database.write(wait=PATIENCE) as tx:
                done = simulation.process(tx, access.organization(tx, organization.id), wanted)
            closed.extend(ticket.id for ticket in done)
            advance(len(done))
            more = len(done) == wanted
    left = "" if more else " None is left."
    show(
        {"processed": len(closed), "ticket_ids": closed, "organization": organization.slug},
        f"{len(closed):,} tickets closed in {organization.slug}.{left}",
        as_json=as_json,
    )


@click.command(cls=Command)
@_org
@json_option
def schedule(*, org: str | None, as_json: bool) -> None:
    """Raise a ticket a minute and close one every five, until SIGTERM or Ctrl-C.

    However many run at once, one ticket a minute is raised, and one closed every five.
    """
    ending = {signal.SIGTERM, signal.SIGINT}
    with ready_database() as database:
        organization = _organization(database, org)
        logs.configure(Settings.from_env())
        desk = Desk(database, organization.id)
        # Waited for, not handled: nothing is ever broken off in its midst.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        try:
            log.info("scheduling", organization=organization.slug)
            seconds = 0.0
            while signal.sigtimedwait(ending, seconds) is None:
                seconds = desk.turn()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    show(
        {"generated": desk.generated, "processed": desk.processed, "organization": organization.slug},
        f"{desk.generated:,} tickets raised, {desk.processed:,} closed in {organization.slug}.",
        as_json=as_json,
    )


class Desk:
    """What `schedule` does as time goes by: each slot of time is taken once, by whichever of them comes first.

    Args:
        database: where.
        organization_id: whose tickets.
    """

    def __init__(self, database: Database, organization_id: int) -> None:
        self.generated = 0
        self.processed = 0
        self._database = database
        self._organization_id = organization_id
        self._draw = Random()  # noqa: S311 - a simulation, not a secret
        self._generate = Periodic(f"generate in {organization_id}", every=clock.MINUTE)
        self._process = Periodic(f"process in {organization_id}", every=5 * clock.MINUTE)
        self._slots = Schedule([self._generate, self._process])

    def turn(self) -> float:
        """Do what is due, in one transaction with the slot it is due in; returns the seconds until the next look.

        Raises:
            NotFound: the organization was deleted.
        """
        try:
            with self._database.read() as tx:
                due = self._slots.due(tx)
            if due:
                self._do(due)
        except ServiceUnavailable as error:
            log.warning("it waits for the database", error=error.detail)
            return 1.0
        return min(LONGEST_WAIT, max(0, min(self._slots.next_at()) - clock.now()) / clock.SECOND)

    def _do(self, due: list[Periodic]) -> None:
        raised: list[Row] = []
        closed: list[Row] = []
        with self._database.write() as tx:
            organization = access.organization(tx, self._organization_id)
            opened = [entry for entry, _ in self._slots.open(tx, due)]
            if self._generate in opened:
                raised = simulation.generate(tx, organization, [request(self._draw)], self._draw)
            if self._process in opened:
                closed = simulation.process(tx, organization, 1)
        self.generated += len(raised)
        self.processed += len(closed)
        for what, tickets in (("raised", raised), ("closed", closed)):
            for ticket in tickets:
                log.info(what, ticket=ticket.id, subject=ticket.subject)


def _organization(database: Database, slug: str | None) -> Row:
    with database.read() as tx:
        return organization_of(tx, slug)
