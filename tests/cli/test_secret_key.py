"""The secret key that the service makes for itself: once, at the first start."""

import threading
from pathlib import Path

import httpx
import pytest
from commands import Desk

from factories import Tenant
from post import Mailbox
from service import ProcessService
from tickets.app import create_app
from tickets.settings import Settings, SettingsError


def key_of(desk: Desk) -> Path:
    return desk.var_dir / "secret.key"


class TestFirstStart:
    def test_migrate_makes_it(self, empty_desk: Desk):
        empty_desk.ok("migrate")
        made = key_of(empty_desk).read_bytes()
        assert len(made) >= 32
        empty_desk.ok("migrate")
        empty_desk.ok("create-org", "--name", "Acme", "--email", "ada@acme.example")
        assert key_of(empty_desk).read_bytes() == made

    @pytest.mark.parametrize("words", [("create-org", "--name", "Acme", "--email", "ada@acme.example"), ("demo",)])
    def test_a_command_makes_it_before_the_first_account(self, desk: Desk, words: tuple[str, ...]):
        key_of(desk).unlink(missing_ok=True)
        desk.ok(*words)
        assert len(key_of(desk).read_bytes()) >= 32

    def test_another_server_makes_it_too(self, desk: Desk):
        key_of(desk).unlink(missing_ok=True)
        create_app(Settings(var_dir=desk.var_dir))
        assert len(key_of(desk).read_bytes()) >= 32

    def test_processes_that_start_at_once_get_the_same_one(self, tmp_path: Path):
        barrier, keys = threading.Barrier(8), []

        def start() -> None:
            settings = Settings(var_dir=tmp_path)
            barrier.wait(10)
            settings.make_secret_key()
            keys.append(settings.signing_keys()[0])

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(keys) == 8
        assert len(set(keys)) == 1
        assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


class TestLost:
    @pytest.fixture(autouse=True)
    def _lost(self, acme: Desk) -> None:
        key_of(acme).unlink()

    @pytest.mark.parametrize("words", [("serve",), ("worker",)])
    def test_what_needs_it_says_how_to_go_on_and_makes_none(self, acme: Desk, words: tuple[str, ...]):
        line = acme.fails(*words)
        assert f"{key_of(acme)} is gone: put it back" in line
        assert "ends all sessions" in line
        assert not key_of(acme).exists()

    def test_another_server_does_not_start_either(self, acme: Desk):
        with pytest.raises(SettingsError, match="put it back"):
            create_app(Settings(var_dir=acme.var_dir))
        assert not key_of(acme).exists()

    def test_other_commands_go_on_and_make_none(self, acme: Desk):
        acme.ok("stats")
        acme.ok("migrate")
        acme.ok("create-org", "--name", "Initech", "--email", "ida@initech.example")
        assert not key_of(acme).exists()

    def test_one_that_is_written_by_hand_is_used(self, acme: Desk):
        key_of(acme).write_text("x" * 40)
        create_app(Settings(var_dir=acme.var_dir))


def test_deleted_while_the_service_runs_codes_still_fit_and_none_is_made(tmp_path: Path):
    service = ProcessService(tmp_path)
    try:
        tenant = Tenant(service.database, service.origin)
        user = tenant.with_password("admin", vouched=False)
        (tmp_path / "secret.key").unlink()
        api = f"{service.origin}/api/v1"
        assert httpx.post(f"{api}/auth/email-otp", json={"email": user.email}).status_code == 202
        code = Mailbox(tmp_path / "mail").code(user.email)
        answer = httpx.post(f"{api}/auth/email-otp/verify", json={"email": user.email, "code": code})
        assert answer.status_code == 200, answer.text
        assert not (tmp_path / "secret.key").exists()
    finally:
        service.stop()
