"""Where an adjusting journal goes: named by the firm for each legal entity, or nowhere."""

from __future__ import annotations

from psycopg import Connection

from tieline.policy import find_value
from tieline.runtime.database import Row
from tieline.sdk import Accounts

_NAMES = ("adjustment_journal", "adjustment_debit_account", "adjustment_credit_account")


def find_accounts(connection: Connection[Row], *, entity_code: str) -> Accounts | None:
    """Return the journal and accounts of a legal entity; None unless all of them are named."""
    journal, debit, credit = (
        find_value(connection, name=name, entity_code=entity_code) or "" for name in _NAMES
    )
    if not (journal and debit and credit):
        return None
    return Accounts(journal=journal, debit=debit, credit=credit)
