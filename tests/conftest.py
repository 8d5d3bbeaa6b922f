"""Fixtures: one running service for most tests, and a tenant of its own for each test."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from factories import Client, Tenant
from post import Mailbox
from service import ThreadService

# The same examples each time, however long a busy machine takes for one.
hypothesis_settings.register_profile(
    "tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("tests")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadService]:
    """A service that runs for the whole session."""
    running = ThreadService(tmp_path_factory.mktemp("service"))
    yield running
    running.stop()


@pytest.fixture
def tenant(service: ThreadService) -> Iterator[Tenant]:
    """An organization of the test's own."""
    made = Tenant(service.database, service.origin)
    yield made
    made.close()


@pytest.fixture
def other(service: ThreadService) -> Iterator[Tenant]:
    """Another organization."""
    made = Tenant(service.database, service.origin)
    yield made
    made.close()


@pytest.fixture
def admin(tenant: Tenant) -> Client:
    """An admin of the tenant."""
    return tenant.client("admin")


@pytest.fixture
def agent(tenant: Tenant) -> Client:
    """An agent of the tenant."""
    return tenant.client("agent")


@pytest.fixture
def user(tenant: Tenant) -> Client:
    """A user of the tenant, who only raises tickets."""
    return tenant.client("user")


@pytest.fixture
def mailbox(service: ThreadService) -> Mailbox:
    """The mail that the service wrote."""
    return Mailbox(service.settings.mail_dir)


@pytest.fixture
def anonymous(service: ThreadService) -> Iterator[Client]:
    """Somebody without a key."""
    with Client(service.origin) as client:
        yield client
