"""What was found as the contract shows it."""

from typing import Any

from tickets import wire
from tickets.shapes.tickets import ticket as show_ticket


def result(found: Any) -> wire.SearchResult:
    """Show a ticket with where it matches."""
    return {
        "ticket": show_ticket(found.ticket),
        "snippets": [{"field": each.field, "comment_id": each.comment_id, "text": each.text} for each in found.found],
    }
