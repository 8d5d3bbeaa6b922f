"""Statistics on the command line."""

import click

from tickets.cli.environment import SLUG, Command, organization_of, ready_database
from tickets.cli.output import json_option, show, table
from tickets.domain import stats as statistics
from tickets.shapes.stats import stats as show_stats


@click.command(cls=Command)
@click.option("--org", type=SLUG, help="Slug of the organization; the first one by default.")
@json_option
def stats(*, org: str | None, as_json: bool) -> None:
    """Show how many tickets there are.

    With --json, it prints what GET /stats answers.
    """
    with ready_database() as database, database.read() as tx:
        organization = organization_of(tx, org)
        found = show_stats(statistics.summary(tx, organization.id))
    top = found["top_user"]
    most = "nobody" if top is None else f"{top['name']} <{top['email']}> with {top['tickets_count']:,}"
    lines = (
        f"Organization: {organization.slug}",
        f"Last closed: {found['most_recent_processed_at'] or 'never'}",
        f"Most tickets: {most}",
    )
    show({**found}, *lines, as_json=as_json)
    if not as_json:
        counts = {
            "all": found["total_tickets"],
            "unprocessed": found["total_unprocessed_tickets"],
            **{f"status {name}": count for name, count in found["by_status"].items()},
            **{f"priority {name}": count for name, count in found["by_priority"].items()},
        }
        table(("TICKETS", "COUNT"), [(name, f"{count:,}") for name, count in counts.items()], names=1)
