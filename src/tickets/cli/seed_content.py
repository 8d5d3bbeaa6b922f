"""What `seed-data` makes up: companies, people, and tickets with a life that fits together.

Everything follows from the seed, times too: they begin at a fixed day, so that the same seed gives the same
data on every day and every machine. Only what has passed on the clocks of a ticket is as it is on the day.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from operator import itemgetter
from random import Random
from typing import Any, NamedTuple

from tickets import clock
from tickets.domain import sla, sla_policies

EPOCH = clock.parse_rfc3339("2024-01-01T08:00:00Z")
"""Where the story of every organization begins; the seed moves it by less than a day."""

SPAN = 540 * clock.DAY
"""How long tickets come in."""

TEAMS = {
    "Support": "First line.",
    "Billing": "Invoices, payments and contracts.",
    "Field Service": "Visits customers on site.",
    "Infrastructure": "Networks, servers and accounts.",
}
AGENTS = 12
MOST_CONTACTS = 5_000


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


_FIRST = _words(
    "Maria, Noah, Lena, Omar, Sofia, Jonas, Amina, Lukas, Yuki, Elias, Chloe, Mateo, Ines, Viktor, Priya, Daniel, "
    "Hanna, Samuel, Aisha, Felix, Nora, Kofi, Clara, Ivan, Mei, Oscar, Leila, Hugo, Zoe, Tomas"
)
_LAST = _words(
    "Lopez, Fischer, Okafor, Tanaka, Novak, Rossi, Haddad, Jensen, Kim, Moreau, Singh, Berger, Santos, Ivanova, "
    "Murphy, Wagner, Costa, Yilmaz, Larsen, Dubois, Nowak, Mensah, Horvat, Schmid, Silva, Baker, Chen, Keller, Lind"
)
_COMPANIES = _words(
    "Northwind, Bluebird, Cobalt, Meridian, Juniper, Harbor, Granite, Willow, Summit, Lantern, Orchard, Falcon, Cedar, "
    "Beacon, Aurora, Pebble, Saffron, Tundra, Velvet, Copper"
)
_TRADES = _words("Logistics, Foods, Energy, Health, Studios, Motors, Textiles, Media, Labs, Travel")
_PLACES = _words(
    "in Berlin, in Lisbon, in Oslo, in Vienna, in Porto, in Ghent, on floor 2, on floor 3, on floor 5, "
    "at the front desk, in the warehouse, in the meeting room, at home"
)
_THINGS = _words(
    "The printer, The VPN, My laptop, The scanner, The mailbox, The booking page, The badge reader, The phone, "
    "The shared drive, The payment page, The report, The calendar"
)
# What goes wrong: the end of the subject, more about it, type, tag, and of a hundred how many are low … urgent.
_CASES = (
    ("stopped working", "A restart did not help.", "incident", "outage", (10, 40, 35, 15)),
    ("is very slow", "It takes minutes since this morning.", "problem", "performance", (25, 50, 20, 5)),
    ("asks for a password again", "Mine is refused.", "incident", "access", (20, 55, 20, 5)),
    ("shows an error", "It says: unexpected response. A screenshot follows.", "incident", "error", (20, 50, 25, 5)),
    ("needs an update", "The old version is no longer allowed from next month on.", "task", "update", (50, 40, 9, 1)),
    ("should be moved", "We change places on Monday.", "task", "move", (60, 35, 5, 0)),
    ("has a setting I do not find", "Where can I turn notifications off?", "question", "how-to", (60, 35, 5, 0)),
    ("shows the wrong address", "Invoices still have the old one.", "problem", "billing", (30, 50, 18, 2)),
)
_STATUSES = ("open", "in_progress", "pending", "resolved", "closed")
_PRIORITIES = ("low", "medium", "high", "urgent")
_ANSWERS = (
    "Thank you for telling us. We are looking into it.",
    "Could you restart it once and tell us what it shows?",
    "A colleague is on the way.",
    "We found the cause and are testing a fix.",
    "This is a known problem; an update comes tonight.",
)
_REPLIES = ("Thank you, it works again.", "It still happens.", "Here is the screenshot.", "Yes, since Monday.")
_NOTES = ("Same cause as last week.", "Waiting for the vendor.", "Asked the night shift to have a look.")


def _hundred(values: Sequence[str], shares: Sequence[int]) -> tuple[str, ...]:
    """Repeat each value as often as its share of a hundred: one look-up draws from it."""
    return tuple(itertools.chain.from_iterable(itertools.starmap(itertools.repeat, zip(values, shares, strict=True))))


_OLD = _hundred(_STATUSES, (2, 2, 3, 13, 80))
_FRESH = _hundred(_STATUSES, (40, 20, 15, 15, 10))
_URGENCY = tuple(_hundred(_PRIORITIES, case[4]) for case in _CASES)


class Person(NamedTuple):
    """Somebody made up."""

    name: str
    email: str


@dataclass(frozen=True)
class Cast:
    """The ids of who and what tickets speak of, and what is promised for these."""

    organization_id: int
    agents: Sequence[int]
    contacts: Sequence[int]
    teams: Sequence[int]
    policies: Sequence[Any]


TICKET = (
    *("organization_id", "subject", "description", "status", "priority", "type", "source"),
    *("contact_id", "assignee_id", "team_id", "created_by_id", "tags", "custom_fields"),
    *("first_responded_at", "resolved_at", "closed_at", "created_at", "updated_at", "version"),
    *sla.COLUMNS,
)
"""What stands where in a ticket that is told: a tuple is stored, and handed to another process, in half the time."""
TALLIED = itemgetter(*(TICKET.index(name) for name in ("status", "priority", "created_by_id")))
"""Takes what is tallied out of a ticket that is told."""

COMMENT = (
    *("organization_id", "author_type", "user_id", "contact_id", "body", "visibility"),
    *("created_at", "updated_at", "version"),
)
"""What stands where in a comment that is told, after the place of its ticket in the batch."""


class Batch(NamedTuple):
    """Tickets that have no number yet, with their comments, which have no ticket yet."""

    tickets: list[tuple[Any, ...]]
    comments: list[tuple[Any, ...]]


def company(index: int) -> str:
    """Name the organization with an index, always the same."""
    lap, place = divmod(index, len(_COMPANIES) * len(_TRADES))
    name = f"{_COMPANIES[place % len(_COMPANIES)]} {_TRADES[place // len(_COMPANIES)]}"
    return f"{name} {lap + 1}" if lap else name


def start(seed: int) -> int:
    """Return when the story of a seed begins."""
    return EPOCH + Random(f"{seed}/start").randrange(clock.DAY)  # noqa: S311 - a story, not a secret


def agents(seed: int, slug: str) -> list[Person]:
    """Make up who works on the tickets of an organization."""
    draw = Random(f"{seed}/agents")  # noqa: S311 - as above
    people = zip(draw.sample(_FIRST, AGENTS), draw.sample(_LAST, AGENTS), strict=True)
    return [Person(f"{first} {last}", f"{first}.{last}@{slug}.example".lower()) for first, last in people]


def contacts(seed: int, count: int) -> list[Person]:
    """Make up who raises tickets; fewer are the first of more."""
    draw = Random(f"{seed}/contacts")  # noqa: S311 - as above
    made = []
    for number in range(1, count + 1):
        first, last, firm = draw.choice(_FIRST), draw.choice(_LAST), draw.choice(_COMPANIES)
        made.append(Person(f"{first} {last}", f"{first}.{last}{number}@{firm}.example".lower()))
    return made


def request(draw: Random) -> dict[str, Any]:
    """Make up what somebody asks for, as POST /tickets takes it."""
    which = draw.randrange(len(_CASES))
    end, more, kind, tag, _ = _CASES[which]
    subject = f"{draw.choice(_THINGS)} {draw.choice(_PLACES)} {end}"
    priority = draw.choice(_URGENCY[which])
    return {"subject": subject, "description": f"{subject}. {more}", "type": kind, "priority": priority, "tags": [tag]}


class Story:
    """Makes up the tickets of one organization, one after another as time goes by.

    Args:
        seed: decides everything.
        index: tells organizations of one run apart.
        cast: who and what the tickets speak of.
        total: how many tickets there will be.
    """

    def __init__(self, seed: int, index: int, cast: Cast, total: int) -> None:
        self._draw = Random(f"{seed}/{index}/tickets")  # noqa: S311 - as above
        self._cast = cast
        self._total = total
        self._start = start(seed)
        self._told = 0
        self._now = clock.now()
        # JSON text is made once for each combination, not once for each ticket.
        self._tags = {
            (case[3], more): json.dumps([case[3], more] if more else [case[3]])
            for case in _CASES
            for more in ("", "vip", "phone", "on-site", "follow-up")
        }
        self._fields = ["{}"] * 40 + [json.dumps({"floor": floor}) for floor in range(1, 11)]
        self._fields += [
            json.dumps({"asset": f"A-{number}", "warranty": number % 3 > 0}) for number in range(1000, 1060)
        ]
        self._fields += [
            json.dumps({"contract": f"C-{number}", "seats": number % 90 + 5}) for number in range(400, 440)
        ]

    def next(self, count: int) -> Batch:
        """Tell the next tickets; none when all are told."""
        batch = Batch([], [])
        first, self._told = self._told, min(self._told + count, self._total)
        for place in range(first, self._told):
            self._ticket(place, batch)
        return batch

    def _ticket(self, place: int, batch: Batch) -> None:
        draw, cast = self._draw, self._cast
        chance = draw.random
        # In order of time, without two at once as long as there are fewer than milliseconds.
        moment = self._start + (SPAN * place + int(chance() * SPAN)) // self._total
        which = int(chance() * len(_CASES))
        end, more, kind, tag, _ = _CASES[which]
        thing, where = _pick(_THINGS, chance()), _pick(_PLACES, chance())
        status = _pick(_FRESH if place >= self._total * 0.95 else _OLD, chance())
        triaged = status != "open" or chance() < 0.4  # noqa: PLR2004 - the share of open tickets that has somebody
        agent = _pick(cast.agents, chance()) if triaged else None
        contact = _pick(cast.contacts, chance())
        responded, resolved, closed, updated, version = _life(draw, status, moment)
        priority = _pick(_URGENCY[which], chance())
        team = _pick(cast.teams, chance()) if triaged else None
        level = sla.stored(
            sla_policies.chosen(cast.policies, {"type": kind, "team_id": team, "priority": priority}),
            created_at=moment,
            first_responded_at=responded,
            resolved_at=resolved,
            paused_at=updated if status == "pending" else resolved,
            moment=self._now,
        )
        subject = f"{thing} {where} {end}"
        ticket = (
            *(cast.organization_id, subject, f"{subject}. {more}"),
            *(status, priority, kind, "import"),
            *(contact, agent, team),
            agent if chance() < 0.2 else None,  # noqa: PLR2004 - the share raised on the phone
            self._tags[tag, _pick(("", "", "", "vip", "phone", "on-site", "follow-up"), chance())],
            _pick(self._fields, chance()),
            *(responded, resolved, closed, moment, updated, version),
            *level.values(),
        )
        if agent is not None and chance() < 0.25 and responded is not None:  # noqa: PLR2004 - the share with comments
            said = self._said(responded, resolved or updated, agent, None if status == "pending" else contact)
            batch.comments.extend((len(batch.tickets), *comment) for comment in said)
        batch.tickets.append(ticket)

    def _said(self, first: int, last: int, agent: int, contact: int | None) -> list[tuple[Any, ...]]:
        """Tell what was said: the agent's first answer is the first response, nothing comes after the end.

        Args:
            first: when that was.
            last: when the ticket was resolved, or last changed.
            agent: who answers.
            contact: who may answer back; nobody where that would reopen a ticket which waits for them.
        """
        chance, of = self._draw.random, self._cast.organization_id
        said: list[tuple[Any, ...]] = [(first, of, "user", agent, None, _pick(_ANSWERS, chance()), "public")]
        if contact is not None and chance() < 0.5:  # noqa: PLR2004 - the share of contacts who answer
            moment = first + int((last - first) * chance())
            said.append((moment, of, "contact", None, contact, _pick(_REPLIES, chance()), "public"))
        if chance() < 0.2:  # noqa: PLR2004 - the share with a note
            moment = first + int((last - first) * chance())
            said.append((moment, of, "user", agent, None, _pick(_NOTES, chance()), "internal"))
        said.sort(key=itemgetter(0))
        return [(*what, moment, moment, 1) for moment, *what in said]


def _life(draw: Random, status: str, moment: int) -> tuple[int | None, int | None, int | None, int, int]:
    """Make what fits a status, as domain/lifecycle.py would leave it.

    Returns:
        When it was first answered, resolved, closed and last changed, and its version.
    """
    chance = draw.random
    responded = resolved = closed = None
    updated, version = moment, 1
    if status == "open":
        if chance() < 0.3:  # noqa: PLR2004 - the share that was answered and still waits
            updated, version = moment + _while(draw, 2 * clock.HOUR, 3 * clock.DAY), 2
    else:
        responded = updated = moment + _while(draw, 2 * clock.HOUR, 3 * clock.DAY)
        version = 3
    if status in ("resolved", "closed"):
        resolved = updated = updated + _while(draw, 20 * clock.HOUR, 10 * clock.DAY)
        version += 1
    if status == "closed":
        closed = updated = updated + _while(draw, 2 * clock.DAY, 7 * clock.DAY)
        version += 1
    return responded, resolved, closed, updated, version


def _while(draw: Random, usual: int, most: int) -> int:
    # An exponential distribution: most are quick, some take long.
    return min(most, clock.MINUTE + int(-usual * log(1.0 - draw.random())))


def _pick(among: Sequence[Any], chance: float) -> Any:
    # Several times faster than Random.choice, with which a million tickets take half a minute longer.
    return among[int(chance * len(among))]
