"""Tenants, people and tickets for tests; each test makes its own, so no test sees another's."""

import itertools
import ssl
from dataclasses import dataclass, field
from typing import Any

import httpx

from tickets.db import Database
from tickets.domain import api_keys, index_updates, organizations, passwords, users
from tickets.domain.events import SYSTEM

PASSWORD = "correct horse battery"
_HASHED = passwords.hashed(PASSWORD)
_numbers = itertools.count(1)
_TLS = ssl.create_default_context()  # not used, but httpx would make one for each client: 60 ms


class Client(httpx.Client):
    """An HTTP client that speaks with one API key, relative to the API's base path."""

    def __init__(self, origin: str, key: str | None = None, **kwargs: Any) -> None:
        headers = {"x-api-key": key} if key else {}
        super().__init__(base_url=f"{origin}/api/v1", headers=headers, timeout=30, verify=_TLS, **kwargs)
        self.key = key


def catch_up(database: Database) -> None:
    """Do what the job `update_search_index` has left to do: from now on long texts are found too."""
    organization_id: int | None = 0
    while organization_id is not None:
        with database.write() as tx:
            organization_id = index_updates.catch_up(tx, organization_id)


@dataclass
class Tenant:
    """An organization with clients for each role; made in the database, as an operator would.

    With a slug it is the one that has it.
    """

    database: Database
    origin: str
    slug: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        with self.database.write() as tx:
            self.organization = (
                organizations.by_slug(tx, self.slug)
                if self.slug
                else organizations.create(tx, name=f"Tenant {self.number}", slug=f"tenant-{self.number}")
            )
        assert self.organization is not None
        self.id: int = self.organization.id
        self._clients: dict[str, Client] = {}
        self._signed_in: list[Client] = []
        self.users: dict[str, Any] = {}

    def user(self, role: str, **values: Any) -> Any:
        """Make an account."""
        number = next(_numbers)
        values = {
            "email": f"{role}-{number}@tenant-{self.number}.example",
            "name": f"{role.title()} {number}",
            **values,
        }
        with self.database.write() as tx:
            return users.create(tx, SYSTEM, self.id, role=role, **values)

    def key(self, user: Any, **values: Any) -> str:
        """Make an API key that no rate limit stops."""
        values = {"name": "test", "rate_limit": "1000000/second", **values}
        with self.database.write() as tx:
            return api_keys.create(tx, user, **values)[1]

    def with_password(self, role: str, **values: Any) -> Any:
        """Make an account that can sign in with `PASSWORD`."""
        user = self.user(role, **values)
        with self.database.write() as tx:
            passwords.store(tx, user.id, _HASHED)
        return user

    def signed_in(self, role: str = "admin", **values: Any) -> Client:
        """Return the client of somebody who signed in with a password."""
        user = self.with_password(role, **values)
        client = Client(self.origin)
        answer = client.post("/auth/login", json={"email": user.email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        self._signed_in.append(client)
        return client

    def client(self, role: str = "admin", **values: Any) -> Client:
        """Return the client of a role; with values it is one with a key of its own."""
        if values:
            return Client(self.origin, self.key(self.user(role), **values))
        if role not in self._clients:
            self.users[role] = self.user(role)
            self._clients[role] = Client(self.origin, self.key(self.users[role]))
        return self._clients[role]

    def create(self, path: str, **body: Any) -> dict[str, Any]:
        """POST as the admin and return what was made."""
        response = self.client().post(path, json=body)
        assert response.status_code == 201, response.text
        return response.json()

    def ticket(self, **values: Any) -> dict[str, Any]:
        """Raise a ticket as the admin."""
        return self.create("/tickets", **{"subject": "Printer", "description": "It is on fire.", **values})

    def contact(self, **values: Any) -> dict[str, Any]:
        """Add a contact."""
        number = next(_numbers)
        return self.create("/contacts", **{"email": f"c{number}@example.com", "name": f"Contact {number}", **values})

    def team(self, **values: Any) -> dict[str, Any]:
        """Make a team."""
        return self.create("/teams", **{"name": f"Team {next(_numbers)}", **values})

    def sla_policy(self, **values: Any) -> dict[str, Any]:
        """Make a service level policy."""
        target = {"first_response_minutes": 30, "resolution_minutes": 90}
        targets = dict.fromkeys(("urgent", "high", "medium", "low"), target)
        return self.create("/sla-policies", **{"name": f"Policy {next(_numbers)}", "targets": targets, **values})

    def comment(self, ticket: dict[str, Any], **values: Any) -> dict[str, Any]:
        """Comment on a ticket as the admin."""
        return self.create(f"/tickets/{ticket['id']}/comments", **{"body": "On it.", **values})

    def close(self) -> None:
        """Close the clients."""
        for client in (*self._clients.values(), *self._signed_in):
            client.close()
