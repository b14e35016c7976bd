"""Books that replace the line of a reference."""

from tieline.proof.books.lines import build, manifest_of
from tieline.sdk import Strategy

MANIFEST = manifest_of("books_upsert", Strategy.UPSERT)

__all__ = ["MANIFEST", "build"]
