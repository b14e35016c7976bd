"""What a firm decided about beginning a hand-over: by itself, by a person, by two from an amount on."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from psycopg import Connection

from tieline.policy import find_value
from tieline.runtime.database import Row

_BEGINS, _BY_PERSON = "handover_begins", "by_person"
_TWO_PEOPLE_FROM = "handover_two_people_from"


def takes_two(
    connection: Connection[Row], *, entity_code: str | None, amount: Decimal | None
) -> bool:
    """Say whether two people must agree before a deal of this amount is handed over."""
    told = find_value(connection, name=_TWO_PEOPLE_FROM, entity_code=entity_code or "")
    if not told:
        return False
    try:
        limit = Decimal(told)
    except InvalidOperation:
        # A limit that nobody can read lets nobody decide alone.
        return True
    # Of what nobody knows how much it is worth, nobody says alone that it is little.
    return amount is None or not amount < limit


def waits_for_person(
    connection: Connection[Row], *, entity_code: str | None, amount: Decimal | None
) -> bool:
    """Say whether a plan without a blocker still waits until somebody applies it."""
    begins = find_value(connection, name=_BEGINS, entity_code=entity_code or "")
    return begins == _BY_PERSON or takes_two(connection, entity_code=entity_code, amount=amount)
