"""Take in what sources say: raw first, then canonical versions.

In: pages of raw records. Out: a landed batch, versions, neighbors to judge again, cursors.
Law: stored byte for byte before it is understood; only a change of a material field is a version.
"""

from tieline.intake.deletes import DeletesFound, confirm_deletes
from tieline.intake.hints import take_hints
from tieline.intake.landing import Landed, LandingPage, abandon, land
from tieline.intake.reader import HELD_BY_ANOTHER, READS, Reader, ReadResult
from tieline.intake.replay import (
    Kept,
    Replayed,
    Slice,
    Understood,
    land_again,
    read_slice,
    translate_again,
)

__all__ = [
    "HELD_BY_ANOTHER",
    "READS",
    "DeletesFound",
    "Kept",
    "Landed",
    "LandingPage",
    "ReadResult",
    "Reader",
    "Replayed",
    "Slice",
    "Understood",
    "abandon",
    "confirm_deletes",
    "land",
    "land_again",
    "read_slice",
    "take_hints",
    "translate_again",
]
