"""A fair queue: tenants are served in turn, so a tenant with much work delays itself and not the others."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from tickets.errors import ServiceUnavailable
from tickets.http.exchange import Exchange
from tickets.http.rate_limit import network_of

Tenant = int | str | None
"""Whose work it is: an organization's id, the network of somebody who has not signed in, or None for the service."""

_Item = TypeVar("_Item")


def tenant_of(exchange: Exchange) -> Tenant:
    """Return the tenant of a request: the caller's organization, else the network of the client."""
    return network_of(exchange.client) if exchange.organization_id is None else exchange.organization_id


class FairQueue(Generic[_Item]):
    """Keeps what waits, by tenant: tenants take turns, and what one tenant asked for keeps its order."""

    def __init__(self) -> None:
        # In the order of turns: whoever was served goes to the end. None is empty.
        self._waiting: dict[Tenant, deque[_Item]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def count(self, tenant: Tenant) -> int:
        """Count what waits of one tenant."""
        return len(self._waiting.get(tenant, ()))

    def add(self, tenant: Tenant, item: _Item) -> None:
        """Put an item behind the others of its tenant."""
        self._waiting.setdefault(tenant, deque()).append(item)
        self._length += 1

    def take(self, may: Callable[[Tenant, _Item], bool] = lambda *_: True) -> tuple[Tenant, _Item] | None:
        """Take the first item of the tenant whose turn it is; None when there is none that may be taken.

        Args:
            may: decides on a tenant's first item; a tenant whose item may not be taken yet keeps their turn.
        """
        for tenant, items in self._waiting.items():
            if may(tenant, items[0]):
                del self._waiting[tenant]
                item = items.popleft()
                if items:
                    self._waiting[tenant] = items
                self._length -= 1
                return tenant, item
        return None

    def has(self, may: Callable[[Tenant, _Item], bool]) -> bool:
        """Return whether `take` would find an item."""
        return any(may(tenant, items[0]) for tenant, items in self._waiting.items())

    def drop(self, tenant: Tenant, item: _Item) -> None:
        """Forget an item, if it still waits."""
        items = self._waiting.get(tenant, deque())
        if item in items:
            items.remove(item)
            self._length -= 1
            if not items:
                del self._waiting[tenant]


def too_much(what: str) -> ServiceUnavailable:
    """Return the 503 for a tenant that has too much work queued.

    Args:
        what: the kind of that work, in the plural, such as ``writes``.
    """
    return ServiceUnavailable(
        f"Too many of your own {what} wait already. Wait for their answers, and ask for fewer at once.", retry_after=3
    )
