"""Who may call an operation: ``x-roles`` and ``x-scope`` of the contract, enforced here alone."""

from typing import Any

from tickets.domain.access import Principal
from tickets.errors import Forbidden, InsufficientScope


class Policy:
    """The rule of one operation.

    Args:
        operation: its Operation Object.

    Raises:
        ValueError: an operation that needs credentials names no roles or no scope.
    """

    def __init__(self, operation: dict[str, Any]) -> None:
        self.public = operation.get("security") == []
        if not self.public and not (operation.get("x-roles") and operation.get("x-scope")):
            raise ValueError(f"{operation['operationId']} needs x-roles and x-scope, or `security: []`.")
        self._roles = frozenset(operation.get("x-roles", ()))
        self._scope: str = operation.get("x-scope", "")

    def check(self, caller: Principal) -> None:
        """Let the caller pass.

        Raises:
            Forbidden: the role may not call the operation.
            InsufficientScope: the key has not the scope for it.
        """
        if caller.role not in self._roles:
            allowed = ", ".join(sorted(self._roles))
            raise Forbidden(f"This needs one of the roles: {allowed}. Yours is {caller.role}.")
        if self._scope not in caller.scopes and "*" not in caller.scopes and self._scope != "none":
            raise InsufficientScope(f"This needs a key with the scope {self._scope}; make one that has it.")
