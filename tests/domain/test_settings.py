"""Settings: read from the environment, refused with one line."""

import stat
from ipaddress import ip_network
from pathlib import Path

import pytest

from tickets.settings import Settings, SettingsError

SECRET = "0123456789abcdef" * 2


class TestFromEnv:
    def test_nothing_set_is_a_service_for_one_machine(self):
        settings = Settings.from_env({})
        assert settings.env == "development"
        assert settings.database_url == f"sqlite:///{settings.var_dir / 'tickets.db'}"
        assert (settings.rate_limit_api_key, settings.rate_limit_anonymous) == ("5/second", "30/minute")
        assert settings.sqlite_synchronous == "FULL"
        assert settings.cors_origins == settings.trusted_proxies == ()

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("var_dir", "/srv/tickets", Path("/srv/tickets")),
            ("database_url", "sqlite:////srv/a.db", "sqlite:////srv/a.db"),
            ("env", "production", "production"),
            ("rate_limit_api_key", "1000/second", "1000/second"),
            ("rate_limit_anonymous", "100/15 minute", "100/15 minute"),
            ("cors_origins", " https://a.example , https://b.example,", ("https://a.example", "https://b.example")),
            ("trusted_proxies", "10.0.0.0/8, ::1", (ip_network("10.0.0.0/8"), ip_network("::1"))),
            ("trusted_proxies", "::ffff:10.0.0.0/104, ::/0", (ip_network("10.0.0.0/8"), ip_network("::/0"))),
            ("log_level", "debug", "debug"),
            ("sqlite_synchronous", "NORMAL", "NORMAL"),
            ("max_body_bytes", "2048", 2048),
            ("request_timeout", "5", 5),
            ("max_connections", "10", 10),
            ("max_connections_per_address", "10", 10),
            ("worker_threads", "0", 0),
            ("worker_lease", "60", 60),
            ("audit", "off", "off"),
            ("audit_flush_seconds", "0.25", 0.25),
            ("audit_keep_days", "7", 7),
            ("smtp_url", "smtp://localhost", "smtp://localhost"),
            ("smtp_url", "smtps://u:p%40ss@mail.example:465/", "smtps://u:p%40ss@mail.example:465/"),
            ("smtp_url", "smtp+starttls://u:p@[::1]:587", "smtp+starttls://u:p@[::1]:587"),
            ("mail_dir", "/srv/mail", Path("/srv/mail")),
            ("well_known_dir", "/srv/well-known", Path("/srv/well-known")),
            ("mail_from", '"Acme, Inc." <help@acme.example>', '"Acme, Inc." <help@acme.example>'),
        ],
    )
    def test_each_can_be_set(self, name, text, value):
        needed = {"TICKETS_SECRET_KEY": SECRET, "TICKETS_PASSWORD_RESET_URL": "https://a.example/{token}"}
        settings = Settings.from_env({f"TICKETS_{name.upper()}": text, **needed})
        assert getattr(settings, name) == value

    @pytest.mark.parametrize(
        ("most", "share", "allowed"), [(2_000, None, 1_000), (1, None, 1), (10, 3, 3), (10, 50, 10)]
    )
    def test_an_address_has_half_of_the_connections_unless_it_is_told(self, most, share, allowed):
        settings = Settings(max_connections=most, max_connections_per_address=share)
        assert settings.connections_of_an_address() == allowed

    def test_what_is_empty_is_not_set(self):
        assert Settings.from_env({"TICKETS_LOG_LEVEL": ""}).log_level == "info"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("TICKETS_ENV", "staging"),
            ("TICKETS_AUDIT", "maybe"),
            ("TICKETS_AUDIT_KEEP_DAYS", "0"),
            ("TICKETS_AUDIT_KEEP_DAYS", "100000"),
            ("TICKETS_AUDIT_FLUSH_SECONDS", "0"),
            ("TICKETS_AUDIT_FLUSH_SECONDS", "nan"),
            ("TICKETS_DATABASE_URL", "tickets.db"),
            ("TICKETS_DATABASE_URL", "sqlite://"),
            ("TICKETS_DATABASE_URL", "sqlite:///:memory:"),
            ("TICKETS_DATABASE_URL", "postgresql://u:p@h/d"),
            ("TICKETS_RATE_LIMIT_API_KEY", "5"),
            ("TICKETS_RATE_LIMIT_API_KEY", "0/second"),
            ("TICKETS_RATE_LIMIT_API_KEY", "5/fortnight"),
            ("TICKETS_RATE_LIMIT_ANONYMOUS", "5 per second"),
            ("TICKETS_TRUSTED_PROXIES", "10.0.0.1/8"),
            ("TICKETS_TRUSTED_PROXIES", "proxy"),
            ("TICKETS_LOG_LEVEL", "loud"),
            ("TICKETS_SQLITE_SYNCHRONOUS", "OFF"),
            ("TICKETS_MAX_BODY_BYTES", "1MB"),
            ("TICKETS_MAX_BODY_BYTES", "0"),
            ("TICKETS_REQUEST_TIMEOUT", "-1"),
            ("TICKETS_MAX_CONNECTIONS", "many"),
            ("TICKETS_WORKER_THREADS", "-1"),
            ("TICKETS_WORKER_LEASE", "0"),
            ("TICKETS_SMTP_URL", "mail.example"),
            ("TICKETS_SMTP_URL", "http://mail.example"),
            ("TICKETS_SMTP_URL", "smtp://"),
            ("TICKETS_SMTP_URL", "smtp://user@mail.example"),
            ("TICKETS_SMTP_URL", "smtp://mail.example:port"),
            ("TICKETS_SMTP_URL", "smtp://mail.example/inbox"),
            ("TICKETS_MAIL_FROM", "Help"),
            ("TICKETS_MAIL_FROM", "help@"),
            ("TICKETS_MAIL_FROM", "Acme, Inc. <help@acme.example>"),
            ("TICKETS_MAIL_FROM", "Help <help@acme.example>\nBcc: x@y.example"),
            ("TICKETS_SECRET_KEY", "short"),
        ],
    )
    def test_what_cannot_be_used_is_one_line_that_names_it(self, name, text):
        with pytest.raises(SettingsError) as caught:
            Settings.from_env({name: text})
        message = str(caught.value)
        assert message.startswith(name)
        assert "\n" not in message
        assert message.endswith(".")

    def test_production_needs_a_secret(self):
        with pytest.raises(SettingsError, match="TICKETS_SECRET_KEY"):
            Settings.from_env({"TICKETS_ENV": "production"})

    def test_production_needs_the_page_that_mails_link_to(self):
        with pytest.raises(SettingsError, match="TICKETS_PASSWORD_RESET_URL"):
            Settings.from_env({"TICKETS_ENV": "production", "TICKETS_SECRET_KEY": SECRET})

    def test_the_secret_is_not_shown(self):
        assert SECRET not in repr(Settings.from_env({"TICKETS_SECRET_KEY": SECRET}))

    def test_the_password_of_the_mail_server_is_not_shown(self):
        assert "hunter2" not in repr(Settings.from_env({"TICKETS_SMTP_URL": "smtp://u:hunter2@mail.example"}))
        with pytest.raises(SettingsError) as caught:
            Settings.from_env({"TICKETS_SMTP_URL": "smtp://u:hunter2@mail.example:x"})
        assert "hunter2" not in str(caught.value)

    def test_a_bad_secret_is_not_shown(self):
        with pytest.raises(SettingsError) as caught:
            Settings.from_env({"TICKETS_SECRET_KEY": "hunter2"})
        assert "hunter2" not in str(caught.value)


class TestSigningKey:
    def test_the_one_that_was_set_is_used(self, tmp_path):
        settings = Settings(var_dir=tmp_path, secret_key=SECRET)
        assert settings.signing_keys() == [SECRET.encode()]
        assert not list(tmp_path.iterdir())

    def test_one_is_made_when_it_is_asked_for_and_stays(self, tmp_path):
        for _ in range(2):
            Settings(var_dir=tmp_path).make_secret_key()
        [made] = Settings(var_dir=tmp_path).signing_keys()
        assert len(made) >= 32
        assert Settings(var_dir=tmp_path).signing_keys() == [made]
        assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600

    def test_it_is_read_once_and_none_is_made_in_its_place(self, tmp_path):
        settings = Settings(var_dir=tmp_path)
        with pytest.raises(SettingsError, match=r"secret\.key is gone: put it back\."):
            settings.signing_keys()
        settings.make_secret_key()
        [made] = settings.signing_keys()
        (tmp_path / "secret.key").unlink()
        assert settings.signing_keys() == [made]
        with pytest.raises(SettingsError, match="ends all sessions"):
            Settings(var_dir=tmp_path).signing_keys()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("left", ["", "x" * 31])
    def test_a_file_that_was_cut_off_is_refused_rather_than_signed_with(self, tmp_path, left):
        (tmp_path / "secret.key").write_text(left)
        with pytest.raises(SettingsError, match=r"secret\.key is damaged"):
            Settings(var_dir=tmp_path).signing_keys()
