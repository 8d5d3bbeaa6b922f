"""Demo data: what the examples of openapi.yaml speak of, in an empty database."""

import os
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, select

from tickets.cli.environment import Command, contract, ready_database
from tickets.cli.failures import program
from tickets.cli.output import json_option, show
from tickets.db import Row, Statement, Transaction
from tickets.domain import api_keys, comments, contacts, entities, lifecycle, organizations, sla_policies, teams, users
from tickets.domain.access import Principal
from tickets.domain.events import SYSTEM
from tickets.models import Organization, Team
from tickets.settings import Settings

_DAN: dict[str, Any] = {
    "email": "dan@example.com",
    "name": "Dan Customer",
    "external_id": "crm-1001",
    "attributes": {"plan": "gold", "seats": 25},
}
_PRINTING = {
    "subject": "Cannot print",
    "description": "The printer on floor 3 answers nothing.",
    "type": "incident",
    "tags": ["printer"],
    "custom_fields": {"floor": 3},
}
_INVOICE = {
    "subject": "Invoice shows the wrong address",
    "description": "Invoice 4711 still has our old address.",
    "priority": "high",
    "type": "problem",
    "tags": ["billing", "invoice"],
    "custom_fields": {"invoice": "4711", "amount": 99.5},
}
_PASSWORD = {
    "subject": "How do I change my password?",
    "description": "The page for it is gone.",
    "tags": ["account"],
}
_INCIDENTS = {
    "name": "Incidents",
    "targets": {
        "urgent": {"first_response_minutes": 5, "resolution_minutes": 60},
        "high": {"first_response_minutes": 15, "resolution_minutes": 240},
        "medium": {"first_response_minutes": 60, "resolution_minutes": 480},
        "low": {"first_response_minutes": 240, "resolution_minutes": 1440},
    },
}
_RATE_LIMIT = "100/second"
"""Of the key, so that a tour pasted in one go is not stopped by the limit of every other key."""
_EMPTY = Statement(
    select((func.count() == 0).label("empty")).select_from(Organization).where(Organization.deleted_at.is_(None))
)


@click.command(cls=Command)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65_535), help="Port of the service.")
@json_option
def demo(*, port: int, as_json: bool) -> None:
    """Fill an empty database with the contract's examples and show a key.

    With data there it changes nothing, and shows the key of the demo as long as there is one.
    """
    file = Settings.from_env().var_dir / "demo.key"
    with ready_database() as database:
        with database.write() as tx:
            created = tx.one(_EMPTY).empty
            if created:
                # Before the commit: a key that was made and then lost could not be shown again.
                _keep(file, _fill(tx))
        with database.read() as tx:
            key = _kept(tx, file)
    origin = f"http://127.0.0.1:{port}"
    address, console = f"{origin}{contract().base_path}/tickets", f"{origin}/docs"
    curl = f"curl -H 'x-api-key: {key}' {address}" if key else None
    lines = [
        f"API key:  {key}" if key else f"API key:  make one with `{program()} create-api-key --email E`",
        *([f"Try:      {curl}"] if curl else []),
        f"Console:  {console}",
    ]
    show({"created": bool(created), "key": key, "curl": curl, "console": console}, *lines, as_json=as_json)


def _fill(tx: Transaction) -> str:
    acme = organizations.create(tx, name="Acme", slug="acme")
    ada = users.create(tx, SYSTEM, acme.id, email="ada@acme.example", name="Ada Admin", role="admin")
    ben = users.create(tx, SYSTEM, acme.id, email="ben@acme.example", name="Ben Agent", role="agent")
    cleo = users.create(tx, SYSTEM, acme.id, email="cleo@acme.example", name="Cleo User", role="user")
    support = entities.add(tx, SYSTEM, Team, organization_id=acme.id, name="Support", description="First line.")
    teams.add_member(tx, support, ben)
    record, key = api_keys.create(tx, ada, name="Demo", rate_limit=_RATE_LIMIT)
    contacts.create(tx, SYSTEM, acme.id, email=cleo.email, name=cleo.name, user_id=cleo.id)
    dan = contacts.create(tx, SYSTEM, acme.id, **_DAN)

    def acting(user: Row, role: str | None = None) -> Principal:
        return Principal(user.id, acme.id, role or user.role, user.name, frozenset({"*"}), record.id)

    triage = {"assignee_id": ben.id, "team_id": support.id}
    # As staff, so that ticket 1 is triaged when it is raised and has the version its example shows.
    printing = lifecycle.create(tx, acting(cleo, "admin"), {**_PRINTING, **triage})
    invoice = lifecycle.create(tx, acting(ben), {**_INVOICE, **triage, "contact_id": dan.id})
    password = lifecycle.create(tx, acting(cleo), _PASSWORD)
    comments.create(tx, acting(ben), printing, body="We are looking into it.")
    comments.create(tx, acting(ben), invoice, body="Billing corrects it tomorrow.", visibility="internal")
    lifecycle.change(tx, acting(ben), invoice, {"status": "pending"})
    lifecycle.change(tx, acting(ben), password, {"status": "resolved"})
    # After the tickets, whose examples show the due times that are built in.
    conditions = {"types": ["incident"], "team_ids": [support.id]}
    sla_policies.create(tx, acme.id, {**_INCIDENTS, "conditions": conditions})
    return key


def _keep(file: Path, key: str) -> None:
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as new:
        new.write(key + "\n")
    partial.replace(file)


def _kept(tx: Transaction, file: Path) -> str | None:
    """Read the key, unless it is of a database that is gone, or was revoked."""
    if not file.exists():
        return None
    key = file.read_text().strip()
    return key if api_keys.authenticate(tx, key) is not None else None
