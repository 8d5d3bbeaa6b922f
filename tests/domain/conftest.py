"""A database for what decides without HTTP."""

from collections.abc import Iterator

import pytest

from tickets import migrations
from tickets.db import Connection, Database, Transaction
from tickets.settings import Settings


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An empty database."""
    with Database(Settings(var_dir=tmp_path_factory.mktemp("domain"))) as made:
        migrations.upgrade(made)
        yield made


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A connection of the test's own."""
    made = Connection(database)
    yield made
    made.rollback()
    made.close()


@pytest.fixture
def tx(connection: Connection) -> Transaction:
    """A transaction that is undone at the end."""
    return connection.begin(write=True)
