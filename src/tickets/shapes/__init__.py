"""Rows become what the contract shows, in one place for responses, events and exports."""

from tickets.clock import rfc3339


def moment(millis: int | None) -> str | None:
    """Show a time that may be unset."""
    return None if millis is None else rfc3339(millis)
