"""Connexion's routing, made strict and made fast: a path is an operation's path or it is not."""

import re
from typing import Any

import starlette.convertors
from connexion.middleware.abstract import ROUTING_CONTEXT
from connexion.middleware.routing import RoutingMiddleware
from starlette.routing import Route

# An id in a path: no sign, no leading zero, at most 19 digits.
_ID = "[1-9][0-9]{0,18}"
_ID_SEGMENT = re.compile(f"(?<=/){_ID}(?=/|$)")


class _IdConvertor(starlette.convertors.IntegerConvertor):
    regex = _ID


class StrictRoutingMiddleware(RoutingMiddleware):  # type: ignore[misc]  # connexion ships no types
    """Connexion's router without its guesses: no ``+5`` for 5, no redirect for a slash at the end.

    Starlette tries one route after the other. All our path parameters are ids, so a path with its ids taken
    out finds its route in a dictionary; what finds none goes the slow way, to the same verdict or a 405.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        starlette.convertors.register_url_convertor("int", _IdConvertor())
        self.router.redirect_slashes = False
        self._direct: dict[tuple[str, str], tuple[str, str, list[str]]] = {}

    def add_api(self, *args: Any, **kwargs: Any) -> None:
        """Add an API, keep its router from redirecting, and index its routes."""
        super().add_api(*args, **kwargs)
        for mount in self.router.routes:
            mount.app.redirect_slashes = False
            for route in mount.app.routes:
                self._index(mount.path, route)

    def _index(self, base_path: str, route: Route) -> None:
        shape = base_path + re.sub(r"\{[^}]*\}", "#", route.path)
        endpoint: Any = route.endpoint
        found = (base_path, endpoint.operation_id, list(route.param_convertors))
        for method in route.methods or ():
            self._direct[method, shape] = found

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Attach the operation to the request."""
        found = None
        if scope["type"] == "http":
            path = scope["path"]
            found = self._direct.get((scope["method"], _ID_SEGMENT.sub("#", path)))
        if found is None or "#" in path:
            await super().__call__(scope, receive, send)
            return
        base_path, operation_id, names = found
        ids = map(int, _ID_SEGMENT.findall(path)) if names else ()
        scope["path_params"] = dict(zip(names, ids, strict=True))
        scope["extensions"][ROUTING_CONTEXT] = {"api_base_path": base_path, "operation_id": operation_id}
        await self.app(scope, receive, send)
