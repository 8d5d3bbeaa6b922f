"""openapi.yaml at work: it routes, authorizes and validates; nothing here knows a single operation."""
