"""The pages beside the operations: their addresses, their icon, their files as a whole."""

import hashlib
import re

import pytest

from api.checks import problem


@pytest.mark.parametrize("path", ["/docs/", "/api-docs", "/api-docs/"])
def test_whoever_looks_for_the_console_finds_it(anonymous, service, path):
    response = anonymous.get(f"{service.origin}{path}")
    assert (response.status_code, response.headers["location"]) == (302, "/docs")


def test_the_icon_that_browsers_ask_for_is_there_and_the_pages_name_it(anonymous, service):
    icon = anonymous.get(f"{service.origin}/favicon.ico")
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml; charset=utf-8")
    assert icon.text.startswith("<svg ")
    for page in ("/", "/docs"):
        text = anonymous.get(f"{service.origin}{page}").text
        assert re.findall(r'<link rel="icon"[^>]* href="([^"]*)"', text) == ["/favicon.ico"]


@pytest.mark.parametrize("path", ["/docs/swagger-ui.css", "/static/landing.css", "/favicon.ico"])
@pytest.mark.parametrize("wanted", ["bytes=0-9", "bytes=5-", "bytes=999999999-", "bytes=0-1,5-6", "bytes=abc", "x"])
def test_a_file_is_sent_whole_whatever_part_is_asked_for(anonymous, service, path, wanted):
    whole = anonymous.get(f"{service.origin}{path}")
    response = anonymous.get(f"{service.origin}{path}", headers={"range": wanted})
    assert response.status_code == 200
    assert response.content == whole.content
    assert "accept-ranges" not in response.headers


def test_a_file_that_is_known_already_is_not_sent_again(anonymous, service):
    etag = anonymous.get(f"{service.origin}/docs/swagger-ui.css").headers["etag"]
    response = anonymous.get(f"{service.origin}/docs/swagger-ui.css", headers={"if-none-match": etag})
    assert (response.status_code, response.content) == (304, b"")


def test_a_file_that_is_none_is_a_problem(anonymous, service):
    problem(anonymous.get(f"{service.origin}/docs/nothing.js", headers={"range": "bytes=0-9"}), 404, "not_found")


class TestCaches:
    @pytest.mark.parametrize("path", ["/", "/docs", "/reset-password", "/openapi.yaml", "/openapi.json", "/docs/"])
    def test_pages_and_the_contract_are_asked_for_anew(self, anonymous, service, path):
        assert anonymous.get(f"{service.origin}{path}").headers["cache-control"] == "no-cache"

    @pytest.mark.parametrize("page", ["/", "/docs", "/reset-password"])
    def test_a_file_that_a_page_names_by_its_version_stays_for_good(self, anonymous, service, page):
        files = re.findall(r'(?:href|src)="([^"?]*)\?v=([0-9a-f]{12})"', anonymous.get(f"{service.origin}{page}").text)
        assert files
        for path, version in files:
            file = anonymous.get(f"{service.origin}{path}?v={version}")
            assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert hashlib.sha256(file.content).hexdigest().startswith(version)

    @pytest.mark.parametrize(
        "path", ["/docs/swagger-ui.css", "/static/console.js", "/static/console.js?v=0", "/favicon.ico"]
    )
    def test_any_other_file_for_a_while_and_then_by_its_etag(self, anonymous, service, path):
        response = anonymous.get(f"{service.origin}{path}")
        assert re.fullmatch(r"public, max-age=(3600|86400)", response.headers["cache-control"])
        assert response.headers["etag"]

    def test_a_long_list_of_etags_is_not_looked_at(self, anonymous, service):
        etag = anonymous.get(f"{service.origin}/openapi.json").headers["etag"]
        headers = {"if-none-match": '"a", ' * 5_000 + etag}
        assert anonymous.get(f"{service.origin}/openapi.json", headers=headers).status_code == 200


class TestResetPasswordWithoutScript:
    def test_what_its_form_sends_is_answered_by_a_page_that_says_what_to_do(self, anonymous, service):
        response = anonymous.post(f"{service.origin}/reset-password", data={"password": "my new password"})
        assert response.status_code == 400
        assert response.headers["content-type"].startswith("text/html")
        assert "was not set" in response.text
        assert "Allow JavaScript" in response.text
        assert "my new password" not in response.text
        assert "<form" not in response.text

    def test_its_form_never_puts_a_password_into_the_address(self, anonymous, service):
        assert '<form id="reset" method="post" ' in anonymous.get(f"{service.origin}/reset-password").text


@pytest.mark.parametrize("name", ["index.css", "LICENSE", "oauth2-redirect.html", "VERSION", "swagger-ui.js"])
def test_of_the_consoles_package_only_what_the_console_needs_is_served(anonymous, service, name):
    problem(anonymous.get(f"{service.origin}/docs/{name}"), 404, "not_found")


class TestWellKnown:
    def test_the_operators_json_files_are_served(self, anonymous, service):
        folder = service.settings.well_known_dir
        folder.mkdir(exist_ok=True)
        (folder / "ticketing.json").write_text('{"support": "help@acme.example"}')
        response = anonymous.get(f"{service.origin}/.well-known/ticketing.json")
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert response.json() == {"support": "help@acme.example"}

    @pytest.mark.parametrize(
        "name", ["nothing.json", "ticketing", "..%2Fsecret.key", "%2E%2E%2Fx.json", "a/b.json", ".json"]
    )
    def test_nothing_else_is(self, anonymous, service, name):
        problem(anonymous.get(f"{service.origin}/.well-known/{name}"), 404, "not_found")
