"""Tryton 8.0 over JSON-RPC: master data, time lines, contracts and draft invoices of an ERP.

In: a connection with one integration user per legal entity. Out: raw records, receipts, drafts.
Law: one write is one call and one transaction; what a lost answer did is asked, never guessed.
"""

from tieline.connectors.tryton.connector import MANIFEST, TrytonConnector, build

__all__ = ["MANIFEST", "TrytonConnector", "build"]
