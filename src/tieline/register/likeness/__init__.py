"""Say which records are the same client, without a word from anybody or with a few decisions."""

from tieline.register.likeness.matching import Matched, gather, match
from tieline.register.likeness.records import FIELDS, Records
from tieline.register.likeness.stock import (
    Decided,
    Score,
    Scored,
    Scorer,
    learn_from,
    odds_of,
    score_stock,
)
from tieline.register.likeness.weighing import WEIGHED, likely, likely_one

__all__ = [
    "Decided",
    "FIELDS",
    "Matched",
    "Records",
    "Score",
    "Scored",
    "Scorer",
    "WEIGHED",
    "gather",
    "learn_from",
    "likely",
    "likely_one",
    "match",
    "odds_of",
    "score_stock",
]
