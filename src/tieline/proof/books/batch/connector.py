"""Books that take documents whole and show them by their number; a line is countered, and never gone."""

from tieline.proof.books.lines import build_of_documents as build
from tieline.proof.books.lines import manifest_of
from tieline.sdk import Strategy

MANIFEST = manifest_of("books_batch", Strategy.IMPORT_BATCH)

__all__ = ["MANIFEST", "build"]
