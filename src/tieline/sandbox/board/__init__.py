"""The board: what people of the firm do in their own systems, each deed behind a button or one call.

In: the vendors' control doors, and what the firm has planned. Out: deeds done at the vendors.
Law: it does only what a person could do in the vendors' own pages, or a network to all of them.
"""

from tieline.sandbox.board.deeds import DEEDS, Choice, Deed, Deeds, Done
from tieline.sandbox.board.doors import Door, ErpDoor, NotDone
from tieline.sandbox.board.occasions import Occasions, read_occasions

__all__ = [
    "DEEDS",
    "Choice",
    "Deed",
    "Deeds",
    "Done",
    "Door",
    "ErpDoor",
    "NotDone",
    "Occasions",
    "read_occasions",
]
