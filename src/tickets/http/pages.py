"""Pages for people, and the contract as a file: what Flask serves beside the operations."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import flask
import flask_swagger_ui

from tickets.contract.document import Document

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
_CONSOLE_FILES = frozenset(("swagger-ui.css", "swagger-ui-bundle.js"))

_PAGES = frozenset(
    (
        "/",
        "/docs",
        "/docs/",
        "/api-docs",
        "/api-docs/",
        "/openapi.yaml",
        "/openapi.json",
        "/favicon.ico",
        "/reset-password",
    )
)
_FOLDERS = ("/docs/", "/static/", "/.well-known/")

_HOUR = 3_600
_YEAR = 365 * 24 * _HOUR
_LONGEST_ETAGS = 1_000
"""Characters of If-None-Match up to which it is looked at."""


def is_page(method: str, path: str) -> bool:
    """Tell whether a request is for a page or a file of one, which are counted by themselves."""
    if method not in ("GET", "HEAD"):
        return method == "POST" and path == "/reset-password"
    return path in _PAGES or path.startswith(_FOLDERS)


def blueprint(document: Document, version: str, well_known: Path) -> flask.Blueprint:
    """Make the pages.

    Args:
        document: the contract they show.
        version: of the service.
        well_known: the folder of the operator's own JSON files (RFC 8615).
    """
    pages = flask.Blueprint("pages", __name__, template_folder=_HERE / "templates")
    pages.before_request(_whole)
    pages.after_request(_plain)
    _add_pages(pages, document, version)
    _add_contract(pages, document)
    _add_files(pages)

    @pages.get("/.well-known/<name>.json")
    def well_known_file(name: str) -> Any:
        return flask.send_from_directory(well_known, f"{name}.json", max_age=_HOUR)

    return pages


def _add_pages(pages: flask.Blueprint, document: Document, version: str) -> None:
    @pages.get("/")
    def landing() -> str:
        operations = [(path, method, spec["summary"]) for path, method, spec in document.operations()]
        return flask.render_template(
            "landing.html", info=document.data["info"], version=version, operations=len(operations)
        )

    @pages.get("/docs")
    def console() -> str:
        return flask.render_template("console.html", title=document.data["info"]["title"])

    @pages.get("/docs/")
    @pages.get("/api-docs")
    @pages.get("/api-docs/")
    def to_console() -> Any:
        return flask.redirect("/docs")

    def reset_password_page(*, is_unscripted: bool) -> str:
        title = document.data["info"]["title"]
        return flask.render_template(
            "reset_password.html", title=title, base_path=document.base_path, is_unscripted=is_unscripted
        )

    @pages.get("/reset-password")
    def reset_password() -> str:
        """Where a mail sends people to who forgot their password, unless the operator has a page of their own."""
        return reset_password_page(is_unscripted=False)

    @pages.post("/reset-password")
    def reset_password_without_script() -> tuple[str, int]:
        """What the form itself does where its script does not run; nothing of what was sent is looked at."""
        return reset_password_page(is_unscripted=True), 400


def _add_files(pages: flask.Blueprint) -> None:
    @pages.get("/docs/<name>")
    def console_file(name: str) -> Any:
        if name not in _CONSOLE_FILES:
            flask.abort(404)
        return _send(_SWAGGER_UI, name)

    @pages.get("/static/<name>")
    def static_file(name: str) -> Any:
        return _send(_STATIC, name)

    @pages.get("/favicon.ico")
    def favicon() -> Any:
        """Browsers ask for it beside anything they show, also beside JSON; what it is, the media type says."""
        return flask.send_from_directory(_STATIC, "favicon.svg", max_age=24 * _HOUR)

    @pages.app_template_global()
    def address_of(path: str) -> str:
        """Return the address of a file, which is another one as soon as what is in the file is."""
        folder = _SWAGGER_UI if path.startswith("/docs/") else _STATIC
        return f"{path}?v={_version(folder / path.rpartition('/')[2])}"


def _send(folder: Path, name: str) -> flask.Response:
    response = flask.send_from_directory(folder, name, max_age=_HOUR)
    if flask.request.args.get("v") == _version(folder / name):
        response.cache_control.max_age = _YEAR
        response.cache_control.immutable = True
    return response


@lru_cache(maxsize=64)
def _version(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def _add_contract(pages: flask.Blueprint, document: Document) -> None:
    def send(body: bytes, media_type: str) -> Any:
        response = flask.Response(body, content_type=media_type)
        response.set_etag(document.sha256)  # and it is asked for anew each time, see _plain
        return response.make_conditional(flask.request)

    @pages.get("/openapi.yaml")
    def contract_yaml() -> Any:
        return send(document.text, "application/yaml")

    @pages.get("/openapi.json")
    def contract_json() -> Any:
        return send(document.json, "application/json")


def _whole() -> None:
    """Send each file as a whole: none is large, and a server may ignore Range (RFC 9110, 14.2)."""
    environ = flask.request.environ
    environ.pop("HTTP_RANGE", None)
    if len(environ.get("HTTP_IF_NONE_MATCH", "")) > _LONGEST_ETAGS:
        del environ["HTTP_IF_NONE_MATCH"]


def _plain(response: flask.Response) -> flask.Response:
    response.headers.pop("date", None)  # the server sends it
    response.headers.pop("accept-ranges", None)  # see _whole
    if "cache-control" not in response.headers:
        response.cache_control.no_cache = True
    return response
