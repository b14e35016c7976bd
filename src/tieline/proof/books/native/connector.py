"""Books that know a reference again and answer it as they did the first time."""

from tieline.proof.books.lines import build, manifest_of
from tieline.sdk import Strategy

MANIFEST = manifest_of("books_native", Strategy.NATIVE_KEY)

__all__ = ["MANIFEST", "build"]
