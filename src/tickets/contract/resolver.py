"""From operationId to function: tag and name are all it takes."""

import importlib
import re
from collections.abc import Callable
from typing import Any

from connexion.exceptions import ResolverError
from connexion.operations import AbstractOperation
from connexion.resolver import Resolution, Resolver


class TagResolver(Resolver):  # type: ignore[misc]  # connexion ships no types
    """Resolves ``createTicket`` with the tag ``tickets`` to ``<package>.tickets.create_ticket``.

    Args:
        package: where the handlers live, one module a tag.
    """

    def __init__(self, package: str) -> None:
        super().__init__()
        self._package = package

    def resolve(self, operation: AbstractOperation) -> Resolution:
        """Find the handler of an operation.

        Raises:
            ResolverError: there is no such function; the service does not start.
        """
        operation_id = operation.operation_id
        return Resolution(self.handler(operation._operation["tags"][0], operation_id), operation_id)

    def handler(self, tag: str, operation_id: str) -> Callable[..., Any]:
        """Find the function for an operationId in the module of its tag."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", operation_id).lower()
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(f"{self._package}.{tag}"), name)
        except (ImportError, AttributeError) as error:
            raise ResolverError(f"{operation_id} needs the function {name} in {self._package}.{tag}: {error}") from None
        return found
