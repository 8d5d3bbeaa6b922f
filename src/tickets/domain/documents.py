"""Documents of the search index: where they are, which words they have, and about how much work they are."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, String, bindparam, cast, func, literal_column, select

from tickets.domain.words import words
from tickets.models import Ticket
from tickets.models.search import PLACES

OVERHEAD = 20
"""Entries of the index that take as long as all else about a document."""
_ASCII = 8
"""Characters of an ASCII text that take as long as one of another text, whose words are cut one by one."""

TICKET = Ticket.__table__.alias("ticket")
seen_by_contact = cast(TICKET.c.organization_id, String) + "c" + cast(TICKET.c.contact_id, String)
"""`sight` of a ticket, in SQL."""


def prefix(organization_id: int) -> str:
    """Return what is in front of each word of an organization: the index keeps those of another apart from them."""
    return f"{organization_id}x"


def sight(organization_id: int, contact_id: int) -> str:
    """Return the word that is in what a contact may see; no word of a text is like it."""
    return f"{organization_id}c{contact_id}"


def prefixed(organization_id: int, text: str) -> str:
    """Return the words of a text as the index knows them."""
    before, found = prefix(organization_id), words(text)
    return before + f" {before}".join(found) if found else ""


def entries_of(*texts: str) -> int:
    """Estimate how many entries a document makes, without its words: the time that it takes is in proportion."""
    return OVERHEAD + sum(len(text) // _ASCII if text.isascii() else len(text) for text in texts)


def ticket_id_of(place: ColumnElement[int]) -> ColumnElement[int]:
    """Return the ticket of a place, in SQL."""
    return place.op(">>")(literal_column(str(PLACES.bit_length() - 1)))


def among(numbers: str) -> Select[Any]:
    """Select the numbers of a JSON array that is bound by a name."""
    return select(func.json_each(bindparam(numbers)).table_valued("value").c.value)


def as_json(numbers: Iterable[int]) -> str:
    """Write numbers for `among`."""
    return msgspec.json.encode(list(numbers)).decode()
