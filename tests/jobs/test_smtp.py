"""A real mail server that takes mail, refuses it, hangs and drops the connection."""

import email
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from workbench import Bench, until

from factories import Tenant
from mailserver import MailServer
from service import ThreadService, free_port
from tickets.domain import mail
from tickets.jobs import queue, send_email, transport
from tickets.jobs.kind import Kind

IMPATIENT = Kind(send_email.KIND.name, send_email.KIND.run, delay=lambda _: 0)
"""The kind itself, without its waits between attempts."""


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server without TLS."""
    made = MailServer()
    yield made
    made.stop()


@pytest.fixture
def post(tmp_path: Path, server: MailServer) -> Iterator[Bench]:
    """A queue whose mail goes to the server."""
    made = Bench(tmp_path, smtp_url=f"smtp://127.0.0.1:{server.port}")
    yield made
    made.close()


def send(bench: Bench, to: str = "ada@acme.example", **values: Any) -> None:
    values = {"code": "canary-123", "minutes": 10, **values}
    bench.write(mail.enqueue, bench.settings, "verify_email", to=to, name="Ada", **values)


def drip(listening: socket.socket) -> None:
    """Greet whoever connects with one line after another, and never come to the last."""
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                while True:
                    connection.sendall(b"220-Wait\r\n")
                    time.sleep(0.05)


class TestTaken:
    def test_it_arrives_as_it_was_written(self, post: Bench, server: MailServer):
        send(post)
        post.worker(IMPATIENT)
        until(lambda: post.jobs() == [])
        ((to, content),) = server.mood.received
        message = email.message_from_bytes(content)
        assert to == "ada@acme.example"
        assert message["To"] == "Ada <ada@acme.example>"
        assert message["Message-ID"].endswith("@localhost>")


class TestRefused:
    @pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
    def test_for_now_it_is_tried_again_with_the_same_message_id(self, post: Bench, server: MailServer, command: str):
        server.mood.replies[command] = "451 4.7.1 Come back later"
        send(post)
        (job,) = post.claim(lease=0)
        post.worker(IMPATIENT)
        until(lambda: server.mood.asked >= 3)
        assert "451 4.7.1" in until(lambda: post.jobs()[0].last_error)
        server.mood.replies.clear()
        until(lambda: post.jobs() == [])
        ((_, content),) = server.mood.received
        assert email.message_from_bytes(content)["Message-ID"] == job.payload["message_id"]

    @pytest.mark.parametrize("command", ["RCPT", "DATA"])
    def test_for_good_it_is_dead_at_once(self, post: Bench, server: MailServer, command: str):
        server.mood.replies[command] = "550 5.1.1 No such user"
        send(post)
        post.worker(IMPATIENT)
        (job,) = until(lambda: post.jobs(dead=True))
        assert job.attempts == server.mood.asked == 1
        assert "550 5.1.1" in job.last_error

    def test_a_sender_refused_for_good_is_for_an_operator_to_put_right(self, post: Bench, server: MailServer):
        server.mood.replies["MAIL"] = "553 5.7.1 Not your address"
        send(post)
        post.worker(IMPATIENT)
        until(lambda: server.mood.asked >= 3)
        server.mood.replies.clear()
        until(lambda: post.jobs() == [])

    def test_the_reply_of_a_server_that_has_read_the_mail_is_not_repeated(self, post: Bench, server: MailServer):
        server.mood.replies["DATA"] = "554 5.6.0 I do not like: {content}"
        send(post)
        with structlog.testing.capture_logs() as lines:
            post.worker(IMPATIENT)
            (job,) = until(lambda: post.jobs(dead=True))
        assert job.last_error == "The mail server refuses the message: 554 5.6.0"
        assert "canary" not in repr(lines) + repr(job)

    def test_a_dead_letter_that_is_retried_keeps_its_message_id(self, post: Bench, server: MailServer):
        server.mood.replies["RCPT"] = "550 5.1.1 No such user"
        send(post)
        (job,) = post.claim(lease=0)
        post.worker(IMPATIENT)
        until(lambda: post.jobs(dead=True))
        server.mood.replies.clear()
        assert post.write(queue.revive) == 1
        until(lambda: server.mood.received)
        assert email.message_from_bytes(server.mood.received[0][1])["Message-ID"] == job.payload["message_id"]


class TestSilence:
    @pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
    def test_a_dropped_connection_is_tried_again(self, post: Bench, server: MailServer, command: str):
        server.mood.drops = command
        send(post)
        post.worker(IMPATIENT)
        error = until(lambda: post.jobs()[0].last_error)
        assert error.endswith("look at TICKETS_SMTP_URL.")
        server.mood.drops = ""
        until(lambda: post.jobs() == [])

    def test_one_that_hangs_is_left_after_a_while(self, post: Bench, server: MailServer, monkeypatch):
        monkeypatch.setattr(transport, "TIMEOUT", 0.3)
        server.mood.hangs = "RCPT"
        send(post)
        post.worker(IMPATIENT)
        assert "timed out" in until(lambda: post.jobs()[0].last_error)
        server.mood.hangs = ""
        until(lambda: post.jobs() == [])

    @pytest.mark.parametrize("scheme", ["smtp", "smtp+starttls"])
    def test_one_that_says_a_little_at_a_time_is_left_as_well(self, tmp_path: Path, monkeypatch, scheme: str):
        monkeypatch.setattr(transport, "DEADLINE", 0.5)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=drip, args=(listening,), daemon=True).start()
            bench = Bench(tmp_path, smtp_url=f"{scheme}://127.0.0.1:{listening.getsockname()[1]}")
            send(bench)
            bench.worker(IMPATIENT)
            assert "took longer than 0.5 s" in until(lambda: bench.jobs()[0].last_error)
            bench.close()

    def test_nobody_there_is_tried_again(self, tmp_path: Path):
        bench = Bench(tmp_path, smtp_url=f"smtp://127.0.0.1:{free_port()}")
        send(bench)
        bench.worker(IMPATIENT)
        assert "Connection refused" in until(lambda: bench.jobs()[0].last_error)
        bench.close()

    def test_a_farewell_that_fails_sends_no_second_mail(self, post: Bench, server: MailServer):
        async def handle_quit(*_) -> str:
            return "421 Busy"

        server.mood.handle_QUIT = handle_quit
        send(post)
        post.worker(IMPATIENT)
        until(lambda: post.jobs() == [])
        assert len(server.mood.received) == 1


class TestRequests:
    """A mail server never delays or fails a request."""

    @pytest.mark.parametrize("mood", ["hangs", "drops", "refuses"])
    def test_they_are_served_while_mail_cannot_go_out(self, tmp_path: Path, server: MailServer, mood: str):
        if mood == "refuses":
            server.mood.replies["RCPT"] = "451 4.7.1 Come back later"
        else:
            setattr(server.mood, mood, "RCPT")
        service = ThreadService(tmp_path, smtp_url=f"smtp://127.0.0.1:{server.port}")
        tenant = Tenant(service.database, service.origin)
        for number in range(20):
            with service.database.write() as tx:
                mail.enqueue(tx, service.settings, "already_registered", to=f"u{number}@acme.example", name="U")
        until(lambda: server.mood.asked >= 4)
        longest = 0.0
        for _ in range(50):
            began = time.monotonic()
            tenant.ticket()
            assert tenant.client().get("/tickets").status_code == 200
            longest = max(longest, time.monotonic() - began)
        assert longest < 5
        tenant.close()
        server.mood.released.set()
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < 10


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that vouches for itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    file.write_bytes(secret + made.public_bytes(pem))
    return file


class TestTls:
    @pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
    def test_mail_goes_out_encrypted_with_a_password(self, tmp_path: Path, certificate: Path, scheme: str, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        server = MailServer(tls=certificate, starttls="start" in scheme, password="p@ss/word")
        bench = Bench(tmp_path, smtp_url=f"{scheme}://mailer:p%40ss%2Fword@localhost:{server.port}")
        send(bench)
        bench.worker(IMPATIENT)
        until(lambda: bench.jobs() == [])
        assert len(server.mood.received) == 1
        assert server.logins == [True]
        bench.close()
        server.stop()

    @pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
    def test_a_certificate_nobody_vouches_for_gets_no_mail(self, tmp_path: Path, certificate: Path, scheme: str):
        server = MailServer(tls=certificate, starttls="start" in scheme)
        bench = Bench(tmp_path, smtp_url=f"{scheme}://localhost:{server.port}")
        send(bench)
        bench.worker(IMPATIENT)
        assert "CERTIFICATE_VERIFY_FAILED" in until(lambda: bench.jobs()[0].last_error)
        assert server.mood.received == []
        bench.close()
        server.stop()

    def test_a_server_without_tls_gets_none_when_tls_is_asked_for(self, tmp_path: Path, server: MailServer):
        bench = Bench(tmp_path, smtp_url=f"smtp+starttls://127.0.0.1:{server.port}")
        send(bench)
        bench.worker(IMPATIENT)
        assert "STARTTLS" in until(lambda: bench.jobs()[0].last_error)
        assert server.mood.received == []
        bench.close()

    def test_a_wrong_password_is_tried_again_and_not_shown(self, tmp_path: Path):
        server = MailServer(password="right")
        bench = Bench(tmp_path, smtp_url=f"smtp://mailer:hunter2@127.0.0.1:{server.port}")
        send(bench)
        bench.worker(IMPATIENT)
        assert "535" in until(lambda: bench.jobs()[0].last_error)
        assert "hunter2" not in repr(bench.jobs()) + repr(bench.settings)
        bench.close()
        server.stop()


class TestService:
    @pytest.mark.parametrize(("threads", "left"), [(4, 0), (0, 1)])
    def test_it_runs_jobs_itself_unless_it_is_told_not_to(self, tmp_path: Path, threads: int, left: int):
        service = ThreadService(tmp_path, worker_threads=threads)
        with service.database.write() as tx:
            mail.enqueue(tx, service.settings, "already_registered", to="ada@acme.example", name="Ada")
        files = service.settings.mail_dir
        if threads:
            until(lambda: list(files.glob("*.eml")))
        service.stop()
        with Bench(tmp_path).database.read() as tx:
            assert queue.counts(tx)["waiting"] == left
        assert files.exists() == bool(threads)
