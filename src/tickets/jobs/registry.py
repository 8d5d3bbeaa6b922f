"""All kinds of jobs, and which of them run again and again."""

from tickets import clock
from tickets.jobs import (
    erase_organizations,
    purge_expired,
    release_history,
    send_email,
    send_secret,
    sla_sweep,
    update_search_index,
)
from tickets.jobs.kind import Kind
from tickets.jobs.schedule import Periodic

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        send_email.KIND,
        send_secret.KIND,
        purge_expired.KIND,
        release_history.KIND,
        erase_organizations.KIND,
        sla_sweep.KIND,
        update_search_index.KIND,
    )
}
PERIODIC = (
    Periodic(purge_expired.KIND.name, every=clock.HOUR),
    # For what a dead letter left behind.
    Periodic(erase_organizations.KIND.name, every=clock.HOUR),
    Periodic(sla_sweep.KIND.name, every=clock.MINUTE),
    # For what a job left behind that failed.
    Periodic(update_search_index.KIND.name, every=clock.MINUTE),
)
