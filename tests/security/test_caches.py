"""What is remembered between requests: so many things, each so large at most, whatever anybody sends."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tickets
from tickets.contract.parameters import MAX_CACHED_QUERY
from tickets.domain import words
from tickets.http import redaction

SOURCE = Path(tickets.__file__).parent
BOUNDED = {
    # Keyed by what requests say: entries, and why none is large.
    "http.redaction._sounds_secret": "1024 names of up to 256 characters",
    "http.redaction._agent": "1024 agents of up to 1,000 bytes",
    "http.redaction._query": "256 queries of up to 500 bytes",
    "http.rate_limit.network_of": "4096 addresses, which the guard cuts",
    "contract.parameters.Parameters.__init__": "256 valid queries of up to 256 bytes for each operation",
    "domain.words._folded": "16384 words of up to 256 characters",
    "domain.listing.Listing.__init__": "64 statements for each list and way of asking, of up to 20 values a filter",
    "domain.records._update": "512 sets of columns",
    "clock._date": "4096 days",
    # Keyed by what the program says: a few entries for good.
    "http.pages._version": "64 files of the service",
    "http.rate_limit": "rates that the operator wrote",
    "http.rate_limit._headers_of": "1024 combinations of those rates",
    "db.failures._uniques": "tables",
    "domain.entities._namers": "tables",
    "domain.passwords._common": "one",
    "domain.records._by_id": "tables",
    "domain.records._insert": "tables",
    "domain.records._delete": "tables",
    "domain.stats._created": "the groups of the contract",
    "domain.stats._resolved": "the groups of the contract",
    "domain.stats._closed": "the groups of the contract",
    "domain.indexing._documents": "one for each call, gone with it",
    # Only in commands.
    "cli.environment.contract": "one",
    "cli.environment._checker": "schemas of the contract",
}
"""Every cache there is, with its bound; a new one belongs in here, and in decisions/0021."""


def _caches(node: ast.AST, place: str) -> Iterator[str]:
    """Find the functions that have a cache, or make one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _caches(child, f"{place}.{child.name}")
        elif (isinstance(child, ast.Name) and child.id in ("cache", "lru_cache")) or (
            isinstance(child, ast.Attribute) and child.attr in ("cache", "lru_cache")
        ):
            yield place
        else:
            yield from _caches(child, place)


def test_every_cache_has_a_bound():
    found = set()
    for file in SOURCE.rglob("*.py"):
        place = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
        found |= set(_caches(ast.parse(file.read_text()), place))
    assert found == set(BOUNDED)


@pytest.mark.parametrize(
    ("look", "cache"),
    [(redaction.is_secret, redaction._sounds_secret), (redaction.query, redaction._query)],
    ids=["a name", "a query"],
)
def test_what_is_long_is_not_remembered(look, cache):
    cache.cache_clear()
    long = "x" * 70_000
    look(long.encode() if look is redaction.query else long)
    assert cache.cache_info().currsize == 0


def test_of_an_agent_the_beginning_is_remembered():
    redaction._agent.cache_clear()
    for number in range(100):
        redaction.agent(b"x" * 1_000 + b"%d" % number)
    assert redaction._agent.cache_info().currsize == 1


def test_a_long_name_is_taken_for_that_of_a_secret():
    assert not redaction.is_secret("n" * 256)
    assert redaction.is_secret("n" * 257)


def test_a_long_query_is_read_anew_each_time(admin):
    long = "&".join(f"status={status}" for status in ["open", "pending", "resolved", "closed"] * 5)
    assert len(long) > MAX_CACHED_QUERY
    first, second = (admin.get(f"/tickets?{long}") for _ in range(2))
    assert first.status_code == 200
    assert first.json() == second.json()


def test_no_more_kinds_of_characters_are_remembered_than_people_write():
    kinds = words._Kinds()
    for code in range(0x10000, 0x10000 + 3 * words._MOST_KINDS):
        assert kinds[code]
        assert len(kinds) <= words._MOST_KINDS
