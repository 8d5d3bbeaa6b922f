"""A real mail server with moods."""

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from service import free_port


class Mood:
    """How the server answers: with a reply to a command, or not at all.

    Attributes:
        replies: the reply to MAIL, RCPT or DATA; the usual one when there is none.
        hangs: a command that is never answered.
        drops: a command at which the connection closes.
        received: what it took: recipient and message.
        asked: how often somebody came as far as MAIL.
    """

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.hangs = self.drops = ""
        self.received: list[tuple[str, bytes]] = []
        self.asked = 0
        self.released = threading.Event()

    async def _answer(self, command: str, server: Any, usual: str) -> str:
        if self.drops == command:
            server.transport.abort()
        if self.hangs == command:
            await asyncio.to_thread(self.released.wait)
        return self.replies.get(command, usual)

    async def handle_MAIL(self, server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        self.asked += 1
        envelope.mail_from = address
        return await self._answer("MAIL", server, "250 OK")

    async def handle_RCPT(self, server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        reply = await self._answer("RCPT", server, "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        reply = await self._answer("DATA", server, "250 OK")
        if reply.startswith("250"):
            self.received.append((envelope.rcpt_tos[0], envelope.content))
        return reply.format(content=envelope.content.decode().replace("\r\n", " "))


class MailServer:
    """The server in a thread, on a port of its own.

    Args:
        tls: a certificate, for TLS from the start or, with `starttls`, on request.
        password: of the user ``mailer``.

    Attributes:
        logins: whether each login was right.
    """

    def __init__(self, *, tls: Path | None = None, starttls: bool = False, password: str = "") -> None:
        self.mood = Mood()
        self.port = free_port()
        context = None
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
        options: dict[str, Any] = {"tls_context": context, "require_starttls": True} if starttls else {}
        if password:
            options |= {"authenticator": self._authenticate, "auth_require_tls": False}
        self._login = LoginPassword(b"mailer", password.encode())
        self.logins: list[bool] = []
        self._controller = Controller(
            self.mood,
            hostname="127.0.0.1",
            port=self.port,
            ssl_context=None if starttls else context,
            **options,
        )
        self._controller.start()

    def stop(self) -> None:
        self.mood.released.set()
        self._controller.stop()

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _how: str, given: LoginPassword) -> AuthResult:
        self.logins.append(given == self._login)
        return AuthResult(success=self.logins[-1], handled=False)
