"""send_secret: how much mail strangers can have sent to an address, and how many codes they can try."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from workbench import Bench

from tickets.domain import mail, organizations, passwords, registration, users
from tickets.domain.events import SYSTEM
from tickets.domain.one_time_secrets import OneTimeSecrets
from tickets.domain.registration import Newcomer

ADDRESS = "ada@acme.example"
HASHED = passwords.hashed("correct horse battery")
NEWCOMER = Newcomer(email=ADDRESS, name="Ada", password_hash=HASHED, organization_name="Acme")
Send = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def one_time(bench: Bench) -> OneTimeSecrets:
    return OneTimeSecrets(bench.settings.signing_keys())


@pytest.fixture
def send(bench: Bench, one_time: OneTimeSecrets) -> Send:
    """Do the work of a job, and return what the mails that it wrote were told."""

    def send(purpose: str) -> list[dict[str, Any]]:
        bench.write(registration.send, bench.settings, one_time, email=ADDRESS, purpose=purpose)
        return told(bench)

    return send


def told(bench: Bench) -> list[dict[str, Any]]:
    held = bench.claim(100, lease=10**12)
    return [mail.values_of(bench.settings, job.payload) for job in held if job.kind == mail.KIND]


def sign_up(bench: Bench, *, vouched: bool = False) -> Any:
    made = bench.write(organizations.create, name="Acme")
    return bench.write(users.create, SYSTEM, made.id, email=ADDRESS, name="Ada", role="admin", vouched=vouched)


def another(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


@pytest.mark.parametrize("purpose", ["verify_email", "reset_password"])
def test_an_address_gets_five_mails_of_a_kind_and_the_next_an_hour_after_the_last(
    bench: Bench, send: Send, purpose: str
):
    sign_up(bench)
    with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as clock:
        for _ in range(5):
            assert len(send(purpose)) == 1
            clock.shift(timedelta(minutes=10))
        for _ in range(60):
            assert send(purpose) == []
        clock.shift(timedelta(minutes=50, milliseconds=-1))
        assert send(purpose) == []
        clock.shift(timedelta(milliseconds=1))
        assert len(send(purpose)) == 1


def test_a_mail_too_many_leaves_the_last_code_good(bench: Bench, send: Send, one_time: OneTimeSecrets):
    sign_up(bench)
    code = [send("verify_email") for _ in range(6)][4][0]["code"]
    assert bench.write(registration.verify, one_time, email=ADDRESS, code=code) is not None


def test_kinds_are_counted_apart(bench: Bench, send: Send):
    sign_up(bench)
    assert [len(send("verify_email")) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    assert len(send("reset_password")) == 1


def test_who_tries_to_sign_up_with_a_taken_address_sends_its_owner_no_more_either(bench: Bench):
    sign_up(bench)
    for _ in range(7):
        assert bench.write(registration.register, bench.settings, NEWCOMER) is False
    assert len(told(bench)) == 5


def test_a_verified_address_gets_no_code(bench: Bench, send: Send):
    sign_up(bench, vouched=True)
    assert send("verify_email") == []
    assert len(send("reset_password")) == 1


def test_a_new_code_brings_no_new_tries(bench: Bench, send: Send, one_time: OneTimeSecrets):
    sign_up(bench)

    def enter(code: str) -> Any:
        return bench.write(registration.verify, one_time, email=ADDRESS, code=code)

    with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as clock:
        for _ in range(2):
            [first] = send("verify_email")
            for _ in range(2):
                assert enter(another(first["code"])) is None
        [third] = send("verify_email")
        assert enter(another(third["code"])) is None
        assert enter(third["code"]) is None
        clock.shift(timedelta(minutes=59))
        [fourth] = send("verify_email")
        assert enter(fourth["code"]) is None
        clock.shift(timedelta(hours=1))
        [fifth] = send("verify_email")
        assert enter(fifth["code"]) is not None


def test_an_account_that_is_made_anew_begins_nothing_anew(bench: Bench, send: Send, one_time: OneTimeSecrets):
    user = sign_up(bench)
    bench.write(users.create, SYSTEM, user.organization_id, email="eve@acme.example", name="Eve", role="admin")
    for _ in range(4):
        send("verify_email")
    [last] = send("verify_email")
    for _ in range(5):
        bench.write(registration.verify, one_time, email=ADDRESS, code=another(last["code"]))
    bench.write(users.remove, SYSTEM, user)
    bench.write(users.create, SYSTEM, user.organization_id, email=ADDRESS, name="Ada", role="user", vouched=False)
    assert send("verify_email") == []
