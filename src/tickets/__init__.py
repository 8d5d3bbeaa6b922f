"""A contract-first ticketing API: openapi.yaml routes, validates, authorizes and documents it."""

import warnings
from importlib.metadata import version

__version__ = version("ticketing-api")

# Connexion imports starlette's test client, which we never use, and which warns about its HTTP library.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")
