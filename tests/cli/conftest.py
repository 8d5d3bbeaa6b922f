"""Fixtures: a desk before and after `migrate`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from commands import Desk


@pytest.fixture
def empty_desk(tmp_path: Path) -> Desk:
    """A desk without a database."""
    return Desk(tmp_path)


@pytest.fixture
def desk(empty_desk: Desk) -> Desk:
    """A desk with a database and nothing in it."""
    empty_desk.ok("migrate")
    return empty_desk


@pytest.fixture
def acme(desk: Desk) -> Desk:
    """A desk with an organization and its admin."""
    desk.ok("create-org", "--name", "Acme", "--email", "ada@acme.example")
    return desk
