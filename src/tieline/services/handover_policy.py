"""What a firm decided about beginning a hand-over: by itself, by a person, by two from an amount on."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from psycopg import Connection

from tieline.policy import find_value
from tieline.runtime.database import Row

_BEGINS, _BY_PERSON = "handover_begins", "by_person"
_TWO_PEOPLE_FROM = "handover_two_people_from"
_APPROVED_FROM = "deal_approval_from"
_OF_LOST, _REVERSE = "unbilled_of_lost_deal", "reverse"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverPolicy:
    """What a legal entity decided; ``two_people_from`` is empty where nobody else is asked."""

    begins: str | None
    two_people_from: str | None
    of_lost: str | None

    @property
    def reverses_unbilled(self) -> bool:
        """Say whether what was not billed of a deal that is lost is taken back."""
        return self.of_lost == _REVERSE

    def takes_two(self, *, amount: Decimal | None) -> bool:
        """Say whether two people must agree before a deal of this amount is handed over."""
        limit = self.two_people_from or ""
        return bool(limit) and _reaches(amount, limit)

    def waits_for_person(self, *, amount: Decimal | None) -> bool:
        """Say whether a plan without a blocker still waits until somebody applies it."""
        return self.begins == _BY_PERSON or self.takes_two(amount=amount)


def read_handover_policy(connection: Connection[Row], *, entity_code: str | None) -> HandoverPolicy:
    """Return what holds for a legal entity, or for a deal that names none."""
    entity = entity_code or ""
    return HandoverPolicy(
        begins=find_value(connection, name=_BEGINS, entity_code=entity),
        two_people_from=find_value(connection, name=_TWO_PEOPLE_FROM, entity_code=entity),
        of_lost=find_value(connection, name=_OF_LOST, entity_code=entity),
    )


def read_approval_limit(connection: Connection[Row], *, entity_code: str | None) -> str:
    """Return from which amount on a legal entity asks for an approval in the CRM; empty where it asks for none."""
    return find_value(connection, name=_APPROVED_FROM, entity_code=entity_code or "") or ""


def asks_for_approval(limit: str, *, amount: Decimal | None) -> bool | None:
    """Say whether a deal of this amount needs an approval; None where the firm asks for none."""
    return _reaches(amount, limit) if limit else None


def _reaches(amount: Decimal | None, limit: str) -> bool:
    try:
        # Of what nobody knows how much it is worth, nobody says alone that it is little.
        return amount is None or not amount < Decimal(limit)
    except InvalidOperation:
        # A limit that nobody can read lets nobody decide alone.
        return True
