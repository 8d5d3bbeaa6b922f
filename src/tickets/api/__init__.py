"""Handlers: one file a tag, one function an operationId."""
