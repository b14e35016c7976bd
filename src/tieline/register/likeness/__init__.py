"""Say which records are the same client, without a word from anybody or with a few decisions."""

from tieline.register.likeness.matching import Matched, gather, match
from tieline.register.likeness.records import FIELDS, Records

__all__ = ["FIELDS", "Matched", "Records", "gather", "match"]
