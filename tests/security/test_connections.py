"""Who may hold how many connections: nobody can shut out the others, and health is always answered."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from rawhttp import Connection, request

from service import ProcessService, ThreadService
from tickets.contract.document import Document
from tickets.http.connections import HEALTH, OTHER_FILES, SPARE, Connections
from tickets.settings import shipped

ONE, OTHER, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
META = request("GET", "/_meta")
HALF = META[:-2]
"""A request whose last line is still to come."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ThreadService]]:
    running: list[ThreadService] = []

    def make(**settings: Any) -> ThreadService:
        running.append(ThreadService(tmp_path, **settings))
        return running[-1]

    yield make
    for service in running:
        service.stop()


@pytest.fixture
def opened() -> Iterator["Clients"]:
    with ExitStack() as stack:
        yield Clients(stack)


class Clients:
    """Opens connections, each of which is known to the service when the next is opened."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def idle(self, service: ThreadService, count: int, source: str) -> list[Connection]:
        """Open connections that never send anything."""
        return [self._stack.enter_context(Connection(service.port, source=source)) for _ in range(count)]

    def kept(self, service: ThreadService, count: int, source: str) -> list[Connection]:
        """Open connections that have asked something and may ask more."""
        made = self.idle(service, count, source)
        for connection in made:
            connection.send(META)
            assert connection.answer().status == 200
        return made

    def busy(self, service: ThreadService, count: int, source: str) -> list[Connection]:
        """Open connections that are in the middle of a request."""
        made = self.kept(service, count, source)
        for connection in made:
            connection.send(META + HALF)
            assert connection.answer().status == 200
        return made

    def asks(self, service: ThreadService, source: str, data: bytes = META) -> tuple[int, Connection]:
        """Ask something on a new connection."""
        (made,) = self.idle(service, 1, source)
        made.send(data)
        return made.answer().status, made


def is_open(connection: Connection) -> bool:
    connection.send(META)
    try:
        return connection.answer().status == 200
    except AssertionError:  # it ended before there was an answer
        return False


def test_one_address_cannot_shut_out_the_others(start, opened):
    service = start(max_connections=10)
    opened.busy(service, 5, ONE)
    for _ in range(10):
        status, connection = opened.asks(service, ONE)
        assert status == 503
        assert connection.ended()
    assert [opened.asks(service, OTHER)[0] for _ in range(5)] == [200] * 5


def test_who_has_too_many_is_told_what_to_do(start, opened):
    service = start(max_connections=10)
    opened.busy(service, 5, ONE)
    (connection,) = opened.idle(service, 1, ONE)
    connection.send(META)
    answer = connection.answer()
    assert answer.problem()["code"] == "service_unavailable"
    assert answer.json()["detail"] == (
        "More than 5 connections are open from your address. Close some or use them again, and try again in a moment."
    )
    assert int(answer.headers["retry-after"]) >= 1
    assert connection.ended()


@pytest.mark.parametrize("kind", ["idle", "kept"])
def test_what_asks_nothing_makes_way_for_a_new_one_of_its_address_the_longest_idle_first(start, opened, kind):
    service = start(max_connections=10)
    others = opened.kept(service, 3, OTHER)
    first, second, *rest = getattr(opened, kind)(service, 5, ONE)
    assert [opened.asks(service, ONE)[0] for _ in range(2)] == [200, 200]
    assert first.ended()
    assert second.ended()
    assert all(map(is_open, (*rest, *others)))


def test_with_all_places_taken_the_longest_idle_of_all_makes_way(start, opened):
    service = start(max_connections=6, max_connections_per_address=3)
    busy = opened.busy(service, 2, ONE)
    first, second, third = opened.kept(service, 3, OTHER)
    (fourth,) = opened.kept(service, 1, ONE)
    assert is_open(first)  # and so it is not the longest idle any more
    assert opened.asks(service, THIRD)[0] == 200
    assert second.ended()
    for connection in busy:
        connection.send(b"\r\n")
        assert connection.answer().status == 200
    assert all(map(is_open, (first, third, fourth)))


def test_200_idle_connections_shut_nobody_out(start, opened):
    service = start(max_connections=200)
    opened.idle(service, 200, ONE)
    assert [opened.asks(service, source)[0] for source in (OTHER, ONE) for _ in range(3)] == [200] * 6


@pytest.mark.parametrize("target", sorted(HEALTH))
def test_health_is_answered_when_every_place_is_taken(start, opened, target):
    service = start(max_connections=4, max_connections_per_address=4)
    opened.busy(service, 4, ONE)
    for source in (ONE, OTHER):
        status, connection = opened.asks(service, source, request("GET", target))
        assert status == 200
        assert connection.ended()
        assert opened.asks(service, source, request("GET", target + b"?probe=1"))[0] == 400  # not a 503
        assert opened.asks(service, source)[0] == 503


def test_health_is_answered_whoever_else_waits_for_a_place(start, opened):
    """The places beyond the maximum are few, and each makes way for the next."""
    service = start(max_connections=4, max_connections_per_address=4)
    opened.busy(service, 4, ONE)
    waiting = opened.idle(service, SPARE + 20, ONE)
    for connection in waiting:
        connection.send(HALF)
    for _ in range(3):
        assert opened.asks(service, OTHER, request("GET", "/health"))[0] == 200
    assert len(service.server.server_state.connections) <= 4 + SPARE


def test_who_waited_for_a_place_gets_one_that_is_free_when_it_asks(start, opened):
    service = start(max_connections=2, max_connections_per_address=2)
    first, _ = opened.busy(service, 2, ONE)
    (waiting,) = opened.idle(service, 1, ONE)
    assert opened.asks(service, OTHER, request("GET", "/health"))[0] == 200  # and so the one before is known
    first.send(b"\r\n")
    assert first.answer().status == 200
    assert is_open(waiting)
    assert is_open(waiting)


def test_a_trusted_proxy_has_as_many_as_there_are(start, opened):
    service = start(max_connections=10, trusted_proxies=(ip_network(f"{OTHER}/32"),))
    opened.busy(service, 9, OTHER)
    assert opened.asks(service, OTHER)[0] == 200


def test_a_place_is_free_again_when_its_connection_is_closed(start):
    service = start(max_connections=4)
    for _ in range(20):
        with ExitStack() as stack:
            Clients(stack).busy(service, 2, ONE)
            assert Clients(stack).asks(service, ONE)[0] == 503


def test_health_is_where_the_contract_says():
    document = Document(shipped("openapi.yaml"))
    paths = [path for path, _, _ in document.operations() if path.startswith("/health")]
    assert {document.base_path + path for path in paths} | set(paths) == {target.decode() for target in HEALTH}
    assert set(paths) < document.aliases.keys()


class Named:
    """A connection that notes that it gave way."""

    def __init__(self) -> None:
        self.gave_way = False

    def give_way(self) -> None:
        self.gave_way = True


class TestCounting:
    @pytest.mark.parametrize(
        ("address", "neighbour"),
        [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::2%eth1"),
        ],
    )
    def test_what_one_machine_can_have_is_one_address(self, address, neighbour):
        connections = Connections(10, 1)
        first, second = Named(), Named()
        assert connections.admit(first, address) is None
        connections.ask(first)
        assert "from your address" in (connections.admit(second, neighbour) or "")
        assert connections.admit(Named(), "2001:db8:9::1") is None

    def test_a_socket_in_the_file_system_is_everybodys(self):
        connections = Connections(5, 1)
        assert [connections.admit(Named(), "") for _ in range(5)] == [None] * 5

    def test_a_proxy_that_ipv6_sockets_show_is_one(self):
        connections = Connections(5, 1, [ip_network("10.0.0.0/8")])
        assert [connections.admit(Named(), "::ffff:10.0.0.1") for _ in range(5)] == [None] * 5

    def test_nothing_is_kept_of_who_left(self):
        connections = Connections(3, 2)
        made = [Named() for _ in range(200)]
        for number, connection in enumerate(made):
            connections.admit(connection, f"192.0.2.{number}")
            if number % 2:
                connections.ask(connection)
        for connection in made:
            connections.leave(connection)
            connections.rest(connection)
            connections.ask(connection)
        held = (connections._served, connections._idle, connections._spare, connections._sources)
        assert [len(each) for each in held] == [0] * 4


def test_too_few_open_files_are_told_of_and_never_used_up(tmp_path: Path):
    service = ProcessService(tmp_path, open_files=OTHER_FILES + SPARE + 5)
    try:
        (line,) = [json.loads(text) for text in service.log.read_text().splitlines()]
        assert line["level"] == "warning"
        assert "TICKETS_MAX_CONNECTIONS" in line["event"]
        assert (line["needed"], line["connections"]) == (2_000 + OTHER_FILES + SPARE, 5)
        with ExitStack() as stack:
            clients = Clients(stack)
            clients.busy(service, 2, ONE)
            assert clients.asks(service, ONE)[0] == 503
            for _ in range(3 * SPARE):
                clients.idle(service, 1, OTHER)
            assert clients.asks(service, THIRD, request("GET", "/health/ready"))[0] == 200
    finally:
        assert service.stop() == 0
    assert len(service.log.read_text().splitlines()) == 1
