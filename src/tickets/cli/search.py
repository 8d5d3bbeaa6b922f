"""The search index on the command line: looked over and put right."""

from collections.abc import Callable

import click
import structlog  # noqa: F401 - documents that fail are logged, on stderr once it is imported

from tickets.cli.environment import SLUG, Command, organization_of, ready_database
from tickets.cli.failures import Failure
from tickets.cli.output import busy, json_option, progress, show
from tickets.db import Database
from tickets.domain import index_updates, reindexing
from tickets.models import Comment, Ticket

PATIENCE = 60.0
"""Seconds that the command waits for its turn to write: nobody waits for its answer, as of a request."""


_WHAT_NEXT = {
    False: "Run `tickets reindex --anew`, which empties the whole index and fills it anew.",
    True: "The whole index was filled anew, so it is their texts: change them, and they are tried again.",
}
"""What to do about documents that cannot be indexed, by whether the index was filled anew."""


@click.command(cls=Command)
@click.option("--org", type=SLUG, help="Slug of an organization; all of them by default.")
@click.option("--anew", is_flag=True, help="Empty the whole index first, whatever is in it.")
@json_option
def reindex(*, org: str | None, anew: bool, as_json: bool) -> None:
    """Compare the search index with tickets and comments, and put right what differs.

    It can run while the service runs. What could not be indexed is tried again. An index that is damaged is emptied
    and filled anew; searches find what is in it already.
    """
    if org is not None and anew:
        raise Failure("The whole index can be emptied, but not that of one organization; leave out --org or --anew.")
    with ready_database() as database:
        organization_id = None
        if org is not None:
            with database.read() as tx:
                organization_id = organization_of(tx, org).id
        anew = _emptied(database, anew=anew, as_a_whole=org is None)
        with database.write(wait=PATIENCE) as tx:
            reindexing.retry(tx, organization_id)
        _catch_up(database)
        with database.read() as tx:
            tickets, comments = reindexing.count(tx, organization_id)
        with progress("Search index", tickets + comments) as advance:
            put_right = 0
            for model in (Ticket, Comment):
                put_right += _look_over(database, model, organization_id, advance)
        put_right += _drop_left_behind(database)
        with database.read() as tx:
            failed = reindexing.failed(tx, organization_id)
    if failed:
        raise Failure(
            f"{failed:,} documents cannot be indexed, and no search finds them; lines that name their places in the "
            f"log say why. The others are in order. {_WHAT_NEXT[anew]}"
        )
    show(
        {"organization": org, "tickets": tickets, "comments": comments, "put_right": put_right, "anew": anew},
        f"{tickets:,} tickets and {comments:,} comments compared, {put_right:,} put right.",
        as_json=as_json,
    )


def _emptied(database: Database, *, anew: bool, as_a_whole: bool) -> bool:
    """Empty the index if it is damaged, or if that was asked for; returns whether it did."""
    if not anew:
        with database.read() as tx, busy("Reading the search index …"):
            anew = not reindexing.is_sound(tx)
        if anew and not as_a_whole:
            raise Failure("The search index is damaged as a whole; leave out --org, so that it is filled anew.")
    if anew:
        with database.write(wait=PATIENCE) as tx:
            reindexing.empty(tx)
    return anew


def _look_over(
    database: Database, model: type[Ticket | Comment], organization_id: int | None, advance: Callable[[int], None]
) -> int:
    """Compare all tickets or all comments; returns how many were put right."""
    put_right, last = 0, 0
    more: int | None = 0
    while more is not None:
        with database.read() as tx:
            compared = reindexing.compare(tx, model, last, organization_id)
        if compared.differ:
            with database.write(wait=PATIENCE) as tx:
                reindexing.put_right(tx, model, compared.differ)
            _catch_up(database)
        put_right += len(compared.differ)
        advance(compared.number)
        more = compared.last
        last = more or last
    return put_right


def _drop_left_behind(database: Database) -> int:
    dropped = 0
    more = reindexing.AT_ONCE
    while more == reindexing.AT_ONCE:
        with database.write(wait=PATIENCE) as tx:
            more = reindexing.drop_left_behind(tx)
        _catch_up(database)
        dropped += more
    return dropped


def _catch_up(database: Database) -> None:
    organization_id: int | None = 0
    while organization_id is not None:
        with database.write(wait=PATIENCE) as tx:
            organization_id = index_updates.catch_up(tx, organization_id)
