"""Books that refuse a second line of a reference."""

from tieline.proof.books.lines import build, manifest_of
from tieline.sdk import Strategy

MANIFEST = manifest_of("books_unique", Strategy.UNIQUE_FIELD)

__all__ = ["MANIFEST", "build"]
