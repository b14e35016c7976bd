"""During the week: what would be held if the hours that nobody has approved yet were approved now.

Pattern: read on request. Vendor calls: none. Nothing of it is stored, so nothing of it can be posted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.validation import EarlyVerdict, look_early

# Two months and a bit: what is older and not approved is missing approval, not early.
DAYS_BACK = 70
HELD, CLEAR, ALL = "held", "clear", "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyLook:
    """Hours that are not approved, as they would be decided, where any release of rules decides yet."""

    hours: tuple[EarlyVerdict, ...]
    is_decided: bool = True

    @property
    def held(self) -> tuple[EarlyVerdict, ...]:
        """Return what would be kept back."""
        return tuple(each for each in self.hours if each.outcome != "cleared")

    @property
    def seconds(self) -> int:
        """Return how much is not approved."""
        return sum(each.seconds for each in self.hours)

    @property
    def held_seconds(self) -> int:
        """Return how much of it would be kept back."""
        return sum(each.seconds for each in self.held)

    @property
    def held_amounts(self) -> dict[str, Decimal]:
        """Return what that is worth where a price resolves, by currency."""
        amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
        for each in self.held:
            if each.amount is not None and each.currency is not None:
                amounts[each.currency] += each.amount
        return dict(sorted(amounts.items()))

    @property
    def by_reason(self) -> dict[str, int]:
        """Return how many hours each reason would keep back, the most first."""
        counts = Counter(
            reason.code
            for each in self.held
            for reason in each.reasons
            if reason.severity in ("error", "park")
        )
        return dict(counts.most_common())

    def of(
        self,
        *,
        state: str = ALL,
        entity_code: str = "",
        project_code: str = "",
        person_id: UUID | None = None,
        approver_id: UUID | None = None,
        manager_id: UUID | None = None,
    ) -> EarlyLook:
        """Return the part that somebody asks for."""
        return replace(
            self,
            hours=tuple(
                each
                for each in self.hours
                if entity_code in ("", each.entity_code)
                and project_code in ("", each.project_code)
                and person_id in (None, each.person_id)
                and approver_id in (None, each.approver_id)
                and (manager_id is None or manager_id in each.managers)
                and (state not in (HELD, CLEAR) or (each.outcome == "cleared") is (state == CLEAR))
            ),
        )


def read_early_look(
    connection: Connection[Row],
    *,
    now: datetime,
    entities: Collection[str],
    all_entities: Sequence[str],
) -> EarlyLook:
    """Judge what is not approved, as the judge; what is of no legal entity is told to who sees all of them."""
    found = look_early(connection, since_on=now.date() - timedelta(days=DAYS_BACK), now=now)
    sees_all = set(all_entities) <= set(entities)
    return EarlyLook(
        hours=tuple(
            each
            for each in found
            if (sees_all if each.entity_code is None else each.entity_code in entities)
        )
    )
