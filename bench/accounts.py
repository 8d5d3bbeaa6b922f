"""Whether the time of an answer tells that an account exists: 200 requests each for a known and an unknown address.

`python -m bench.accounts`, on a machine that does nothing else.
"""

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from tickets import migrations
from tickets.db import Database
from tickets.domain import organizations, passwords, users
from tickets.domain.events import SYSTEM
from tickets.domain.one_time_secrets import OneTimeSecrets
from tickets.settings import Settings

ROUNDS = 200
PORT = 8391
KNOWN = "ada@acme.example"
REQUESTS = {
    "/auth/login": {"password": "not the right one"},
    "/auth/email-otp": {},
    "/auth/password-reset": {},
    "/auth/email-otp/verify": {"code": "000000"},
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Database(Settings(var_dir=Path(folder))) as database:
            migrations.upgrade(database)
            Settings(var_dir=Path(folder)).make_secret_key()
            with database.write() as tx:
                acme = organizations.create(tx, name="Acme")
                ada = users.create(tx, SYSTEM, acme.id, email=KNOWN, name="Ada", role="admin")
                passwords.store(tx, ada.id, passwords.hashed("correct horse battery"))
        limits = {f"TICKETS_RATE_LIMIT_{name}": "1000000/minute" for name in ("ANONYMOUS", "AUTH", "LOGIN")}
        service = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-m", "tickets", "serve", "--port", str(PORT)],
            env={**os.environ, "TICKETS_VAR_DIR": folder, "TICKETS_LOG_LEVEL": "warning", **limits},
        )
        try:
            with Database(Settings(var_dir=Path(folder))) as database:
                _show(_measure(database))
        finally:
            service.terminate()
            service.wait(15)


def _measure(database: Database) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}/api/v1", timeout=30) as client:
        _wait(client)
        for path, body in REQUESTS.items():
            times: dict[str, list[float]] = {"known": [], "unknown": []}
            for number in range(ROUNDS + 10):
                # In an order that nobody can be disadvantaged by, each after the same pause.
                for who in _shuffled():
                    _give_code(database)  # else there is nothing to count a wrong one against after a few
                    email = KNOWN if who == "known" else f"nobody-{number}@acme.example"
                    time.sleep(0.01)
                    began = time.perf_counter()
                    client.post(path, json={"email": email, **body})
                    if number >= 10:
                        times[who].append((time.perf_counter() - began) * 1000)
            found[path] = times
    return found


def _give_code(database: Database) -> None:
    one_time = OneTimeSecrets(Settings(var_dir=database.path.parent).signing_keys())
    with database.write() as tx:
        user = users.by_email(tx, KNOWN)
        one_time.give(tx, user, "verify_email")


def _shuffled() -> list[str]:
    return ["known", "unknown"] if secrets.randbelow(2) else ["unknown", "known"]


def _wait(client: httpx.Client) -> None:
    for _ in range(200):
        try:
            client.get("/health")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the service does not answer")


def _show(found: dict[str, dict[str, list[float]]]) -> None:
    made = Table("request", title=f"Medians of {ROUNDS} answers, ms", title_justify="left")
    for column in ("known", "unknown", "known / unknown"):
        made.add_column(column, justify="right")
    for path, times in found.items():
        known, unknown = (statistics.median(times[who]) for who in ("known", "unknown"))
        made.add_row(path, f"{known:.2f}", f"{unknown:.2f}", f"{known / unknown:.3f}")
    Console().print(made)


if __name__ == "__main__":
    main()
