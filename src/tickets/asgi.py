"""The door for other servers: ``uvicorn tickets.asgi:app``.

It logs as ``tickets serve`` does, with the settings of the same variables. What ``tickets serve`` has beyond it:

- It goes on only with a database at the newest revision; here, requests to any other fail.
- Its server bounds the size of headers, the time they may take and the number of connections, answers what is
  no HTTP with a problem, and lets a client that still sends read why it was refused (``http/server.py``); here,
  that is for the server or a proxy in front of it to do. The bounds of bodies hold in both.

Run one process: rate limits are counted in memory, and several processes would each allow the whole of them.
"""

from tickets import logs
from tickets.app import create_app
from tickets.settings import Settings

_settings = Settings.from_env()
# First of all: structlog as it comes prints tracebacks with the local variables, which hold credentials.
logs.configure(_settings)
app = create_app(_settings)
