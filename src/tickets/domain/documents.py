"""Documents of the search index: where they are, which words they have, and about how much work they are."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, String, bindparam, cast, func, literal_column, select

from tickets.domain.words import words
from tickets.models import Ticket
from tickets.models.search import PLACES

OVERHEAD = 20
"""Fixed cost of indexing one document, expressed in index entries."""
_ASCII = 8
"""Characters of an ASCII text that count as one index entry; in any other text each character counts as one."""

TICKET = Ticket.__table__.alias("ticket")
seen_by_contact = cast(TICKET.c.organization_id, String) + "c" + cast(TICKET.c.contact_id, String)
"""SQL expression for the visibility token of a ticket; see `sight`."""


def prefix(organization_id: int) -> str:
    """Return the prefix of each indexed word of an organization, which separates it from the words of others."""
    return f"{organization_id}x"


def sight(organization_id: int, contact_id: int) -> str:
    """Return the visibility token: the word that each document a contact may see has, and that no text contains."""
    return f"{organization_id}c{contact_id}"


def prefixed(organization_id: int, text: str) -> str:
    """Return the words of a text as the index knows them."""
    before, found = prefix(organization_id), words(text)
    return before + f" {before}".join(found) if found else ""


def entries_of(*texts: str) -> int:
    """Estimate the index entries of a document without tokenizing its texts; indexing time is proportional to them."""
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
