"""Full-text search."""

from tickets import wire
from tickets.domain import access
from tickets.domain.listings import where
from tickets.domain.search import SEARCH
from tickets.http.context import current
from tickets.shapes.search import result as show


def search_tickets(*, q: str, limit: int, cursor: str | None = None) -> wire.SearchResultList:
    """Find tickets by their words."""
    call = current()
    asked = where(**access.scope(call.tx, call.caller), q=q)
    page: wire.SearchResultList = call.page(SEARCH, show, where=asked, sort="relevance", limit=limit, cursor=cursor)
    return page
