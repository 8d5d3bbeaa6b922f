"""Pages for people, and the contract as a file: what Flask serves beside the operations."""

from pathlib import Path
from typing import Any

import flask
from swagger_ui_bundle import swagger_ui_path

from tickets.contract.document import Document

_HERE = Path(__file__).parent


def blueprint(document: Document, version: str, well_known: Path) -> flask.Blueprint:
    """Make the pages.

    Args:
        document: the contract they show.
        version: of the service.
        well_known: the folder of the operator's own JSON files (RFC 8615).
    """
    pages = flask.Blueprint("pages", __name__, template_folder=_HERE / "templates", static_folder=_HERE / "static")
    pages.before_request(_whole)
    pages.after_request(_plain)
    _add_pages(pages, document, version)
    _add_contract(pages, document)

    @pages.get("/.well-known/<name>.json")
    def well_known_file(name: str) -> Any:
        return flask.send_from_directory(well_known, f"{name}.json", max_age=3_600)

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

    @pages.get("/docs/<name>")
    def console_file(name: str) -> Any:
        return flask.send_from_directory(swagger_ui_path, name, max_age=86_400)

    @pages.get("/reset-password")
    def reset_password() -> str:
        """Where a mail sends people to who forgot their password, unless the operator has a page of their own."""
        title = document.data["info"]["title"]
        return flask.render_template("reset_password.html", title=title, base_path=document.base_path)

    @pages.get("/favicon.ico")
    def favicon() -> Any:
        """Browsers ask for it beside anything they show, also beside JSON; what it is, the media type says."""
        return flask.send_from_directory(_HERE / "static", "favicon.svg", max_age=86_400)


def _add_contract(pages: flask.Blueprint, document: Document) -> None:
    def send(body: bytes, media_type: str) -> Any:
        response = flask.Response(body, content_type=media_type)
        response.set_etag(document.sha256)
        return response.make_conditional(flask.request)

    @pages.get("/openapi.yaml")
    def contract_yaml() -> Any:
        return send(document.text, "application/yaml")

    @pages.get("/openapi.json")
    def contract_json() -> Any:
        return send(document.json, "application/json")


def _whole() -> None:
    """Send each file as a whole: none is large, and a server may ignore Range (RFC 9110, 14.2)."""
    flask.request.environ.pop("HTTP_RANGE", None)


def _plain(response: flask.Response) -> flask.Response:
    response.headers.pop("date", None)  # the server sends it
    response.headers.pop("accept-ranges", None)  # see _whole
    return response
