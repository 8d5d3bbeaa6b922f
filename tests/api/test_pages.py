"""The pages beside the operations: their addresses, their icon, their files as a whole."""

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
