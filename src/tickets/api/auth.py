"""Signing up, in and out; verified addresses and forgotten passwords.

Whoever calls these is nobody yet. Handlers that hash a password are coroutines: the hash is made in a thread,
between two transactions.
"""

from tickets import clock, wire
from tickets.db import Transaction
from tickets.domain import access, passwords, registration, sessions
from tickets.domain.one_time_secrets import LIFETIMES
from tickets.domain.registration import Newcomer
from tickets.domain.sessions import Opened
from tickets.errors import Forbidden, InvalidCode, InvalidCredentials, Unauthorized
from tickets.http.context import Stages, current, stages
from tickets.shapes.auth import me as show

_UNUSABLE = "The code is wrong, was used already, or has expired; ask for a new one."
_UNUSABLE_LINK = "The token is wrong, was used already, or has expired; POST /auth/password-reset sends a new link."


async def register(*, body: wire.RegisterRequest) -> wire.Registered:
    """Sign up."""
    call = stages()
    newcomer = Newcomer(
        email=body["email"],
        name=body["name"],
        password_hash=await call.compute(passwords.chosen, body["password"], body["email"]),
        organization_name=body.get("organization_name"),
        organization_slug=body.get("organization_slug"),
    )
    must_verify = await call.write(lambda tx: registration.register(tx, call.services.settings, newcomer))
    return {"email": newcomer.email.lower(), "verification_required": must_verify}


async def login(*, body: wire.LoginRequest) -> wire.Tokens:
    """Sign in."""
    call = stages()
    with call.services.failed_logins.attempt(call.client, body["email"]):
        found: tuple[int, str] | None = call.read(lambda tx: passwords.of_email(tx, body["email"]))
        right = await call.compute(passwords.is_right, found and found[1], body["password"])
        if found is None or not right:
            raise InvalidCredentials("The e-mail address or the password is wrong.")
    user_id, stored = found
    lifetime = call.services.settings.session_seconds * clock.SECOND
    renewed = await call.compute(passwords.hashed, body["password"]) if passwords.is_outdated(stored) else stored

    def begin(tx: Transaction) -> Opened | None:
        opened = call.signed_in(sessions.start(tx, user_id, stored, lifetime=lifetime))
        if renewed != stored:
            passwords.renew(tx, user_id, stored, renewed)
        return opened

    return _tokens(call, await call.write(begin))


async def refresh_tokens(*, body: wire.RefreshRequest) -> wire.Tokens:
    """Give new tokens for a refresh token."""
    call = stages()
    unknown = Unauthorized("The refresh token is not valid: it is unknown, was used before, or its session is over.")
    return _tokens(
        call,
        await call.write(
            lambda tx: call.signed_in(sessions.prolong(tx, body["refresh_token"])),
            otherwise=unknown,
        ),
    )


def logout() -> None:
    """Sign out."""
    call = current()
    if call.caller.session_id is None:
        raise Forbidden("An API key has no session to end; DELETE /api-keys/{api_key_id} revokes it.")
    sessions.end(call.tx, call.caller.session_id)


def get_me() -> wire.Me:
    """Show who is asking."""
    call = current()
    user = access.user(call.tx, call.caller, call.caller.user_id)
    return show(user, access.organization(call.tx, user.organization_id), call.caller.scopes)


def request_email_otp(*, body: wire.EmailRequest) -> wire.MailAccepted:
    """Have a code sent."""
    return _mail(body["email"], "verify_email")


async def verify_email_otp(*, body: wire.VerifyRequest) -> wire.EmailVerified:
    """Verify an address with its code."""
    call = stages()
    one_time = call.services.one_time
    user = await call.write(
        lambda tx: registration.verify(tx, one_time, email=body["email"], code=body["code"]),
        otherwise=InvalidCode(_UNUSABLE),
    )
    return {"email": user.email, "verified": True}


def request_password_reset(*, body: wire.EmailRequest) -> wire.MailAccepted:
    """Have a link sent."""
    return _mail(body["email"], "reset_password")


async def confirm_password_reset(*, body: wire.PasswordResetConfirmation) -> None:
    """Set a password with the token of a mail."""
    call = stages()
    one_time = call.services.one_time
    unusable = InvalidCode(_UNUSABLE_LINK)
    # Whose password it is says which ones are bad. The write looks again: the token may be used by then, or the
    # address another one, which takes the token with it.
    email: str | None = call.read(lambda tx: registration.address_of(tx, one_time, body["token"]))
    if email is None:
        await call.write(lambda _: None, otherwise=unusable)  # which it always raises, once that is on record
    hashed = await call.compute(passwords.chosen, body["password"], email)
    await call.write(
        lambda tx: registration.reset(tx, one_time, token=body["token"], password_hash=hashed), otherwise=unusable
    )


def _mail(email: str, purpose: str) -> wire.MailAccepted:
    call = current()
    registration.ask(call.tx, email, purpose, page=call.services.settings.password_reset_url)
    return {"email": email.lower(), "expires_in": LIFETIMES[purpose] // clock.SECOND}


def _tokens(call: Stages, opened: Opened) -> wire.Tokens:
    access_token, lifetime = call.services.tokens.write(opened.id, opened.user_id, ends_at=opened.expires_at)
    return {
        "access_token": access_token,
        "refresh_token": opened.refresh_token,
        "token_type": "Bearer",
        "expires_in": lifetime,
    }
