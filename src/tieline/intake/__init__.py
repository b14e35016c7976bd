"""Take in what sources say: raw first, then canonical versions.

In: pages of raw records. Out: a landed batch, versions, neighbors to judge again, cursors.
Law: stored byte for byte before it is understood; only a change of a material field is a version.
"""

from tieline.intake.deletes import DeletesFound, confirm_deletes
from tieline.intake.hints import take_hints
from tieline.intake.landing import Landed, LandingPage, abandon, land
from tieline.intake.reader import Reader, ReadResult

__all__ = [
    "DeletesFound",
    "Landed",
    "LandingPage",
    "ReadResult",
    "Reader",
    "abandon",
    "confirm_deletes",
    "land",
    "take_hints",
]
