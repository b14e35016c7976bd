"""What a connector is: small protocols that a system's folder fulfils as far as it can.

In: a connection's configuration and secrets. Out: raw records, receipts, errors by consequence.
Law: get is dumb, translate is pure; retries, rates, storage and tracing belong to Tieline.
"""

from tieline.sdk.capabilities import (
    Capabilities,
    NounWrite,
    Strategy,
    StreamDeclaration,
    Undo,
    load_manifest,
)
from tieline.sdk.protocols import (
    CheckItem,
    CheckReport,
    Checks,
    Connection,
    HourSum,
    InvoiceDraft,
    InvoiceLine,
    Invoices,
    LineTotal,
    Page,
    RawRecord,
    Reads,
    ReadsOne,
    Receipt,
    RulesInvoices,
    Stored,
    StoredLine,
    Translated,
    Translates,
    Untranslatable,
    Writes,
    WritesTimeLines,
)

__all__ = [
    "Capabilities",
    "CheckItem",
    "CheckReport",
    "Checks",
    "Connection",
    "HourSum",
    "InvoiceDraft",
    "InvoiceLine",
    "Invoices",
    "LineTotal",
    "NounWrite",
    "Page",
    "RawRecord",
    "Reads",
    "ReadsOne",
    "Receipt",
    "RulesInvoices",
    "Stored",
    "StoredLine",
    "Strategy",
    "StreamDeclaration",
    "Translated",
    "Translates",
    "Undo",
    "Untranslatable",
    "Writes",
    "WritesTimeLines",
    "load_manifest",
]
