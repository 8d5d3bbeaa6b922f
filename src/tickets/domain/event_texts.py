"""Long texts of events: stored once in an organization, however many events show them (decisions/0019).

The `data` of an event is the entity as the API shows it. Most changes leave a long description as it is, so an event
holds a reference to it instead; reading a page of events puts the texts back. A reference stands in a column of its
own: nothing that somebody writes into an entity can be taken for one.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, bindparam, delete, func, insert, select, update

from tickets import clock
from tickets.db import Row, Statement, Transaction
from tickets.domain import records
from tickets.models import EventText

LONG = 2_000
"""Bytes from which a value is stored once: an event with a shorter one fits on a page of the database, and to write
it again costs less than to look it up."""
USE_NOTED_EVERY = clock.DAY
"""How old `last_used_at` may become before another use updates it, so that few changes write it."""


class Reference(NamedTuple):
    """Where the text of a field is.

    Attributes:
        digest: of the text; with the organization it is the key of `EventText`.
        length: of the text, in characters.
    """

    digest: str
    length: int


_DECODE_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_DECODE_REFERENCES = msgspec.json.Decoder(dict[str, Reference]).decode

_text = EventText.__table__.c
_is = (_text.organization_id == bindparam("of"), _text.digest == bindparam("digest"))
_FIND = Statement(select(_text.last_used_at).where(*_is))
_ADD = Statement(
    insert(EventText).values(
        organization_id=bindparam("of"),
        digest=bindparam("digest"),
        last_used_at=bindparam("at"),
        text=bindparam("text"),
    )
)
_USE = Statement(update(EventText).where(*_is).values(last_used_at=bindparam("at")))
_wanted = func.json_each(bindparam("digests")).table_valued("value", name="wanted")
_READ = Statement(
    select(_text.digest, _text.text).where(
        _text.organization_id == bindparam("of"), _text.digest.in_(select(_wanted.c.value))
    )
)
_UNUSED = Statement(
    select(_text.organization_id.label("of"), _text.digest)
    .where(_text.last_used_at < bindparam("before", type_=BigInteger()))
    .order_by(_text.last_used_at)
    .limit(records.AT_ONCE)
)
# One by one: of many keys with two columns SQLite looks up the first alone, and reads all texts of an organization.
_DELETE = Statement(delete(EventText).where(*_is))


def take_out(tx: Transaction, organization_id: int, data: Mapping[str, Any], at: int) -> tuple[str, str | None]:
    """Store the long values of an entity, and return what is left of it with references to them.

    Who calls it holds the organization's counter of events, so that nobody else stores the same text meanwhile.

    Args:
        tx: where to write.
        organization_id: whose texts they are.
        data: the entity as the API shows it.
        at: the time of the event.

    Returns:
        What to store as `data`, with null for each value that was taken out, and the references by field, both as
        JSON; None where nothing is long.
    """
    encoded = msgspec.json.encode(data)
    if len(encoded) < LONG:
        return encoded.decode(), None
    long = {
        field: text.decode()
        for field, value in data.items()
        if isinstance(value, str | list | dict) and len(text := msgspec.json.encode(value)) >= LONG
    }
    if not long:
        return encoded.decode(), None
    references = {field: _stored(tx, organization_id, text, at) for field, text in long.items()}
    short = {**data, **dict.fromkeys(long)}
    return msgspec.json.encode(short).decode(), msgspec.json.encode(references).decode()


def _stored(tx: Transaction, organization_id: int, text: str, at: int) -> Reference:
    """Store a text, or note that it is used again, and return the reference to it."""
    digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:24]).decode()
    found = tx.first(_FIND, of=organization_id, digest=digest)
    if found is None:
        tx.run(_ADD, of=organization_id, digest=digest, at=at, text=text)
    elif found.last_used_at < at - USE_NOTED_EVERY:
        tx.run(_USE, of=organization_id, digest=digest, at=at)
    return Reference(digest, len(text))


def lengths(events: Sequence[Row]) -> list[int]:
    """Return how long each event is when it is whole; the JSON columns are still encoded."""
    return [
        sum(memoryview(text).nbytes for text in (event.data, event.changes) if text is not None)
        + sum(reference.length for reference in _references(event).values())
        for event in events
    ]


def put_back(tx: Transaction, events: Sequence[Row]) -> list[Row]:
    """Return events of one organization with their `data` whole again; the JSON columns stay encoded.

    All texts are read in one statement.
    """
    references = [_references(event) for event in events]
    digests = {reference.digest for fields in references for reference in fields.values()}
    if not digests:
        return list(events)
    encoded = msgspec.json.encode(sorted(digests)).decode()
    found = tx.all(_READ, of=events[0].organization_id, digests=encoded)
    texts = {row.digest: row.text for row in found}
    return [
        event._replace(data=_whole(event.data, fields, texts)) if fields else event
        for event, fields in zip(events, references, strict=True)
    ]


def _references(event: Row) -> Mapping[str, Reference]:
    found: Mapping[str, Reference] = {} if event.texts is None else _DECODE_REFERENCES(event.texts)
    return found


def _whole(data: msgspec.Raw, references: Mapping[str, Reference], texts: Mapping[str, str]) -> msgspec.Raw:
    """Put texts back into the encoded entity, in which all else stays as it is, to the byte."""
    fields = _DECODE_FIELDS(data)
    for field, reference in references.items():
        fields[field] = msgspec.Raw(texts[reference.digest])
    return msgspec.Raw(msgspec.json.encode(fields))


def purge(tx: Transaction, before: int) -> int:
    """Delete texts that no event shows any more, up to `records.AT_ONCE`, and return how many.

    Args:
        tx: where to write.
        before: events from before this time have no `data` any more.
    """
    unused = tx.all(_UNUSED, before=before - USE_NOTED_EVERY)
    tx.many(_DELETE, [row._asdict() for row in unused])
    return len(unused)
