"""A contract-first ticketing API: openapi.yaml routes, validates, authorizes and documents it."""

from importlib.metadata import version

__version__ = version("ticketing-api")
