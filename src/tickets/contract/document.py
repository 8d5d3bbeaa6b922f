"""The contract as a document: read once, hashed, served as it is, asked which paths exist."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import yaml

METHODS = ("get", "put", "post", "patch", "delete")


class Document:
    """openapi.yaml.

    Args:
        path: the file.

    Attributes:
        text: the file as it is, served at /openapi.yaml.
        sha256: its hash in hexadecimal, shown in /_meta.
        data: the parsed document.
        base_path: where its paths begin, for example ``/api/v1``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_bytes()
        self.sha256 = hashlib.sha256(self.text).hexdigest()
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.data: dict[str, Any] = yaml.load(self.text, loader)  # noqa: S506 - both loaders are the safe ones
        self.base_path: str = self.data["servers"][0]["url"].rstrip("/")
        self._paths = [
            (re.compile(self.base_path + _pattern(path)), _allowed(item)) for path, item in self.data["paths"].items()
        ]

    @cached_property
    def json(self) -> bytes:
        """The document as JSON, served at /openapi.json."""
        return msgspec.json.encode(self.data)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Walk all operations as path, method and Operation Object."""
        for path, item in self.data["paths"].items():
            for method in METHODS:
                if method in item:
                    yield path, method, item[method]

    def resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        """Follow a Reference Object to what it names within the document."""
        while "$ref" in node:
            target: Any = self.data
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def shown(self, response: dict[str, Any], fields: frozenset[str]) -> frozenset[str]:
        """Name what a Response Object shows of the entity that a body describes.

        Args:
            response: the answer.
            fields: of the body; where not all of them are shown, it describes something else, and nothing is.
        """
        content = response.get("content", {}).get("application/json")
        shown = frozenset(self.resolve(content["schema"]).get("properties", ()) if content else ())
        return shown if fields <= shown else frozenset()

    def methods(self, path: str) -> tuple[str, ...]:
        """Tell which methods a path takes; none when there is no such path."""
        return next((methods for pattern, methods in self._paths if pattern.fullmatch(path)), ())

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """Addresses at the root of the server that answer as an operation does (``x-also-at``)."""
        found = {
            operation["x-also-at"]: self.base_path + path
            for path, _, operation in self.operations()
            if "x-also-at" in operation
        }
        return MappingProxyType(found)


def _allowed(item: dict[str, Any]) -> tuple[str, ...]:
    """Name the methods of a Path Item; where there is GET there is HEAD (RFC 9110, 9.3.2)."""
    methods = [method.upper() for method in METHODS if method in item]
    return (*methods, "HEAD") if "GET" in methods else tuple(methods)


def _pattern(path: str) -> str:
    """Make a regular expression of a path template; each of our parameters is an id."""
    return re.sub(r"\\\{[^}]*\\\}", r"[0-9]+", re.escape(path))
