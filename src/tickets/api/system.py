"""The state of the service itself."""

from tickets import __version__, clock, migrations, wire
from tickets.errors import ServiceUnavailable
from tickets.http.context import current


def get_health() -> wire.Health:
    """Say that the process answers; it asks nothing else."""
    return {"status": "ok"}


def get_readiness() -> wire.Readiness:
    """Say that requests can be served: the database answers, and is the one that this version works with."""
    call = current()
    call.services.database.presence.expect_in_place()
    if migrations.revision(call.tx) != call.services.revision:
        raise ServiceUnavailable("The database is not at the revision of this version; run `flask tickets migrate`.")
    return {"status": "ready", "checks": {"database": "ok"}}


def get_meta() -> wire.Meta:
    """Say what is running here."""
    services = current().services
    return {
        "name": services.document.data["info"]["title"],
        "version": __version__,
        "contract_sha256": services.document.sha256,
        "uptime_seconds": (clock.now() - services.started_at) / 1000,
    }
