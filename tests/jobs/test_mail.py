"""Mail: what a message holds, that no name can add to it, and where it goes."""

import email
import email.policy
import stat
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from workbench import Bench, until

from tickets.domain import mail
from tickets.jobs import queue, send_email
from tickets.jobs.kind import JobFailed
from tickets.jobs.send_email import compose

VALUES: dict[str, dict[str, Any]] = {
    "verify_email": {"code": "123456", "minutes": 10},
    "password_reset": {"link": "https://tickets.example/reset?token=t0ken&x=<1>", "minutes": 60},
    "already_registered": {},
}
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]


def payload(template: str = "verify_email", **changes: Any) -> dict[str, Any]:
    made = {"message_id": "<1@x.example>", "template": template, "to": "ada@acme.example", "name": "Ada King"}
    return {**made, **changes}


def composed(template: str = "verify_email", **changes: Any) -> EmailMessage:
    """Compose a message and read it as its recipient does."""
    sent = compose(
        payload(template, **changes), VALUES[template], sender="Help <help@x.example>", date=1_767_323_045_678
    )
    return email.message_from_bytes(sent.as_bytes(), policy=email.policy.default)  # type: ignore[return-value]


def parts(message: EmailMessage) -> tuple[str, str]:
    text, html = message.iter_parts()
    assert [part.get_content_type() for part in (text, html)] == ["text/plain", "text/html"]
    return text.get_content(), html.get_content()


class TestCompose:
    @pytest.mark.parametrize("template", mail.TEMPLATES)
    def test_each_template_is_text_and_html_that_say_the_same(self, template: str):
        message = composed(template)
        text, html = parts(message)
        assert message.keys() == HEADERS
        assert message.get_content_type() == "multipart/alternative"
        assert message["Subject"] in html
        for value in (*VALUES[template].values(), "Ada King"):
            assert str(value) in text
            assert str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in html

    def test_the_headers_are_those_of_an_automatic_mail(self):
        message = composed()
        assert message["From"] == "Help <help@x.example>"
        assert message["To"] == "Ada King <ada@acme.example>"
        assert message["Date"] == "Fri, 02 Jan 2026 03:04:05 +0000"
        assert message["Message-ID"] == "<1@x.example>"
        assert message["Auto-Submitted"] == "auto-generated"

    def test_without_a_name_it_greets_nobody_by_one(self):
        message = composed(name="")
        assert message["To"] == "ada@acme.example"
        assert all("Hello," in part for part in parts(message))

    def test_a_name_is_no_markup(self):
        text, html = parts(composed(name='<img src=x onerror="alert(1)">'))
        assert "<img" in text
        assert "<img" not in html

    def test_a_name_is_no_template(self):
        assert "Hello {{ code }}," in parts(composed(name="{{ code }}"))[0]

    @pytest.mark.parametrize(
        "name",
        [
            "Ada\r\nBcc: eve@evil.example",
            "Ada\nBcc: eve@evil.example",
            "Ada\r\n\r\nBuy!",
            "Ada\u2028Bcc: x",
            "\x00",
            "",
        ],
    )
    def test_a_name_with_line_breaks_adds_no_header_and_no_line(self, name: str):
        message = composed(name=name)
        assert message.keys() == HEADERS
        assert [address.addr_spec for address in message["To"].addresses] == ["ada@acme.example"]
        assert parts(message)[0].splitlines()[1:] == parts(composed(name="A"))[0].splitlines()[1:]

    @given(st.text(max_size=200))
    def test_whatever_the_name_the_message_is_whole(self, name: str):
        try:
            message = composed(name=name)
        except UnicodeEncodeError:
            assert any("\ud800" <= c <= "\udfff" for c in name)  # JSON from a request has none
            return
        assert message.keys() == HEADERS
        assert [address.addr_spec for address in message["To"].addresses] == ["ada@acme.example"]
        assert message["Subject"] == "Confirm your e-mail address"

    @pytest.mark.parametrize(
        "address",
        [
            *(
                "ada@acme.example\r\nBcc: eve@evil.example",
                "ada@acme.example\nX: y",
                "ada@acme.example, eve@evil.example",
            ),
            *("", "ada", "@", "ada@", "ada@a..b", f"ada@{'x' * 64}.example", "<ada@acme.example>", "a b@acme.example"),
        ],
    )
    def test_an_address_that_is_none_fails_for_good(self, address: str):
        with pytest.raises(JobFailed) as failed:
            composed(to=address)
        assert failed.value.permanent

    def test_a_domain_of_another_script_is_written_as_dns_knows_it(self):
        assert composed(to="ada@bücher.example")["To"].addresses[0].addr_spec == "ada@xn--bcher-kva.example"


class TestEnqueue:
    def test_its_message_id_is_made_here(self, bench: Bench):
        for _ in range(2):
            bench.write(mail.enqueue, bench.settings, "already_registered", to="a@b.example", name="A")
        first, second = (job.payload["message_id"] for job in bench.claim(2))
        assert first != second
        assert first.endswith("@localhost>")

    @pytest.mark.parametrize(
        ("template", "values"),
        [("novelty", {}), ("verify_email", {}), ("verify_email", {"code": "1", "minutes": 1, "more": 1})],
    )
    def test_a_template_that_would_fail_later_fails_now(self, bench: Bench, template: str, values: dict[str, Any]):
        with pytest.raises(ValueError, match=template):
            bench.write(mail.enqueue, bench.settings, template, to="a@b.example", name="A", **values)


class TestFolder:
    """What is done with mail unless a mail server is set."""

    def send(self, bench: Bench, code: str = "123456") -> None:
        named = {"to": "ada@acme.example", "name": "Ada", "code": code, "minutes": 10}
        bench.write(mail.enqueue, bench.settings, "verify_email", **named)

    def files(self, bench: Bench) -> list[Path]:
        return sorted(bench.settings.mail_dir.glob("*"))

    def test_it_is_a_file_that_only_its_owner_reads(self, bench: Bench):
        self.send(bench)
        bench.worker(send_email.KIND)
        until(lambda: bench.jobs() == [])
        (file,) = self.files(bench)
        assert file.parent == bench.settings.var_dir / "mail"
        assert file.suffix == ".eml"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        assert message["To"] == "Ada <ada@acme.example>"

    def test_a_repeated_mail_replaces_itself(self, bench: Bench):
        self.send(bench)
        for _ in range(2):
            (job,) = bench.claim(lease=0)
            send_email.KIND.run(job, bench.context)
        assert len(self.files(bench)) == 1

    def test_a_folder_that_cannot_be_written_is_tried_again(self, bench: Bench):
        bench.settings.mail_dir.write_text("in the way")
        self.send(bench)
        bench.worker(send_email.KIND)
        until(lambda: bench.jobs()[0].last_error)
        assert bench.jobs()[0].last_error == ("The mail could not be written: File exists; look at TICKETS_MAIL_DIR.")

    def test_a_mail_that_another_key_sealed_is_dead(self, bench: Bench):
        self.send(bench)
        (bench.settings.var_dir / "secret.key").write_text("another key of 32 characters ...")
        bench.settings = replace(bench.settings)  # as a process that starts then reads them
        bench.worker(send_email.KIND)
        (job,) = until(lambda: bench.jobs(dead=True))
        assert job.last_error == "The secret key was changed since the mail was written."

    def test_no_copy_of_the_database_holds_the_secret(self, bench: Bench):
        self.send(bench, code="canary-123")
        files = list(bench.settings.var_dir.glob("tickets.db*"))
        assert any(b"verify_email" in file.read_bytes() for file in files)
        assert not any(b"canary" in file.read_bytes() for file in files)

    def test_the_secret_goes_with_the_job_and_is_nowhere_else(self, bench: Bench):
        self.send(bench, code="canary-123")
        with structlog.testing.capture_logs() as lines:
            bench.worker(send_email.KIND)
            until(lambda: bench.jobs() == [])
        with bench.database.read() as tx:
            assert tx._connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
            assert queue.listed(tx, dead=True, most=10) == []
        assert lines == []
