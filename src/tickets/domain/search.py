"""Searching: which tickets have the words, in which order, and where those are (FTS5; decisions/0017)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, select

from tickets.db import Row, Statement, Transaction
from tickets.domain.documents import prefix, sight
from tickets.domain.listing import is_empty
from tickets.domain.slices import Position, Slice, slice_of
from tickets.domain.snippets import snippet
from tickets.domain.words import Phrase, asked
from tickets.errors import InputError, InvalidRequest
from tickets.models import Comment, PendingDocument, SearchDocument, Ticket
from tickets.models.search import INDEX, PLACES

MOST_RANKED = 1_000
"""Documents that are weighed against each other; where more match, the newest tickets come first."""
MOST_BEGUN = 4
"""Beginnings of words: FTS5 puts all documents of all words that begin so together, before it shows the first."""
MOST_WORDS, MOST_OF_PHRASE = 24, 12
"""Words of a question, and of a phrase: of each of them FTS5 reads all places where it is."""
_MOST_READ = 100_000
"""Characters that a page reads for its snippets; a result with more ends it."""
_WEIGHED = 4_000
"""Characters of a document that weigh; words behind them are found as well."""
_COMMENTS_SHOWN = 3
"""Comments of a ticket that its result shows, at most."""
_LAST = 2**63 - 1

# BM25F (Robertson and Zaragoza 2009) without the rarity of words, since all results have all of them, and with a
# length that is usual instead of the mean: what a document weighs depends on nothing but the document.
_SATURATION, _LENGTH, _USUAL, _SUBJECT = 1.2, 0.75, 400, 8

ticket_id = INDEX.c.rowid.op(">>")(literal_column(str(PLACES.bit_length() - 1)))
"""The ticket of a document of the index."""


def matches(expression: Any) -> ColumnElement[bool]:
    """Write the condition of every search, with a bound `expression`."""
    return INDEX.c.search_index.op("MATCH", is_comparison=True)(expression)


def among(numbers: Any) -> Select[Any]:
    """Select the numbers of a bound JSON array."""
    return select(func.json_each(numbers).table_valued("value").c.value)


is_current = INDEX.c.rowid.not_in(select(PendingDocument.place))
"""The condition of every search that the index has what is there now: nobody finds what they may see no more."""

_document = SearchDocument.__table__.c
_matches = matches(bindparam("match"))
_WEIGH = Statement(
    select(_document.place, _document.subject, func.substr(_document.body, 1, _WEIGHED).label("body")).where(
        _document.place.in_(among(bindparam("places")))
    )
)
_DOWNWARDS, _UPWARDS = (
    Statement(select(INDEX.c.rowid).where(_matches, is_current, beyond).order_by(order).limit(bindparam("limit")))
    for beyond, order in (
        (INDEX.c.rowid <= bindparam("place"), INDEX.c.rowid.desc()),
        (INDEX.c.rowid >= bindparam("place"), INDEX.c.rowid.asc()),
    )
)
_TICKETS = Statement(select(*Ticket.__table__.c).where(Ticket.id.in_(among(bindparam("ids")))), raw_json=True)
_COMMENTS = Statement(
    select(_document.place, Comment.id, Comment.body)
    .join(Comment, Comment.id == _document.comment_id)
    .where(_document.place.in_(among(bindparam("places"))))
)


class Found(NamedTuple):
    """Where a match is.

    Attributes:
        field: ``subject``, ``description`` or ``comment``.
        comment_id: of the comment.
        text: see `snippets.snippet`.
    """

    field: str
    comment_id: int | None
    text: str


class Result(NamedTuple):
    """A ticket that was found.

    Attributes:
        id: of the ticket.
        key: what it is sorted by: its weight, and the last place that was weighed on the first page; None where the
            newest come first.
        ticket: its row.
        found: where it matches.
    """

    id: int
    key: tuple[float, int] | None
    ticket: Row
    found: list[Found]


def read(text: str, parameter: str) -> list[Phrase]:
    """Read what is asked for.

    Raises:
        InvalidRequest: it asks for more than can be looked up; the problem points at the parameter.
    """
    phrases = asked(text)
    begun, number = sum(phrase.is_open for phrase in phrases), sum(len(phrase.words) for phrase in phrases)
    longest = max((len(phrase.words) for phrase in phrases), default=0)
    unspaced = "in a script without blanks each character but the last is one"
    for count, most, detail in (
        (begun, MOST_BEGUN, f"has {begun} beginnings of words, such as `pre*`; {MOST_BEGUN} can be looked up at once"),
        (longest, MOST_OF_PHRASE, f"has {longest} words in a row; ask for at most {MOST_OF_PHRASE}: {unspaced}"),
        (number, MOST_WORDS, f"has {number} words; leave out all but {MOST_WORDS}: {unspaced}"),
    ):
        if count > most:
            raise InvalidRequest(f"{parameter} {detail}.", errors=[InputError(f"/{parameter}", detail, "query")])
    return phrases


class Match(NamedTuple):
    """What FTS5 is asked for. It is made of words alone, by `of`: no text that somebody typed gets there.

    Attributes:
        expression: in FTS5's own language.
        is_open: whether it has the beginning of a word, for which FTS5 puts together all that begins so.
    """

    expression: str
    is_open: bool

    @classmethod
    def of(cls, where: Mapping[str, Sequence[Any]], phrases: Sequence[Phrase]) -> "Match":
        """Ask for every phrase, in words of the organization, in what the caller may see.

        Args:
            where: ``organization_id``, and for a user ``own_contact_id``.
            phrases: what was asked for, at least one.
        """
        (of,) = where["organization_id"]
        seen = [f'"{sight(of, contact_id)}"' for contact_id in where.get("own_contact_id", ())]
        # Letters, digits and symbols between quotes: nothing in there has a meaning for FTS5.
        asked_for = [f'"{" ".join(_prefixed(of, phrase))}"{" *" if phrase.is_open else ""}' for phrase in phrases]
        return cls(" AND ".join(seen + asked_for), any(phrase.is_open for phrase in phrases))


def newest(tx: Transaction, match: Match, most: int) -> list[int]:
    """Return the places of the newest documents that match, as many as are wanted."""
    return _places(tx, _DOWNWARDS, match, _LAST, most)


class Search:
    """Lists what was found as `Listing` lists rows.

    By weight while few match: which depends on nothing but the ticket and what was said on it, so that a cursor neither
    repeats nor skips one that stays as it is. The cursor knows the last place there was at first: what is raised later
    moves nothing. Where many match, by the ids of tickets: the index has them in that order.
    """

    def page(
        self,
        tx: Transaction,
        *,
        where: Mapping[str, Sequence[Any]],
        sort: str,  # noqa: ARG002 - there is one
        limit: int,
        position: Position | None = None,
    ) -> Slice:
        """Read one page; it ends early where its texts are long.

        Args:
            tx: where to read.
            where: ``organization_id``, ``q``, and for a user ``own_contact_id``.
            sort: the only one.
            limit: most tickets.
            position: where the page begins; a key of None is a place among the newest.
        """
        if is_empty(where):
            return Slice([], None, None)
        phrases = read(where["q"][0], "q")
        if not phrases:
            return Slice([], None, None)
        match = Match.of(where, phrases)
        hits = _ranked(tx, match, _needles(where["organization_id"][0], phrases), position)
        if hits is None:
            hits = _by_age(tx, match, limit, position)
        rows = _results(tx, hits[:limit], phrases)
        return slice_of(rows, "key", position, more=len(hits) > len(rows), descending=True)


SEARCH = Search()


class _Hit(NamedTuple):
    """A ticket that matches, with the places of its documents that do, the best first."""

    key: tuple[float, int] | None
    ticket_id: int
    places: list[int]


def _prefixed(organization_id: int, phrase: Phrase) -> list[str]:
    return [prefix(organization_id) + word for word in phrase.words]


def _needles(organization_id: int, phrases: Sequence[Phrase]) -> list[str]:
    """Write phrases as `_apart` writes a document."""
    return [f" {'  '.join(_prefixed(organization_id, phrase))}{'' if phrase.is_open else ' '}" for phrase in phrases]


def _apart(words: str) -> str:
    """Put blanks of its own on both sides of each word, so that one that is repeated is counted each time."""
    return f" {words.replace(' ', '  ')} "


def _weight(document: Row, needles: Sequence[str]) -> float:
    subject, body = _apart(document.subject), _apart(document.body)
    length = 1 - _LENGTH + _LENGTH * (len(document.subject) + len(document.body)) / _USUAL
    weight = 0.0
    for needle in needles:
        often = _SUBJECT * subject.count(needle) + body.count(needle)
        weight += often / (often + _SATURATION * length)
    return weight


def _ranked(tx: Transaction, match: Match, needles: Sequence[str], position: Position | None) -> list[_Hit] | None:
    """Sort what matches by its weight; None where that is too much, or was on the first page."""
    if position is None:
        places = newest(tx, match, MOST_RANKED + 1)
        if len(places) > MOST_RANKED:
            return None
        return _by_weight(tx, places, needles, places[0] if places else 0)
    if position.key is None:
        return None
    weight, last = position.key
    # Of tickets that are there, more can come to match; those weighed at first have room left.
    hits = _by_weight(tx, _places(tx, _DOWNWARDS, match, last, 2 * MOST_RANKED), needles, last)
    here = ((weight, last), position.id)
    if position.backwards:
        return [hit for hit in reversed(hits) if hit[:2] > here]
    return [hit for hit in hits if hit[:2] < here]


def _by_weight(tx: Transaction, places: list[int], needles: Sequence[str], last: int) -> list[_Hit]:
    """Weigh documents; a ticket weighs what its best document does."""
    documents = tx.all(_WEIGH, places=as_json(places))
    hits: dict[int, _Hit] = {}
    for weight, place in sorted(((_weight(document, needles), document.place) for document in documents), reverse=True):
        hits.setdefault(place // PLACES, _Hit((weight, last), place // PLACES, [])).places.append(place)
    return sorted(hits.values(), reverse=True)


def _by_age(tx: Transaction, match: Match, limit: int, position: Position | None) -> list[_Hit]:
    """Walk the index until there is one ticket more than are wanted.

    Args:
        tx: where to read.
        match: what is asked for.
        limit: most tickets.
        position: where the walk begins; at the newest when None.
    """
    backwards = position is not None and position.backwards
    place = _LAST if position is None else _beyond(position.id, backwards=backwards)
    hits: dict[int, list[int]] = {}
    more = True
    while more and len(hits) <= limit:
        places = _places(tx, _UPWARDS if backwards else _DOWNWARDS, match, place, MOST_RANKED)
        more = len(places) == MOST_RANKED
        for found in places:
            hits.setdefault(found // PLACES, []).append(found)
        if not more:
            break
        first, last = places[0] // PLACES, places[-1] // PLACES
        place = places[-1] + (1 if backwards else -1)
        if first == last:  # the rest of what was said on it would be read to no use
            hits[last] = _of_ticket(tx, match, last)
            place = _beyond(last, backwards=backwards)
    return [_Hit(None, ticket, sorted(set(places), reverse=True)) for ticket, places in hits.items()]


def _of_ticket(tx: Transaction, match: Match, ticket_id: int) -> list[int]:
    """Return which documents of a ticket are shown: itself, if it matches, and the newest comments that do."""
    itself = ticket_id * PLACES
    comments = _places(tx, _DOWNWARDS, match, itself + PLACES - 1, _COMMENTS_SHOWN)
    return [*comments, *(place for place in _places(tx, _DOWNWARDS, match, itself, 1) if place == itself)]


def _places(tx: Transaction, way: Statement, match: Match, place: int, limit: int) -> list[int]:
    return [row.rowid for row in tx.all(way, match=match.expression, place=place, limit=limit)]


def _beyond(ticket_id: int, *, backwards: bool) -> int:
    """Return the place beside all documents of a ticket."""
    return (ticket_id + 1) * PLACES if backwards else ticket_id * PLACES - 1


def _results(tx: Transaction, hits: Sequence[_Hit], phrases: Sequence[Phrase]) -> list[Result]:
    """Show where hits match, as far as a page goes: the first at least."""
    tickets = {row.id: row for row in tx.all(_TICKETS, ids=as_json([hit.ticket_id for hit in hits]))}
    rows: list[Result] = []
    read = 0
    for hit in hits:
        if read > _MOST_READ:
            break
        ticket, found = tickets[hit.ticket_id], []
        for field, comment_id, text in _texts(tx, hit, ticket):
            shown = snippet(text, phrases)
            read += shown.read
            if shown.html is not None:
                found.append(Found(field, comment_id, shown.html))
        rows.append(Result(hit.ticket_id, hit.key, ticket, found))
    return rows


def _texts(tx: Transaction, hit: _Hit, ticket: Row) -> Iterator[tuple[str, int | None, str]]:
    if hit.ticket_id * PLACES in hit.places:
        yield "subject", None, ticket.subject
        yield "description", None, ticket.description
    shown = [place for place in hit.places if place % PLACES][:_COMMENTS_SHOWN]
    comments = {row.place: row for row in tx.all(_COMMENTS, places=as_json(shown))} if shown else {}
    for place in shown:
        yield "comment", comments[place].id, comments[place].body


def as_json(values: list[int]) -> str:
    """Write numbers for `among`."""
    return msgspec.json.encode(values).decode()
