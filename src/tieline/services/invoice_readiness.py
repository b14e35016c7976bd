"""Business service: say per contract and period what stands between the hours and the invoice.

Pattern: recomputed as a set after posting and on a schedule; releasing and drafting are asked for
by a person. Target: recomputed within a minute of the last posted hour. Vendor calls: none to
compute; per drafted invoice one draft and one read-back, each a handful of requests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.canonical import COST_PLUS
from tieline.governance import record_audit
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.sql import hashed, load
from tieline.sdk import RulesInvoices
from tieline.sdk.directory import Connectors
from tieline.services.billing_schedule import (
    FIXED_FEE,
    DueByScope,
    DuePart,
    due_total,
    is_by_schedule,
    load_due,
)
from tieline.services.billing_shares import (
    DrawnShare,
    Share,
    Splits,
    billed_on,
    drawn_as_json,
    load_drawn,
    load_splits,
    shares_as_json,
    shares_on,
    take_back_drawn,
)
from tieline.services.billing_source import hour_items, is_from_ledger
from tieline.services.forecast import Outlook
from tieline.services.readiness_checks import (
    BLOCK,
    CARRIABLE,
    RISK,
    WHY_UNKNOWN,
    Checked,
    check_invoices,
    read_weights,
)
from tieline.services.readiness_drafting import Drafted, NotDrafted, draft_invoice
from tieline.services.readiness_pricing import (
    ByScope,
    expected_lines,
    load_sums,
    rules_by_target,
    total,
)
from tieline.validation import codes_about

FACTS = load("tieline.services", "readiness_facts")
_TOLD = load("tieline.services", "readiness_told")
_STORE = load("tieline.services", "readiness_store")
_HOLD = """
SELECT FROM readiness
WHERE %(contract_ids)s::uuid[] IS NULL OR contract_id = ANY (%(contract_ids)s::uuid[])
ORDER BY contract_id, period_id FOR UPDATE
"""

__all__ = [
    "Computed",
    "Drafted",
    "NotDrafted",
    "Readiness",
    "ReadinessSum",
    "Released",
    "compute_readiness",
    "draft_invoice",
    "list_readiness",
    "release_contract",
    "release_in",
    "sum_readiness",
    "withdraw_release",
]

# What a client's guidelines ask of the lines of its invoices.
_CONTENT = codes_about("narrative")
# Hours that an incomplete release leaves for the next cycle; each is counted by one check.
CARRIED_CODES = (
    "readiness.hours_held",
    "readiness.hours_waiting",
    "readiness.hours_not_approved",
    "readiness.late_hours_open",
    "readiness.handed_over_unmatched",
)

_CAPPED = ("capped_time_and_materials", COST_PLUS)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """One contract and period: its state, what it is worth, and what stands in its way."""

    contract_id: UUID
    contract_code: str
    contract_name: str
    period_id: UUID
    period_code: str
    entity_code: str
    state: str
    currency: str
    seconds: int
    ledger_amount: Decimal
    expected_amount: Decimal
    rounding_amount: Decimal
    waiting_seconds: int
    waiting_amount: Decimal
    held_seconds: int
    held_amount: Decimal
    carried_seconds: int
    carried_amount: Decimal
    invoiced_amount: Decimal
    checks_passed: int
    blockers: tuple[Mapping[str, Any], ...]
    not_checked: tuple[Mapping[str, Any], ...]
    shares: tuple[Mapping[str, Any], ...]
    deadline_at: datetime
    computed_at: datetime

    @property
    def lacking(self) -> tuple[str, ...]:
        """Return what would have to be told for everything to be checked, each once."""
        return tuple(dict.fromkeys(each["lacks"] for each in self.not_checked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Count what one pass found, by state."""

    by_state: Mapping[str, int]

    @property
    def ready(self) -> int:
        return self.by_state.get("ready", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A contract whose hours up to a date now stand still until its invoice is made."""

    lock_id: UUID
    contract_id: UUID
    period_id: UUID
    carried_seconds: int
    carried_amount: Decimal


def compute_readiness(
    connection: Connection[Row],
    *,
    connectors: Connectors,
    outlook: Outlook | None,
    now: datetime,
    contract_ids: Sequence[UUID] | None = None,
) -> Computed:
    """Answer every check for every contract and period that is still to be billed.

    A fixpoint over the same facts; ``contract_ids`` None means every contract. Without an ``outlook`` nobody
    says when what waits will be through.
    """
    wanted = list(contract_ids) if contract_ids is not None else None
    asked = {"now": now, "contract_ids": wanted}
    # Who releases, withdraws or drafts waits: else what is computed of before would be stored over it.
    connection.execute(_HOLD, asked)
    rows = load_facts(connection, contract_ids=wanted, now=now)
    # What is not connected yet is told by a check of its own.
    connected = {row["erp_connection_key"] for row in rows if row["erp_system"] is not None}
    splits = load_splits(connection, contract_ids=wanted, now=now)
    drawn = load_drawn(connection, contract_ids=wanted)
    known = _Known(
        told={
            row["contract_id"]: row
            for row in connection.execute(_TOLD, {**asked, "content": list(_CONTENT)})
        },
        due=load_due(connection, contract_ids=wanted, period_id=None, now=now),
        splits=splits,
        drawn=drawn,
        were_split=frozenset((*splits, *(contract_id for contract_id, _ in drawn))),
        sums=load_sums(connection, contract_ids=wanted, period_id=None),
        rules=rules_by_target(connectors, connection_keys=connected),
        bills_items=frozenset(
            key for key in connected if hasattr(connectors.get(connection_key=key), "draft_items")
        ),
        in_time=_in_time(rows, outlook, now=now),
    )
    facts = [_facts(row, known) for row in rows]
    checked = check_invoices(connection, facts=facts, weights=read_weights(connection))
    judged = [_stored(each, found) for each, found in zip(facts, checked, strict=True)]
    connection.execute(_STORE, {"rows": Jsonb(judged), "now": now, "contract_ids": wanted})
    by_state: dict[str, int] = defaultdict(int)
    for row in judged:
        by_state[row["state"]] += 1
    return Computed(by_state=dict(by_state))


def load_facts(
    connection: Connection[Row], *, contract_ids: Sequence[UUID] | None, now: datetime
) -> list[Row]:
    """Return what the checks look at, a row per contract and period; all contracts are hashed, one is looked up."""
    with hashed(connection, is_so=contract_ids is None):
        return connection.execute(FACTS, {"now": now, "contract_ids": contract_ids}).fetchall()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessSum:
    """Contracts of one legal entity and period in one state, and what they are worth."""

    entity_code: str
    period_id: UUID
    period_code: str
    deadline_at: datetime
    state: str
    currency: str
    contracts: int
    expected_amount: Decimal


def sum_readiness(connection: Connection[Row]) -> tuple[ReadinessSum, ...]:
    """Count contracts by legal entity, period and state, in sight of the caller."""
    rows = connection.execute(
        """
        SELECT r.entity_code, r.period_id, p.period_code, r.deadline_at, r.state, r.currency,
               count(*)::int AS contracts, sum(r.expected_amount) AS expected_amount
        FROM readiness r JOIN fiscal_period p USING (period_id)
        GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY r.deadline_at, r.entity_code, r.state
        """
    ).fetchall()
    return tuple(ReadinessSum(**row) for row in rows)


def list_readiness(
    connection: Connection[Row],
    *,
    entity_code: str | None = None,
    period_code: str | None = None,
    state: str | None = None,
    contract_id: UUID | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> tuple[Readiness, ...]:
    """List what was last computed, in sight of the caller; the nearest deadline and dearest first."""
    rows = connection.execute(
        """
        SELECT r.contract_id, c.contract_code, coalesce(v.name, c.contract_code) AS contract_name,
               r.period_id, p.period_code, r.entity_code, r.state,
               r.currency, r.seconds, r.ledger_amount, r.expected_amount, r.rounding_amount,
               r.waiting_seconds, r.waiting_amount, r.held_seconds, r.held_amount, r.carried_seconds,
               r.carried_amount, coalesce(i.untaxed_amount, 0) AS invoiced_amount, r.checks_passed,
               r.blockers, r.not_checked, r.deadline_at, r.computed_at,
               CASE WHEN r.shares = '[]' THEN r.shares ELSE page_shares(r.contract_id, r.period_id) END AS shares
        FROM readiness r JOIN contract c USING (contract_id)
        JOIN fiscal_period p USING (period_id)
        LEFT JOIN contract_version v ON v.contract_id = c.contract_id AND v.superseded_at IS NULL
        LEFT JOIN (
            SELECT contract_id, period_id, sum(untaxed_amount) AS untaxed_amount FROM invoice_record
            GROUP BY 1, 2
        ) i ON (i.contract_id, i.period_id) = (r.contract_id, r.period_id)
        WHERE (%(entity_code)s::text IS NULL OR r.entity_code = %(entity_code)s)
          AND (%(period_code)s::text IS NULL OR p.period_code = %(period_code)s)
          AND (%(state)s::text IS NULL OR r.state = %(state)s)
          AND (%(contract_id)s::uuid IS NULL OR r.contract_id = %(contract_id)s)
        ORDER BY r.deadline_at, r.expected_amount DESC, c.contract_code
        LIMIT %(limit)s OFFSET %(offset)s
        """,
        {
            "entity_code": entity_code,
            "period_code": period_code,
            "state": state,
            "contract_id": contract_id,
            "limit": limit,
            "offset": offset,
        },
    ).fetchall()
    return tuple(
        Readiness(
            **{
                **row,
                "blockers": tuple(
                    {**blocker, "may_be_carried": blocker["code"] in CARRIABLE}
                    for blocker in row["blockers"]
                ),
                "not_checked": tuple(
                    {**WHY_UNKNOWN[each["code"]], **each}
                    for each in row["not_checked"]
                    # A rule of an older book may have left since this was computed.
                    if each["code"] in WHY_UNKNOWN
                ),
                "shares": tuple(row["shares"]),
            }
        )
        for row in rows
    )


def release_contract(
    database: Database,
    *,
    contract_id: UUID,
    period_id: UUID,
    by: str,
    carry_reason: str | None,
    now: datetime,
    entities: Sequence[str] | None = None,
) -> Released:
    """Freeze a contract's hours up to the period's last day, for its invoice.

    An incomplete contract is released only with a reason; what is then carried to the next cycle
    stays visible as unbilled. ``entities`` narrows what the caller may see (None: the worker).

    :raises UserMistake: not due, already released or invoiced, incomplete without a reason, or in a
        state that would make the invoice itself wrong, whatever the reason.
    """
    with database.transaction() as connection:
        if entities is not None:
            connection.execute(
                "SELECT set_config('tieline.entities', %s, true)", (",".join(sorted(entities)),)
            )
        return release_in(
            connection,
            contract_id=contract_id,
            period_id=period_id,
            by=by,
            carry_reason=carry_reason,
            now=now,
        )


def release_in(
    connection: Connection[Row],
    *,
    contract_id: UUID,
    period_id: UUID,
    by: str,
    carry_reason: str | None,
    now: datetime,
) -> Released:
    """Do what ``release_contract`` does, in the caller's transaction.

    :raises UserMistake: not due, already released or invoiced, or incomplete without a reason.
    """
    readiness = _get(connection, contract_id=contract_id, period_id=period_id)
    _may_release(readiness, carry_reason=carry_reason)
    lock_id = _lock(
        connection, readiness=readiness, by=by, reason=carry_reason or "complete", now=now
    )
    seconds, amount = _carry(
        connection, readiness=readiness, lock_id=lock_id, by=by, reason=carry_reason, now=now
    )
    connection.execute(
        "UPDATE readiness SET state = 'released' WHERE (contract_id, period_id) = (%s, %s)",
        (contract_id, period_id),
    )
    record_audit(
        connection,
        now=now,
        actor=by,
        action="contract.released",
        object=f"contract:{contract_id}",
        entity_code=readiness["entity_code"],
        reason=carry_reason or "complete",
        data={"period_id": str(period_id), "carried_seconds": seconds},
    )
    return Released(
        lock_id=lock_id,
        contract_id=contract_id,
        period_id=period_id,
        carried_seconds=seconds,
        carried_amount=amount,
    )


def withdraw_release(
    connection: Connection[Row], *, contract_id: UUID, by: str, reason: str, now: datetime
) -> None:
    """Let a contract's hours move again before its invoice was asked for.

    :raises UserMistake: nothing of it is released, or an invoice of it is under way or stands.
    """
    # Whoever is about to ask for the invoice is done, or waits, when we look.
    connection.execute(
        "SELECT FROM release_lock WHERE contract_id = %s AND unlocked_at IS NULL FOR UPDATE",
        (contract_id,),
    )
    under_way = connection.execute(
        "SELECT 1 AS one FROM open_effect e JOIN contract c ON split_part(e.source_ref, '|', 1)"
        " = c.contract_code WHERE c.contract_id = %s AND e.noun = 'invoice'"
        " AND e.state IN ('INTENT', 'UNKNOWN', 'PROBING')",
        (contract_id,),
    ).fetchone()
    if under_way:
        raise UserMistake("the ERP is being asked about its invoice: wait for the answer")
    row = connection.execute(
        "UPDATE release_lock SET unlocked_at = %s, unlocked_because = %s"
        " WHERE contract_id = %s AND unlocked_at IS NULL RETURNING entity_code, period_id",
        (now, reason, contract_id),
    ).fetchone()
    if row is None:
        raise UserMistake("nothing of the contract is released")
    if not take_back_drawn(connection, contract_id=contract_id, period_id=row["period_id"]):
        raise UserMistake("one of its clients has an invoice: let the others be drafted first")
    # It stands as it did, until it is computed again: who looks at once is not told that it is released.
    connection.execute(
        """
        UPDATE readiness SET state = CASE WHEN blockers @> '[{"weight": "block"}]' THEN 'blocked'
            WHEN blockers @> '[{"weight": "risk"}]' THEN 'at_risk' ELSE 'ready' END
        WHERE (contract_id, period_id) = (%s, %s) AND state = 'released'
        """,
        (contract_id, row["period_id"]),
    )
    record_audit(
        connection,
        now=now,
        actor=by,
        action="contract.release_withdrawn",
        object=f"contract:{contract_id}",
        entity_code=row["entity_code"],
        reason=reason,
        data={"period_id": str(row["period_id"])},
    )


# -- computing -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known beside the facts of a period, read once for all of them."""

    told: Mapping[UUID, Row]
    due: DueByScope
    splits: Splits
    drawn: Mapping[tuple[UUID, UUID], Sequence[DrawnShare]]
    were_split: frozenset[UUID]
    sums: ByScope
    rules: Mapping[str, RulesInvoices]
    bills_items: frozenset[str]
    in_time: Mapping[tuple[str, UUID], bool]


def _facts(row: Row, known: _Known) -> Row:
    facts = {**row, **known.told[row["contract_id"]]}
    facts["is_by_schedule"] = is_by_schedule(facts["billing_method"], facts["schedule_count"])
    shares = _shares(facts, known)
    facts |= _split_facts(facts, shares, known)
    due = known.due.get((row["contract_id"], row["period_id"]), ())
    rules = known.rules.get(row["erp_connection_key"])
    is_connected = row["erp_system"] is not None
    drawn = known.drawn.get((row["contract_id"], row["period_id"]), ())
    expected, ledger, lines = _price(facts, due, known)
    if row["is_released"] and drawn:
        # What is being billed is what was drawn, also when some of its clients have their invoice.
        expected = ledger = sum((each.amount for each in drawn), Decimal(0))
    return {
        **facts,
        "shares": drawn_as_json(drawn)
        or shares_as_json(shares, amount=expected, currency=facts["currency"]),
        **_schedule_facts(due),
        "expected_amount": expected,
        "ledger_amount": ledger,
        "invoice_lines": lines,
        "cap_excess": _cap_excess(row, expected=expected),
        "makes_invoices": not is_connected or rules is not None,
        "bills_items": not is_connected or row["erp_connection_key"] in known.bills_items,
        "is_in_time": known.in_time.get((row["entity_code"], row["period_id"])),
    }


def _shares(facts: Row, known: _Known) -> tuple[Share, ...]:
    told = known.splits.get(facts["contract_id"], ())
    day = billed_on(last_day=facts["up_to_on"], contract_ends_on=facts["contract_ends_on"])
    return shares_on(told, day)


def _split_facts(facts: Row, shares: Sequence[Share], known: _Known) -> Row:
    holds = [share.hold for share in shares if share.hold is not None]
    return {
        "split_count": len(shares),
        "split_percent": sum((share.percent for share in shares), Decimal(0)),
        "split_rounding_count": sum(share.takes_rounding for share in shares),
        "split_unlinked_count": sum(share.client_code is None for share in shares),
        "split_incomplete_count": sum(not share.is_complete for share in shares),
        "is_from_ledger": is_from_ledger(
            billing_method=facts["billing_method"],
            schedule_count=facts["schedule_count"],
            was_split=facts["contract_id"] in known.were_split,
        ),
        # Whoever pays a share is asked the same as the contract's own client.
        "client_hold": facts["client_hold"] or (holds[0] if holds else None),
        "is_tax_allowed": facts["is_tax_allowed"] and all(each.is_tax_allowed for each in shares),
    }


def _schedule_facts(due: Sequence[DuePart]) -> Row:
    waiting = [part for part in due if not part.is_due]
    return {
        "unconfirmed_milestones": len(waiting),
        "unconfirmed_amount_of_schedule": sum((part.amount for part in waiting), Decimal(0)),
        "overage_unpriced_seconds": sum(part.unpriced_seconds for part in due),
    }


def _in_time(
    rows: Sequence[Row], outlook: Outlook | None, *, now: datetime
) -> dict[tuple[str, UUID], bool]:
    """Say per legal entity and period whether what waits is through before the cut-off; where anybody can."""
    found: dict[tuple[str, UUID], bool] = {}
    if outlook is None:
        return found
    scopes = {(row["entity_code"], row["period_id"]): row["cut_off_at"] for row in rows}
    for (entity_code, period_id), cut_off_at in scopes.items():
        forecast = outlook.of_entity(entity_code, until=cut_off_at, now=now)
        if forecast is not None:
            found[entity_code, period_id] = forecast.is_before(cut_off_at)
    return found


def _cap_excess(row: Row, *, expected: Decimal) -> Decimal:
    if row["billing_method"] not in _CAPPED or row["cap_amount"] is None:
        return Decimal(0)
    over: Decimal = row["billed_amount"] + expected - row["cap_amount"]
    return max(over, Decimal(0))


def _stored(facts: Row, checked: Checked) -> dict[str, Any]:
    expected, ledger = facts["expected_amount"], facts["ledger_amount"]
    return {
        "contract_id": str(facts["contract_id"]),
        "period_id": str(facts["period_id"]),
        "entity_code": facts["entity_code"],
        "state": _state(facts, checked),
        "deadline_at": facts["cut_off_at"].isoformat(),
        "currency": facts["currency"],
        "seconds": facts["seconds"],
        "ledger_amount": str(ledger),
        "expected_amount": str(expected),
        "rounding_amount": str(expected - ledger),
        "waiting_seconds": facts["waiting_seconds"],
        "waiting_amount": str(facts["waiting_amount"]),
        "held_seconds": facts["held_seconds"],
        "held_amount": str(facts["held_amount"]),
        "carried_seconds": facts["carried_seconds"],
        "carried_amount": str(facts["carried_amount"]),
        "checks_passed": checked.passed,
        "blockers": [blocker.as_json() for blocker in checked.blockers],
        # Why is said in the book: it would be stored thousands of times.
        "not_checked": [{"code": rule.code} for rule in checked.not_checked],
        "shares": facts["shares"],
    }


def _price(facts: Row, due: Sequence[DuePart], known: _Known) -> tuple[Decimal, Decimal, int]:
    """Return what the target will bill, what the ledger says of it, and on how many lines."""
    if facts["is_by_schedule"]:
        value = due_total(due)
        return value, value, sum(part.is_due for part in due)
    if facts["billing_method"] == FIXED_FEE:
        # Billed whole from the contract document, in the first open period it touches.
        is_due = facts["is_first"] and facts["billed_amount"] == 0
        value = (facts["value_amount"] or Decimal(0)) if is_due else Decimal(0)
        return value, value, facts["contract_lines"]
    found = known.sums.get((facts["contract_id"], facts["period_id"]), ())
    if facts["is_from_ledger"]:
        items = hour_items(found)
        value = sum((item.amount for item in items), Decimal(0))
        return value, facts["ledger_amount"], len(items)
    rules = known.rules.get(facts["erp_connection_key"])
    if not found:
        return Decimal(0), facts["ledger_amount"], 0
    if rules is None:
        return facts["ledger_amount"], facts["ledger_amount"], len(found)
    lines = expected_lines(found, rules=rules, currency=facts["company_currency"])
    return total(lines), facts["ledger_amount"], len(lines)


def _state(facts: Mapping[str, Any], checked: Checked) -> str:
    if facts["is_invoiced"] and not facts["is_released"]:
        return "invoiced"
    if facts["is_released"]:
        return "released"
    if not facts["is_over"]:
        return "not_due"
    weights = {blocker.weight for blocker in checked.blockers}
    if not facts["expected_amount"] and not (
        facts["held_seconds"]
        or facts["waiting_seconds"]
        or facts["late_seconds"]
        or facts["unapproved_seconds"]
        or facts["unconfirmed_milestones"]
    ):
        return "not_due"
    if BLOCK in weights:
        return "blocked"
    return "at_risk" if RISK in weights else "ready"


# -- releasing -------------------------------------------------------------------------------------


def _get(connection: Connection[Row], *, contract_id: UUID, period_id: UUID) -> Row:
    row = connection.execute(
        """
        SELECT r.*, c.contract_code, p.period_code, p.ends_on FROM readiness r
        JOIN contract c USING (contract_id) JOIN fiscal_period p USING (period_id)
        WHERE (r.contract_id, r.period_id) = (%s, %s) FOR UPDATE OF r
        """,
        (contract_id, period_id),
    ).fetchone()
    if row is None:
        raise UserMistake("this contract has nothing to release in this period")
    return row


def _may_release(readiness: Row, *, carry_reason: str | None) -> None:
    name = f"contract {readiness['contract_code']} in {readiness['period_code']}"
    if readiness["state"] in ("released", "invoiced"):
        raise UserMistake(f"{name} is already {readiness['state']}")
    if readiness["state"] == "not_due":
        raise UserMistake(f"{name} is not due")
    to_mend = [
        f"{blocker['code']} ({blocker['fix']})"
        for blocker in readiness["blockers"]
        if blocker["weight"] in (BLOCK, RISK) and blocker["code"] not in CARRIABLE
    ]
    if to_mend:
        raise UserMistake(f"{name} cannot be invoiced as it is: {'; '.join(to_mend)}")
    if readiness["state"] in ("blocked", "at_risk") and not (carry_reason or "").strip():
        raise UserMistake(f"{name} is incomplete: say what is carried to the next cycle and why")


def _lock(
    connection: Connection[Row], *, readiness: Row, by: str, reason: str, now: datetime
) -> UUID:
    row = connection.execute(
        """
        INSERT INTO release_lock (contract_id, period_id, entity_code, up_to_on, released_by,
            reason, released_at)
        VALUES (%s, %s, %s, %s::date - 1, %s, %s, %s)
        ON CONFLICT (contract_id) WHERE unlocked_at IS NULL DO NOTHING RETURNING lock_id
        """,
        (
            readiness["contract_id"],
            readiness["period_id"],
            readiness["entity_code"],
            readiness["ends_on"],
            by,
            reason,
            now,
        ),
    ).fetchone()
    if row is None:
        raise UserMistake(
            f"another period of contract {readiness['contract_code']} is being invoiced"
        )
    lock_id: UUID = row["lock_id"]
    return lock_id


def _carry(
    connection: Connection[Row],
    *,
    readiness: Row,
    lock_id: UUID,
    by: str,
    reason: str | None,
    now: datetime,
) -> tuple[int, Decimal]:
    open_blockers = [each for each in readiness["blockers"] if each["weight"] != "warn"]
    carried = [each for each in open_blockers if each["code"] in CARRIED_CODES]
    seconds = sum(each["seconds"] for each in carried)
    amount = sum((Decimal(each["amount"]) for each in carried), Decimal(0))
    if reason is None or not open_blockers:
        return 0, Decimal(0)
    connection.execute(
        """
        INSERT INTO carry_over (lock_id, contract_id, period_id, entity_code, seconds, amount,
            currency, blockers, reason, carried_by, carried_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            lock_id,
            readiness["contract_id"],
            readiness["period_id"],
            readiness["entity_code"],
            seconds,
            amount,
            readiness["currency"],
            Jsonb(open_blockers),
            reason,
            by,
            now,
        ),
    )
    return seconds, amount
