"""Signing up, in and out; verified addresses and forgotten passwords."""

import itertools
from datetime import UTC, datetime, timedelta

import jwt
import pytest
import time_machine

from api.checks import problem
from factories import PASSWORD, Client
from tickets.domain import users

OTHER = "another horse battery"
_numbers = itertools.count(1)


@pytest.fixture
def address() -> str:
    """An address that nobody has yet."""
    return f"newcomer-{next(_numbers)}@example.com"


def founder(email: str, **values: object) -> dict[str, object]:
    return {"email": email, "password": PASSWORD, "name": "Fay", "organization_name": "Globex", **values}


def login(client: Client, email: str, password: str = PASSWORD):
    return client.post("/auth/login", json={"email": email, "password": password})


def sign_up(client: Client, email: str, **values: object) -> dict[str, str]:
    """Found an organization and sign in, without a verified address; return the header that says so."""
    assert client.post("/auth/register", json=founder(email, **values)).status_code == 201
    return bearer(login(client, email).json())


def bearer(tokens: dict[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


class TestRegister:
    def test_who_founds_an_organization_is_its_admin(self, anonymous, address):
        answer = anonymous.post("/auth/register", json=founder(address.upper()))
        assert (answer.status_code, answer.json()) == (201, {"email": address, "verification_required": False})
        me = anonymous.get("/auth/me", headers=bearer(login(anonymous, address).json())).json()
        assert (me["role"], me["organization"]["name"], me["email_verified_at"]) == ("admin", "Globex", None)

    def test_who_joins_one_is_a_user(self, anonymous, address, admin, tenant):
        admin.patch("/organization", json={"settings": {"allow_self_registration": True}})
        body = {"email": address, "password": PASSWORD, "name": "Joe", "organization_slug": tenant.organization.slug}
        assert anonymous.post("/auth/register", json=body).status_code == 201
        me = anonymous.get("/auth/me", headers=bearer(login(anonymous, address).json())).json()
        assert (me["role"], me["organization_id"]) == ("user", tenant.id)

    def test_an_organization_that_is_closed_answers_as_one_that_does_not_exist(self, anonymous, address, tenant):
        answers = []
        for slug in (tenant.organization.slug, "no-such-slug-at-all"):
            body = {"email": address, "password": PASSWORD, "name": "Joe", "organization_slug": slug}
            told = problem(anonymous.post("/auth/register", json=body), 404, "not_found", "/organization_slug")
            answers.append(told["detail"].replace(slug, ""))
        assert answers[0] == answers[1]

    def test_a_taken_address_gets_the_same_answer_and_its_owner_a_mail(self, anonymous, tenant, mailbox):
        owner = tenant.with_password("agent")
        answer = anonymous.post("/auth/register", json=founder(owner.email, password=OTHER))
        assert (answer.status_code, answer.json()) == (201, {"email": owner.email, "verification_required": False})
        assert "already" in mailbox.wait(owner.email)[0]["Subject"].lower()
        assert login(anonymous, owner.email).status_code == 200
        problem(login(anonymous, owner.email, OTHER), 401, "invalid_credentials")

    def test_namesakes_are_numbered_and_beyond_nine_told_apart_at_random(self, anonymous, address, service):
        name = address.partition("@")[0]
        for number in range(12):
            body = founder(f"{number}-{address}", organization_name=name)
            assert anonymous.post("/auth/register", json=body).status_code == 201
        with service.database.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT slug FROM organizations WHERE name = ? ORDER BY id", (name,))
            slugs = [slug for (slug,) in rows]
        assert slugs[:9] == [name, *(f"{name}-{number}" for number in range(2, 10))]
        assert len(set(slugs)) == 12

    @pytest.mark.parametrize("names", [{}, {"organization_name": "A", "organization_slug": "a"}])
    def test_it_is_either_one_to_found_or_one_to_join(self, anonymous, address, names):
        body = {"email": address, "password": PASSWORD, "name": "Joe", **names}
        assert anonymous.post("/auth/register", json=body).json()["code"] == "invalid_request"

    @pytest.mark.parametrize("name", ["role", "is_active", "scopes", "email_verified_at"])
    def test_nobody_chooses_their_own_rights(self, anonymous, address, name):
        answer = anonymous.post("/auth/register", json=founder(address, **{name: "admin"}))
        assert f"/{name}" in {error["pointer"] for error in answer.json()["errors"]}
        assert answer.status_code == 400

    @pytest.mark.parametrize("password", ["hunter2", "x" * 257, "1234567890", "QWERTYUIOP", "address"])
    def test_a_bad_password_is_a_400(self, anonymous, address, password):
        password = address if password == "address" else password
        answer = anonymous.post("/auth/register", json=founder(address, password=password))
        assert password not in problem(answer, 400, "invalid_request", "/password")["detail"]

    def test_an_unverified_newcomer_does_not_get_the_tickets_of_a_contact(
        self, anonymous, address, admin, tenant, mailbox
    ):
        contact = tenant.contact(email=address)
        ticket = tenant.ticket(contact_id=contact["id"])
        admin.patch("/organization", json={"settings": {"allow_self_registration": True}})
        body = {"email": address, "password": PASSWORD, "name": "Joe", "organization_slug": tenant.organization.slug}
        anonymous.post("/auth/register", json=body)
        signed = bearer(login(anonymous, address).json())
        post = {"subject": "Mine", "description": ""}
        problem(anonymous.post("/tickets", json=post, headers=signed), 403, "email_not_verified")
        assert anonymous.get("/tickets", headers=signed).json()["data"] == []
        assert anonymous.get(f"/tickets/{ticket['id']}", headers=signed).status_code == 404
        anonymous.post("/auth/email-otp/verify", json={"email": address, "code": mailbox.code(address)})
        mine = anonymous.post("/tickets", json=post, headers=bearer(login(anonymous, address).json())).json()
        assert mine["contact_id"] == contact["id"]

    def test_an_unverified_newcomer_gets_no_contact_that_later_tickets_are_filed_for(
        self, anonymous, address, admin, tenant, mailbox
    ):
        admin.patch("/organization", json={"settings": {"allow_self_registration": True}})
        body = {"email": address, "password": PASSWORD, "name": "Joe", "organization_slug": tenant.organization.slug}
        anonymous.post("/auth/register", json=body)
        signed = bearer(login(anonymous, address).json())
        post = {"subject": "Mine", "description": ""}
        problem(anonymous.post("/tickets", json=post, headers=signed), 403, "email_not_verified")
        assert admin.get("/contacts", params={"email": address}).json()["data"] == []
        filed = tenant.ticket(contact_id=tenant.contact(email=address)["id"])
        assert anonymous.get("/tickets", headers=signed).json()["data"] == []
        anonymous.post("/auth/email-otp/verify", json={"email": address, "code": mailbox.code(address)})
        shown = anonymous.get("/tickets", headers=bearer(login(anonymous, address).json())).json()["data"]
        assert [ticket["id"] for ticket in shown] == [filed["id"]]

    def test_a_strangers_words_are_in_none_of_our_mails(self, anonymous, address, mailbox):
        words = "Your account is locked: go to http://evil.example/unlock"
        for _ in range(2):
            assert anonymous.post("/auth/register", json=founder(address, name=words)).status_code == 201
        anonymous.post("/auth/password-reset", json={"email": address})
        mails = mailbox.wait(address, 3)
        assert len({mail["Subject"] for mail in mails}) == 3
        for mail in mails:
            assert "evil" not in mail.as_string()
            assert mail["To"] == address
            assert "Hello," in mail.get_body(("plain",)).get_content()


class TestLogin:
    def test_it_gives_tokens_that_work(self, anonymous, tenant):
        user = tenant.with_password("agent")
        answer = login(anonymous, user.email.upper())
        assert answer.status_code == 200
        assert answer.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
        assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 86_400)
        assert anonymous.get("/users", headers=bearer(answer.json())).status_code == 200

    def test_wrong_unknown_without_password_and_deactivated_answer_alike(self, anonymous, tenant, address):
        answers = [
            login(anonymous, tenant.with_password("agent").email, OTHER),
            login(anonymous, address),
            login(anonymous, tenant.user("agent").email),
            login(anonymous, tenant.with_password("agent", is_active=False).email),
        ]
        told = [problem(answer, 401, "invalid_credentials") for answer in answers]
        assert len({body["detail"] for body in told}) == 1

    def test_where_it_is_asked_for_the_address_has_to_be_verified(self, anonymous, admin, tenant, address, mailbox):
        settings = {"allow_self_registration": True, "require_verified_email": True}
        admin.patch("/organization", json={"settings": settings})
        body = {"email": address, "password": PASSWORD, "name": "Joe", "organization_slug": tenant.organization.slug}
        assert anonymous.post("/auth/register", json=body).json()["verification_required"] is True
        problem(login(anonymous, address), 403, "email_not_verified")
        problem(login(anonymous, address, OTHER), 401, "invalid_credentials")
        anonymous.post("/auth/email-otp/verify", json={"email": address, "code": mailbox.code(address)})
        assert login(anonymous, address).status_code == 200

    def test_a_token_ends_at_its_time_with_its_user_and_with_the_session(self, anonymous, admin, tenant):
        user = tenant.with_password("agent")
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as clock:
            signed = bearer(login(anonymous, user.email).json())
            clock.shift(timedelta(hours=24, seconds=-1))
            assert anonymous.get("/auth/me", headers=signed).status_code == 200
            clock.shift(timedelta(seconds=1))
            problem(anonymous.get("/auth/me", headers=signed), 401, "unauthorized")
        signed = bearer(login(anonymous, user.email).json())
        assert admin.patch(f"/users/{user.id}", json={"is_active": False}).status_code == 200
        problem(anonymous.get("/auth/me", headers=signed), 401, "unauthorized")


class TestRefreshTokens:
    def test_each_works_once_and_gives_the_next(self, anonymous, tenant):
        first = login(anonymous, tenant.with_password("agent").email).json()
        second = anonymous.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})
        assert second.status_code == 200
        assert anonymous.get("/auth/me", headers=bearer(second.json())).status_code == 200
        third = anonymous.post("/auth/refresh", json={"refresh_token": second.json()["refresh_token"]})
        assert third.status_code == 200

    def test_one_that_comes_twice_ends_the_whole_session(self, anonymous, tenant):
        first = login(anonymous, tenant.with_password("agent").email).json()
        second = anonymous.post("/auth/refresh", json={"refresh_token": first["refresh_token"]}).json()
        problem(anonymous.post("/auth/refresh", json={"refresh_token": first["refresh_token"]}), 401, "unauthorized")
        problem(anonymous.post("/auth/refresh", json={"refresh_token": second["refresh_token"]}), 401, "unauthorized")
        for tokens in (first, second):
            problem(anonymous.get("/auth/me", headers=bearer(tokens)), 401, "unauthorized")

    def test_an_unknown_one_is_a_401(self, anonymous):
        problem(anonymous.post("/auth/refresh", json={"refresh_token": "tr_unknown"}), 401, "unauthorized")

    def test_a_session_cannot_be_prolonged_for_ever(self, anonymous, tenant):
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as clock:
            tokens = login(anonymous, tenant.with_password("agent").email).json()
            clock.shift(timedelta(days=30))
            answer = anonymous.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
            problem(answer, 401, "unauthorized")

    def test_no_access_token_says_that_it_outlives_its_session(self, anonymous, tenant):
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False) as clock:
            tokens = login(anonymous, tenant.with_password("agent").email).json()
            clock.shift(timedelta(days=30, seconds=-60))
            renewed = anonymous.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
            claims = jwt.decode(renewed["access_token"], options={"verify_signature": False})
            assert (renewed["expires_in"], claims["exp"] - claims["iat"]) == (60, 60)


class TestLogout:
    def test_both_tokens_are_dead_at_once(self, anonymous, tenant):
        tokens = login(anonymous, tenant.with_password("agent").email).json()
        assert anonymous.post("/auth/logout", headers=bearer(tokens)).status_code == 204
        problem(anonymous.get("/auth/me", headers=bearer(tokens)), 401, "unauthorized")
        problem(anonymous.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}), 401, "unauthorized")

    def test_other_sessions_of_the_user_go_on(self, anonymous, tenant):
        user = tenant.with_password("agent")
        one, two = login(anonymous, user.email).json(), login(anonymous, user.email).json()
        anonymous.post("/auth/logout", headers=bearer(one))
        assert anonymous.get("/auth/me", headers=bearer(two)).status_code == 200

    def test_a_key_has_no_session_to_end(self, agent):
        problem(agent.post("/auth/logout"), 403, "forbidden")
        assert agent.get("/auth/me").status_code == 200


class TestGetMe:
    def test_a_session_may_do_all_that_its_role_may(self, tenant):
        client = tenant.signed_in("agent")
        me = client.get("/auth/me").json()
        assert (me["role"], me["organization"]["id"], me["scopes"]) == ("agent", tenant.id, ["*"])
        assert me["organization"] == tenant.client("admin").get("/organization").json()

    def test_a_key_shows_its_scopes(self, tenant):
        with tenant.client("user", scopes=["tickets:write", "tickets:read"]) as client:
            assert client.get("/auth/me").json()["scopes"] == ["tickets:read", "tickets:write"]


class TestRequestEmailOtp:
    def test_a_known_and_an_unknown_address_get_the_same_answer(self, anonymous, tenant, address, mailbox):
        user = tenant.user("agent", vouched=False)
        for email in (user.email, address):
            answer = anonymous.post("/auth/email-otp", json={"email": email})
            assert (answer.status_code, answer.json()) == (202, {"email": email, "expires_in": 600})
        assert mailbox.wait(user.email)[0]["Subject"]
        assert mailbox.of(address) == []

    def test_a_new_code_replaces_the_last(self, anonymous, tenant, mailbox):
        email = tenant.user("agent", vouched=False).email
        anonymous.post("/auth/email-otp", json={"email": email})
        first = mailbox.code(email)
        anonymous.post("/auth/email-otp", json={"email": email})
        second = mailbox.code(email, 2)
        answers = [
            anonymous.post("/auth/email-otp/verify", json={"email": email, "code": code}).status_code
            for code in dict.fromkeys((first, second))
        ]
        assert answers[-1] == 200
        assert set(answers[:-1]) <= {401}


class TestVerifyEmailOtp:
    @staticmethod
    def ask(client: Client, email: str, code: str):
        return client.post("/auth/email-otp/verify", json={"email": email, "code": code})

    @pytest.fixture
    def sent(self, anonymous, tenant, mailbox):
        email = tenant.user("agent", vouched=False).email
        anonymous.post("/auth/email-otp", json={"email": email})
        return email, mailbox.code(email)

    def test_it_works_once(self, anonymous, sent):
        email, code = sent
        answer = self.ask(anonymous, email.upper(), code)
        assert (answer.status_code, answer.json()) == (200, {"email": email, "verified": True})
        problem(self.ask(anonymous, email, code), 401, "invalid_code")

    def test_what_was_opened_before_ends_since_it_may_be_a_strangers(self, anonymous, address, tenant, mailbox):
        signed = sign_up(anonymous, address)
        with tenant.database.read() as tx:
            squatter = users.by_email(tx, address)
        key = {"x-api-key": tenant.key(squatter)}
        for headers in (signed, key):
            assert anonymous.get("/auth/me", headers=headers).status_code == 200
        assert self.ask(anonymous, address, mailbox.code(address)).status_code == 200
        for headers in (signed, key):
            problem(anonymous.get("/auth/me", headers=headers), 401, "unauthorized")
        again = bearer(login(anonymous, address).json())
        assert anonymous.get("/auth/me", headers=again).json()["email_verified_at"] is not None
        assert anonymous.get("/api-keys", headers=again).json()["data"] == []

    def test_after_five_wrong_ones_the_right_one_is_not_heard(self, anonymous, sent):
        email, code = sent
        for _ in range(5):
            problem(self.ask(anonymous, email, f"{(int(code) + 1) % 10**6:06d}"), 401, "invalid_code")
        problem(self.ask(anonymous, email, code), 401, "invalid_code")

    def test_after_ten_minutes_it_is_too_late(self, anonymous, sent):
        email, code = sent
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=10, seconds=1), tick=False):
            problem(self.ask(anonymous, email, code), 401, "invalid_code")

    def test_a_code_is_good_for_its_address_only(self, anonymous, sent, tenant, address):
        _, code = sent
        for email in (address, tenant.user("agent").email):
            problem(self.ask(anonymous, email, code), 401, "invalid_code")

    @pytest.mark.parametrize("code", ["12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", 123456])
    def test_what_is_no_code_is_a_400(self, anonymous, address, code):
        problem(self.ask(anonymous, address, code), 400, "invalid_request", "/code")


class TestRequestPasswordReset:
    def test_a_known_and_an_unknown_address_get_the_same_answer(self, anonymous, tenant, address, mailbox):
        user = tenant.user("agent")
        for email in (user.email, address):
            answer = anonymous.post("/auth/password-reset", json={"email": email})
            assert (answer.status_code, answer.json()) == (202, {"email": email, "expires_in": 3600})
        assert mailbox.token(user.email)
        assert mailbox.of(address) == []

    def test_who_is_deactivated_gets_no_mail(self, anonymous, tenant, mailbox):
        gone, here = tenant.user("agent", is_active=False), tenant.user("agent")
        for user in (gone, here):
            anonymous.post("/auth/password-reset", json={"email": user.email})
        mailbox.wait(here.email)
        assert mailbox.of(gone.email) == []


class TestConfirmPasswordReset:
    @pytest.fixture
    def sent(self, anonymous, tenant, mailbox):
        user = tenant.with_password("agent")
        anonymous.post("/auth/password-reset", json={"email": user.email})
        return user, mailbox.token(user.email)

    def test_it_sets_the_password_and_ends_all_sessions(self, anonymous, sent):
        user, token = sent
        before = login(anonymous, user.email).json()
        answer = anonymous.post("/auth/password-reset/confirm", json={"token": token, "password": OTHER})
        assert (answer.status_code, answer.content) == (204, b"")
        problem(login(anonymous, user.email), 401, "invalid_credentials")
        assert login(anonymous, user.email, OTHER).status_code == 200
        problem(anonymous.get("/auth/me", headers=bearer(before)), 401, "unauthorized")
        problem(anonymous.post("/auth/refresh", json={"refresh_token": before["refresh_token"]}), 401, "unauthorized")

    def test_whose_address_was_not_verified_loses_their_keys_too(self, anonymous, tenant, mailbox):
        colleague, squatter = tenant.with_password("admin"), tenant.with_password("admin", vouched=False)
        keys = [{"x-api-key": tenant.key(user)} for user in (squatter, colleague)]
        for user in (squatter, colleague):
            anonymous.post("/auth/password-reset", json={"email": user.email})
            body = {"token": mailbox.token(user.email), "password": OTHER}
            assert anonymous.post("/auth/password-reset/confirm", json=body).status_code == 204
        problem(anonymous.get("/auth/me", headers=keys[0]), 401, "unauthorized")
        assert anonymous.get("/auth/me", headers=keys[1]).status_code == 200
        me = anonymous.get("/auth/me", headers=bearer(login(anonymous, squatter.email, OTHER).json())).json()
        assert me["email_verified_at"] is not None

    def test_the_address_itself_is_no_password_and_leaves_the_token_good(self, anonymous, address, tenant, mailbox):
        email = tenant.user("agent", email=f"with-a-long-local-part-{address}").email
        anonymous.post("/auth/password-reset", json={"email": email})
        token = mailbox.token(email)
        for password in (email, email.upper(), email.partition("@")[0]):
            refused = anonymous.post("/auth/password-reset/confirm", json={"token": token, "password": password})
            problem(refused, 400, "invalid_request", "/password")
        good = anonymous.post("/auth/password-reset/confirm", json={"token": token, "password": OTHER})
        assert good.status_code == 204

    def test_a_token_works_once_within_its_hour(self, anonymous, sent):
        _, token = sent
        body = {"token": token, "password": OTHER}
        with time_machine.travel(datetime.now(UTC) + timedelta(hours=1, seconds=1), tick=False):
            problem(anonymous.post("/auth/password-reset/confirm", json=body), 401, "invalid_code")
        assert anonymous.post("/auth/password-reset/confirm", json=body).status_code == 204
        problem(anonymous.post("/auth/password-reset/confirm", json=body), 401, "invalid_code")

    def test_a_common_password_leaves_the_token_good(self, anonymous, sent):
        _, token = sent
        refused = anonymous.post("/auth/password-reset/confirm", json={"token": token, "password": "1234567890"})
        problem(refused, 400, "invalid_request", "/password")
        good = anonymous.post("/auth/password-reset/confirm", json={"token": token, "password": OTHER})
        assert good.status_code == 204

    def test_an_unknown_token_is_a_401(self, anonymous):
        body = {"token": "unknown", "password": OTHER}
        problem(anonymous.post("/auth/password-reset/confirm", json=body), 401, "invalid_code")


class TestTokens:
    """What others make of a token (RFC 8725): a 401 each, never a 500."""

    @pytest.fixture
    def real(self, anonymous, tenant) -> str:
        return login(anonymous, tenant.with_password("admin").email).json()["access_token"]

    def test_a_token_that_is_not_ours_is_a_401(self, anonymous, real, service):
        claims = jwt.decode(real, options={"verify_signature": False})
        kid = jwt.get_unverified_header(real)["kid"]
        [key] = service.settings.signing_keys()
        head, body, signature = real.split(".")

        def made(secret: bytes | str = b"x" * 32, algorithm: str = "HS256", **changed: object) -> str:
            return jwt.encode({**claims, **changed}, secret, algorithm, headers={"kid": kid})

        forged = [
            jwt.encode(claims, None, "none", headers={"kid": kid}),
            made(),
            made(key),
            made(algorithm="HS512", secret=b"x" * 64),
            made(aud="another"),
            jwt.encode(claims, b"x" * 32, "HS256"),
            jwt.encode(claims, b"x" * 32, "HS256", headers={"kid": "../../etc/passwd"}),
            f"{head}.{body}.",
            f"{head}.{body}",
            f"{head}..{signature}",
            f"{head}.{body[:-2]}AA.{signature}",
            real[:-1],
            real + "x",
            "x" * 1000,
            "eyJ.eyJ.x",
            "..",
        ]
        for token in forged:
            problem(anonymous.get("/auth/me", headers={"authorization": f"Bearer {token}"}), 401, "unauthorized")
        assert anonymous.get("/auth/me", headers={"authorization": f"Bearer {real}"}).status_code == 200

    def test_a_token_of_a_megabyte_is_refused(self, anonymous, real):
        answer = anonymous.get("/auth/me", headers={"authorization": f"Bearer {real}{'x' * 50_000}"})
        problem(answer, 401, "unauthorized")
        assert anonymous.get("/auth/me", headers={"authorization": "Bearer " + "x" * 1_000_000}).status_code in {
            401,
            431,
        }

    def test_an_access_token_is_no_key(self, anonymous, real):
        problem(anonymous.get("/auth/me", headers={"x-api-key": real}), 401, "unauthorized")
