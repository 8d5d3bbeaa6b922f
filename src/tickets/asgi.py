"""The door for servers: ``uvicorn tickets.asgi:app``."""

from tickets.app import create_app
from tickets.settings import Settings

app = create_app(Settings.from_env())
