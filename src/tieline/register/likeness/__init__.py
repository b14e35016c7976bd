"""Say which records are the same client, without a word from anybody or with a few decisions."""

from tieline.register.likeness.matching import Matched, gather, match
from tieline.register.likeness.records import FIELDS, Records
from tieline.register.likeness.weighing import WEIGHED, likely

__all__ = ["FIELDS", "Matched", "Records", "WEIGHED", "gather", "likely", "match"]
