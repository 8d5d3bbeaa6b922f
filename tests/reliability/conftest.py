"""What the tests of bad luck share: a service of their own each, since they take it apart."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from forking import Forked

from factories import Tenant
from service import ThreadService


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[ThreadService, Tenant]]]:
    """Start a service with a tenant in it; both end with the test."""
    running: list[ThreadService] = []
    tenants: list[Tenant] = []

    def make(var_dir: Path = tmp_path, **settings: Any) -> tuple[ThreadService, Tenant]:
        running.append(ThreadService(var_dir, **settings))
        tenants.append(Tenant(running[-1].database, running[-1].origin))
        return running[-1], tenants[-1]

    yield make
    for tenant in tenants:
        tenant.close()
    for service in running:
        service.stop()


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[Forked]:
    """A service that can be killed and started anew many times."""
    running = Forked(tmp_path)
    yield running
    running.stop()
