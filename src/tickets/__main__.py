"""``python -m tickets`` is the command line."""

from tickets.cli import main

main()
