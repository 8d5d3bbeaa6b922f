"""The command line: `flask tickets …`, also as `tickets …`."""
