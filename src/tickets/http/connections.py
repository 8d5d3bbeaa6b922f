"""Limits on open connections, in all and per address; requests for health are answered even beyond these limits."""

import resource
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

import structlog

from tickets.http import addresses
from tickets.http.addresses import Network
from tickets.http.rate_limit import network_of
from tickets.settings import Settings

HEALTH = frozenset((b"/health", b"/health/ready", b"/api/v1/health", b"/api/v1/health/ready"))
"""Targets that are answered even when no place is free, so that a monitor does not take the service for dead."""
SPARE = 64
"""Connections beyond the maximum, on which only health is answered; a new one closes the oldest when all are taken."""
OTHER_FILES = 256
"""File descriptors for everything else: the database of each thread that reads, mail, the log."""

log = structlog.get_logger("tickets")


class Connection(Protocol):
    """A connection as `Connections` counts it."""

    def give_way(self) -> None:
        """Close at once: another needs the place."""


class Connections:
    """Counts the open connections and decides which of them are served.

    When a new connection needs a place, the one that has been idle longest is closed: of the same address when that
    address has used up its share, otherwise of all. If none of these is idle, the new one gets one of the few spare
    places, where only requests for health are answered.

    Args:
        most: connections that are served at once.
        share: how many of them may be of one address; of IPv6, a /64 counts as one.
        exempt: networks whose addresses have no such bound: proxies, which everybody comes through.
    """

    def __init__(self, most: int, share: int, exempt: Iterable[Network] = ()) -> None:
        self._most = most
        self._share = share
        self._exempt = tuple(exempt)
        self._served: dict[Connection, _Source] = {}
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._spare: OrderedDict[Connection, None] = OrderedDict()
        self._sources: dict[str, _Source] = {}

    def admit(self, connection: Connection, address: str) -> str | None:
        """Give a connection a place, closing an idle one if necessary; the new connection counts as idle.

        Returns:
            None when it is served, otherwise the reason why not, for the client.
        """
        source = self._source(address)
        if source.served >= self._limit_of(source):
            if not source.idle:
                self._wait(connection)
                return (
                    f"More than {self._share} connections are open from your address. "
                    "Close some or use them again, and try again in a moment."
                )
            self._close(next(iter(source.idle)))
        if len(self._served) >= self._most:
            if not self._idle:
                self._wait(connection)
                return "Too many connections are open. Try again in a moment."
            self._close(next(iter(self._idle)))
        self._spare.pop(connection, None)
        self._sources[source.name] = self._served[connection] = source
        source.served += 1
        self.rest(connection)
        return None

    def rest(self, connection: Connection) -> None:
        """Note that a connection asks nothing now."""
        source = self._served.get(connection)
        if source is not None:
            self._idle[connection] = source.idle[connection] = None

    def ask(self, connection: Connection) -> None:
        """Note that something comes in on a connection."""
        if connection in self._idle:
            del self._idle[connection]
            del self._served[connection].idle[connection]

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has closed."""
        self._spare.pop(connection, None)
        self.ask(connection)
        source = self._served.pop(connection, None)
        if source is not None:
            source.served -= 1
            if not source.served:
                del self._sources[source.name]

    def _wait(self, connection: Connection) -> None:
        if connection not in self._spare:
            if len(self._spare) >= SPARE:
                self._close(next(iter(self._spare)))
            self._spare[connection] = None

    def _close(self, connection: Connection) -> None:
        self.leave(connection)
        connection.give_way()

    def _source(self, address: str) -> "_Source":
        name = network_of(address)
        return self._sources.get(name) or _Source(name, is_exempt=self._is_exempt(address))

    def _is_exempt(self, address: str) -> bool:
        known = addresses.parse(address)
        return known is None or addresses.is_in(known, self._exempt)  # None: a socket in the file system, which all use

    def _limit_of(self, source: "_Source") -> int:
        return self._most if source.is_exempt else self._share


class _Source:
    """An address, or the network that counts as one, with its connections that are served."""

    def __init__(self, name: str, *, is_exempt: bool) -> None:
        self.name = name
        self.is_exempt = is_exempt
        self.served = 0
        self.idle: OrderedDict[Connection, None] = OrderedDict()


def allowed(settings: Settings) -> int:
    """Return how many connections can be served, and warn when the system allows too few open files for the setting.

    The limit of this process is raised as far as the system lets it.
    """
    wanted = settings.max_connections + SPARE + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings.max_connections
    with suppress(OSError, ValueError):  # a system may allow less than it says
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        soft = more
    if soft >= wanted:
        return settings.max_connections
    most = max(1, soft - SPARE - OTHER_FILES)
    log.warning(
        "too few open files are allowed for TICKETS_MAX_CONNECTIONS: raise the limit (ulimit -n, LimitNOFILE=)",
        open_files=soft,
        needed=wanted,
        connections=most,
    )
    return most
