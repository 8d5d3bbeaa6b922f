"""Events, and the history that is made of them, as the contract shows them."""

import msgspec

from tickets import wire
from tickets.clock import rfc3339
from tickets.db import Row


def event(row: Row) -> wire.Event:
    """Show an event; its JSON columns are still encoded."""
    shown: wire.Event = {
        "seq": row.seq,
        "type": row.type,
        "created_at": rfc3339(row.created_at),
        "actor": _actor(row),
        "data": row.data,
    }
    if row.target is not None:
        shown["target"] = row.target
    if row.changes is None:
        return shown
    shown["changes"] = row.changes
    if row.type.startswith("ticket."):
        status = msgspec.json.decode(row.changes).get("status")
        shown["status_changed"] = status is not None
        if status is not None:
            shown["previous_status"] = status["old"]
    return shown


def history_entry(row: Row) -> wire.HistoryEntry:
    """Show what became of a field."""
    return {
        "id": row.id,
        "field": row.field,
        "old": row.old,
        "new": row.new,
        "actor": _actor(row),
        "created_at": rfc3339(row.created_at),
    }


def _actor(row: Row) -> wire.Actor:
    return {"type": row.actor_type, "id": row.actor_id, "name": row.actor_name}
