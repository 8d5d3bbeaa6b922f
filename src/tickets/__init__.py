"""A contract-first ticketing API: openapi.yaml routes, validates, authorizes and documents it."""

import warnings

# Connexion imports starlette's test client, which we never use, and which warns about its HTTP library.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient`")


def __getattr__(name: str) -> str:
    # Looked up when it is asked for: a third of what `tickets --help` took.
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version  # noqa: PLC0415 - it is what takes long

    return version("ticketing-api")
