"""Books that keep no reference and find nothing: one attempt, then a person."""

from tieline.proof.books.lines import build, manifest_of
from tieline.sdk import Strategy

MANIFEST = manifest_of("books_naive", Strategy.ONCE_THEN_CASE)

__all__ = ["MANIFEST", "build"]
