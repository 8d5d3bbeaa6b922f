"""The database: one engine, statements compiled once, transactions that lose nothing.

Everything a request does to the database goes through a `Transaction`.
"""

from tickets.db.connections import LOCK_TIMEOUT, Connection, Database
from tickets.db.failures import Damaged, Locked, TookTooLong
from tickets.db.statements import Bulk, Row, Statement, Transaction

__all__ = [
    "LOCK_TIMEOUT",
    "Bulk",
    "Connection",
    "Damaged",
    "Database",
    "Locked",
    "Row",
    "Statement",
    "TookTooLong",
    "Transaction",
]
