"""Fixtures: a queue of each test's own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from workbench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A queue with nothing in it."""
    made = Bench(tmp_path)
    yield made
    made.close()
