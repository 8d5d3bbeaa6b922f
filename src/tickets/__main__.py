"""``python -m tickets`` is the command line."""

from tickets.cli import main

if __name__ == "__main__":  # a process that seed-data starts imports this too
    main(name="python -m tickets")
