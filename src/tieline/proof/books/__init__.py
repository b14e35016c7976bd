"""Connectors to the books of the proof: one system per way in which a write is made safe.

In: time lines. Out: what stands, where the books can be asked. Law: the product knows only their
manifests; nothing in it knows that it talks to a proof.
"""

from tieline.proof.books.lines import BooksConnector, build, manifest_of

SYSTEMS = {
    "native": "books_native",
    "upsert": "books_upsert",
    "unique": "books_unique",
    "probe": "books_probe",
    "batch": "books_batch",
    "naive-erp": "books_naive",
}
PACKAGES = {
    "books_native": "tieline.proof.books.native",
    "books_upsert": "tieline.proof.books.upsert",
    "books_unique": "tieline.proof.books.unique",
    "books_probe": "tieline.proof.books.probe",
    "books_batch": "tieline.proof.books.batch",
    "books_naive": "tieline.proof.books.naive",
}

__all__ = ["PACKAGES", "SYSTEMS", "BooksConnector", "build", "manifest_of"]
