"""A service whose secret key was changed."""

from pathlib import Path

from factories import Client

TICKET = {"subject": "S", "description": ""}
HEADERS = {"idempotency-key": "the-key"}


def test_an_answer_sealed_with_the_old_key_is_not_shown_and_says_why(start, tmp_path: Path):
    service, tenant = start(secret_key="a" * 32)
    admin = tenant.client("admin")
    first = admin.post("/api-keys", json={"name": "Robot"}, headers=HEADERS)
    assert first.status_code == 201
    ticket = admin.post("/tickets", json=TICKET, headers=HEADERS)
    changed, _ = start(tmp_path, secret_key="b" * 32)
    assert changed.database.path == service.database.path
    with Client(changed.origin, admin.key) as client:
        again = client.post("/api-keys", json={"name": "Robot"}, headers=HEADERS)
        assert (again.status_code, again.json()["code"]) == (422, "idempotency_key_reused")
        assert "secret key" in again.json()["detail"]
        # What shows no secret is not sealed.
        assert client.post("/tickets", json=TICKET, headers=HEADERS).json() == ticket.json()
