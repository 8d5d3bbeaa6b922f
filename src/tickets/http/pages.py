"""Pages for people, and the contract as a file: what Flask serves beside the operations."""

from pathlib import Path
from typing import Any

import flask
from swagger_ui_bundle import swagger_ui_path

from tickets.contract.document import Document


def blueprint(document: Document, version: str) -> flask.Blueprint:
    """Make the pages.

    Args:
        document: the contract they show.
        version: of the service.
    """
    here = Path(__file__).parent
    pages = flask.Blueprint("pages", __name__, template_folder=here / "templates", static_folder=here / "static")

    @pages.after_request
    def undated(response: flask.Response) -> flask.Response:
        response.headers.pop("date", None)  # the server sends it
        return response

    @pages.get("/")
    def landing() -> str:
        operations = [(path, method, spec["summary"]) for path, method, spec in document.operations()]
        return flask.render_template(
            "landing.html", info=document.data["info"], version=version, operations=len(operations)
        )

    @pages.get("/docs")
    def console() -> str:
        return flask.render_template("console.html", title=document.data["info"]["title"])

    @pages.get("/api-docs")
    def api_docs() -> Any:
        return flask.redirect("/docs")

    @pages.get("/docs/<name>")
    def console_file(name: str) -> Any:
        return flask.send_from_directory(swagger_ui_path, name, max_age=86_400)

    @pages.get("/openapi.yaml")
    def contract_yaml() -> Any:
        return _contract(document, document.text, "application/yaml")

    @pages.get("/openapi.json")
    def contract_json() -> Any:
        return _contract(document, document.json, "application/json")

    return pages


def _contract(document: Document, body: bytes, media_type: str) -> Any:
    response = flask.Response(body, content_type=media_type)
    response.set_etag(document.sha256)
    return response.make_conditional(flask.request)
