"""Fuzz a running service against the contract as each role: `make contract`, and a shorter run among the tests.

PYTHONPATH=tests python tests/contract/fuzz.py [--max-examples N] [more arguments for schemathesis]
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from factories import Tenant
from service import ProcessService

HERE = Path(__file__).parent
ROLES = ("admin", "agent", "user")
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": ""}
"""The fuzzer meets the lines that other tests cover, so that measuring them again only makes it slow."""


def run(var_dir: Path, arguments: list[str], *, role: str = "admin") -> int:
    """Start a service on fresh demo data and let schemathesis at it.

    Args:
        var_dir: an empty folder for the service, the credentials and the reports.
        arguments: more arguments for ``schemathesis run``.
        role: whom it signs in as.

    Returns:
        The exit code: 0 when nothing was found.
    """
    var_dir.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **UNMEASURED, "TICKETS_VAR_DIR": str(var_dir)}
    for command in ("migrate", "demo"):
        subprocess.run(
            [sys.executable, "-m", "tickets", command], env=environment, check=True, stdout=subprocess.DEVNULL
        )
    service = ProcessService(var_dir, env=UNMEASURED)
    try:
        environment |= _credentials(service, var_dir, role)
        fuzzer = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{service.origin}/openapi.json", "--url", f"{service.origin}/api/v1"),
            *arguments,
        ]
        return subprocess.run(fuzzer, env=environment, cwd=HERE, check=False).returncode
    finally:
        code = service.stop()
        assert code == 0, f"the service ended with {code}; its log is {service.log}"


def _credentials(service: ProcessService, var_dir: Path, role: str) -> dict[str, str]:
    """Make a user of the demo tenant, one of another (neither may see what is the other's), and an operator."""
    one, another = Tenant(service.database, service.origin, slug="acme"), Tenant(service.database, service.origin)
    users = {"somebody of one tenant": one.user(role), "somebody of another": another.user(role)}
    users["operator"] = one.user("platform")
    entries = [
        {"name": name, "fixedHeaders": [{"name": "x-api-key", "value": one.key(user)}]} for name, user in users.items()
    ]
    auth, own = var_dir / "auth.json", var_dir / "own.json"
    auth.write_text(json.dumps({"auth": entries}))
    own.write_text(
        json.dumps(
            {
                "user_id": [user.id for user in users.values()],
                "organization_id": [one.id, another.id],
                "api_key_id": list(range(1, 10)),
            }
        )
    )
    return {
        "TICKETS_FUZZ_AUTH": str(auth),
        "TICKETS_FUZZ_OWN": str(own),
        "TICKETS_FUZZ_REPORTS": str(var_dir / "reports"),
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        target = Path(os.environ.get("FUZZ_DIR", folder))
        raise SystemExit(max(run(target / role, sys.argv[1:], role=role) for role in ROLES))
