"""The state of the service itself."""

from sqlalchemy import text

from tickets import __version__, clock, wire
from tickets.db import Statement
from tickets.http.context import current

_PROBE = Statement(text("SELECT version_num FROM alembic_version"))


def get_health() -> wire.Health:
    """Say that the process answers; it asks nothing else."""
    return {"status": "ok"}


def get_readiness() -> wire.Readiness:
    """Say that requests can be served: the database answers."""
    current().tx.first(_PROBE)
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
