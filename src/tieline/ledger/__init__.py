"""Plan what must move and book what was confirmed; append-only.

In: judged entries, confirmed effects. Out: planned effects, ledger lines, sums.
Law: a line follows a confirmed effect, an effect follows a cleared verdict; nothing is changed.
"""

from tieline.ledger.booking import Booked, ConfirmedLine, ScopeWeight, book, confirm, plan, weigh

__all__ = ["Booked", "ConfirmedLine", "ScopeWeight", "book", "confirm", "plan", "weigh"]
