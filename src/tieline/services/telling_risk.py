"""Tell who answers for work at risk when it comes up to half, four fifths and all of its limit, each once.

Pattern: scheduled; one transaction per project. Vendor calls: none; what is written is sent by
``services/messaging.py``.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from tieline.notices import Message, begin_round, person_owner
from tieline.runtime.database import Database
from tieline.services.at_risk import OpenRisk, list_risks
from tieline.services.message_desk import Desk
from tieline.services.message_text import write_risk

STEPS_PERCENT = (50, 80, 100)

Row = dict[str, Any]


def tell_risks(database: Database, *, desk: Desk) -> int:
    """Write what sponsors are to know; return how many were told."""
    with database.transaction() as connection:
        risks = list_risks(connection)
    told = 0
    for risk in risks:
        step = reached_step(risk.percent)
        if step is not None:
            with database.transaction() as connection:
                told += _tell(connection, desk=desk, risk=risk, step=step)
    return told


def reached_step(percent: int) -> int | None:
    """Return the highest step that a share of the limit came up to, None below the first."""
    return max((step for step in STEPS_PERCENT if percent >= step), default=None)


def _tell(connection: Connection[Row], *, desk: Desk, risk: OpenRisk, step: int) -> bool:
    occasion = f"risk:{risk.risk_id}:{step}"
    if not begin_round(connection, occasion=occasion, now=desk.now):
        return False
    owner = person_owner(risk.sponsor)
    subject, body = write_risk(risk=risk, step=step, now=desk.now, speech=desk.speech)
    desk.write(
        connection,
        message=Message(
            kind="risk",
            occasion=occasion,
            owner=owner,
            is_urgent=True,
            entity_code=risk.entity_code,
            period_id=None,
            case_ids=(),
            covers_waiting=False,
            subject=subject,
            body=body,
            due_at=risk.until_at,
            useful_until=risk.until_at,
        ),
        reached=desk.directory.of_owner(owner, day=desk.day_in(risk.zone), is_urgent=True),
        correlation_id=occasion,
    )
    return True
