"""Who tries passwords is not heard for long, and locks nobody out."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from ipaddress import ip_network

import httpx
import pytest
import time_machine

from api.checks import problem
from factories import PASSWORD, Client, Tenant
from service import ThreadService
from tickets.errors import RateLimited
from tickets.http.rate_limit import FailedLogins
from tickets.settings import Settings

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(scope="module")
def watchful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service that hears ten wrong passwords an hour, behind a proxy that tells who asks."""
    running = ThreadService(
        tmp_path_factory.mktemp("logins"), rate_limit_login="10/hour", trusted_proxies=(ip_network("127.0.0.1"),)
    )
    yield running
    running.stop()


@pytest.fixture
def town(watchful: ThreadService) -> Iterator[Tenant]:
    made = Tenant(watchful.database, watchful.origin)
    yield made
    made.close()


@pytest.fixture
def anybody(watchful: ThreadService) -> Iterator[Client]:
    with Client(watchful.origin) as client:
        yield client


def login(client: Client, email: str, password: str, address: str) -> httpx.Response:
    body = {"email": email, "password": password}
    return client.post("/auth/login", json=body, headers={"x-forwarded-for": address})


def test_the_eleventh_wrong_password_for_an_account_is_a_429_and_the_right_one_works_elsewhere(town, anybody):
    email = town.with_password("agent").email
    for _ in range(10):
        problem(login(anybody, email, "wrong password", HERE), 401, "invalid_credentials")
    refused = login(anybody, email, "wrong password", HERE)
    problem(refused, 429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 0
    problem(login(anybody, email, PASSWORD, HERE), 429, "rate_limited")
    assert login(anybody, email, PASSWORD, ELSEWHERE).status_code == 200


def test_ten_accounts_tried_from_one_address_are_as_bad_as_one(town, anybody):
    address = "192.0.2.3"
    for number in range(10):
        problem(login(anybody, f"guess-{number}@example.com", "x", address), 401, "invalid_credentials")
    problem(login(anybody, "guess-11@example.com", "x", address), 429, "rate_limited")
    assert login(anybody, town.with_password("agent").email, PASSWORD, "192.0.2.4").status_code == 200


def test_an_account_tried_from_everywhere_hears_each_address_once_and_its_owner(town, anybody):
    email = town.with_password("agent").email
    for number in range(10):
        problem(login(anybody, email, "wrong password", f"198.51.100.{number}"), 401, "invalid_credentials")
    problem(login(anybody, email, "wrong password", "198.51.100.50"), 401, "invalid_credentials")
    problem(login(anybody, email, "wrong password", "198.51.100.50"), 429, "rate_limited")
    assert login(anybody, email, PASSWORD, "203.0.113.7").status_code == 200


def test_who_signs_in_rightly_may_do_so_as_often_as_they_like(town, anybody):
    email = town.with_password("agent").email
    assert {login(anybody, email, PASSWORD, "192.0.2.9").status_code for _ in range(15)} == {200}


def test_all_addresses_that_one_machine_can_have_are_one(town, anybody):
    email = town.with_password("agent").email
    for number in range(10):
        problem(login(anybody, email, "wrong password", f"2001:db8:0:1::{number:x}"), 401, "invalid_credentials")
    problem(login(anybody, email, "wrong password", "2001:db8:0:1:ffff::1"), 429, "rate_limited")
    assert login(anybody, email, PASSWORD, "2001:db8:0:2::1").status_code == 200
    problem(login(anybody, f"other-{email}", "wrong password", "2001:db8:0:1::77"), 429, "rate_limited")


def test_an_ipv4_address_is_itself_however_it_is_written(town, anybody):
    email = town.with_password("agent").email
    for _ in range(10):
        login(anybody, email, "wrong password", "192.0.2.77")
    problem(login(anybody, email, PASSWORD, "::ffff:192.0.2.77"), 429, "rate_limited")
    assert login(anybody, email, PASSWORD, "::ffff:192.0.2.78").status_code == 200


def test_what_failed_for_our_reasons_is_no_wrong_password(watchful, town, anybody):
    email = town.with_password("agent").email
    with closing(sqlite3.connect(watchful.database.path)) as connection:
        connection.execute("ALTER TABLE passwords RENAME TO hidden_passwords")
        try:
            statuses = {login(anybody, email, PASSWORD, "192.0.2.90").status_code for _ in range(15)}
        finally:
            connection.execute("ALTER TABLE hidden_passwords RENAME TO passwords")
    assert min(statuses) >= 500
    for _ in range(10):
        problem(login(anybody, email, "wrong password", "192.0.2.90"), 401, "invalid_credentials")
    problem(login(anybody, email, PASSWORD, "192.0.2.90"), 429, "rate_limited")


class TestTheCeiling:
    def heard(self, failed: FailedLogins, network: int) -> bool:
        try:
            failed._begin(f"2001:db8:{network >> 16:x}:{network & 0xFFFF:x}::1", "ada@example.com")
        except RateLimited:
            return False
        return True

    @pytest.fixture
    def moment(self) -> Iterator[time_machine.Traveller]:
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as traveller:
            yield traveller

    def test_beyond_ten_times_the_limit_nobody_new_is_heard_until_the_window_ends(self, moment):
        failed = FailedLogins(Settings(rate_limit_login="10/minute"))
        assert sum(self.heard(failed, network) for network in range(5_000)) == 100
        moment.shift(60)
        assert self.heard(failed, 5_000)

    @pytest.mark.usefixtures("moment")
    def test_what_is_refused_does_not_use_it_up(self):
        failed = FailedLogins(Settings(rate_limit_login="10/minute"))
        assert sum(self.heard(failed, 1) for _ in range(5_000)) == 10
        assert self.heard(failed, 2)
