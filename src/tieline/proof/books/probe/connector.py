"""Books that keep references and compare none: ask before trying again."""

from tieline.proof.books.lines import build, manifest_of
from tieline.sdk import Strategy

MANIFEST = manifest_of("books_probe", Strategy.PROBE_BEFORE_RETRY)

__all__ = ["MANIFEST", "build"]
