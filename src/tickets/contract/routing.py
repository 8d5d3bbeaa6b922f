"""Connexion's routing, made strict: a path is an operation's path or it is not."""

from typing import Any

import starlette.convertors
from connexion.middleware.routing import RoutingMiddleware


class _IdConvertor(starlette.convertors.IntegerConvertor):
    """An id in a path: no sign, no leading zero, at most 19 digits."""

    regex = "[1-9][0-9]{0,18}"


class StrictRoutingMiddleware(RoutingMiddleware):  # type: ignore[misc]  # connexion ships no types
    """Connexion's router without its guesses: no ``+5`` for 5, no redirect for a slash at the end."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        starlette.convertors.register_url_convertor("int", _IdConvertor())
        self.router.redirect_slashes = False

    def add_api(self, *args: Any, **kwargs: Any) -> None:
        """Add an API and keep its router from redirecting."""
        super().add_api(*args, **kwargs)
        for mount in self.router.routes:
            mount.app.redirect_slashes = False
