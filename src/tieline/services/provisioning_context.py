"""What the rules about deals may look at: one row per deal, and one for each of its lines and people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pycountry
from psycopg import Connection
from stdnum.exceptions import ValidationError
from stdnum.util import get_cc_module

from tieline.canonical import OpportunityLine
from tieline.register import COST_CENTER, LABOR_CATEGORY, PRACTICE, all_links, links_from
from tieline.runtime.database import Row
from tieline.services.handover_policy import asks_for_approval, read_approval_limit
from tieline.services.provisioning_facts import ACT, DealFacts, Staffed, ToldShare

PROJECT_CODE_FORMAT = re.compile(r"[A-Z0-9][A-Z0-9._/-]{1,24}")
# What a connection may map as extras of a deal.
_SIGNED, _KIND, _APPROVED = "contract_signed", "deal_kind", "deal_approved"
_ORDER_LAST_DAY = "purchase_order_last_day"
_YES = ("true", "yes")
_ADDRESS = ("street", "city", "postal_code", "country_code")
# Codes with a check of their own where the ERP has none for them.
_NAMED_APART = (LABOR_CATEGORY, COST_CENTER, PRACTICE)
_CENT = Decimal("0.01")
_WHOLE = Decimal(100)
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the firm told beside its deals, as of one day, and what else stands; loaded once for all."""

    schedules: Mapping[str, Sequence[Row]]
    is_schedule_told: bool
    holds: Mapping[UUID, str]
    is_hold_told: bool
    taxes: frozenset[tuple[str, str, str]]
    cards: frozenset[str]
    parents: Mapping[UUID, UUID]
    linked_clients: frozenset[tuple[str, UUID]]
    holders: Mapping[str, Sequence[tuple[str, str, bool]]]
    own_records: frozenset[tuple[str, str]]
    resting: frozenset[str]
    twins: Mapping[str, Sequence[str]]
    askers: Mapping[str, Sequence[str]]
    employments: Mapping[UUID, Sequence[Row]]
    away: Mapping[UUID, Sequence[Row]]
    required: Mapping[UUID, frozenset[str]]
    held: Mapping[UUID, frozenset[str]]
    projects: Mapping[str, UUID]
    approval_limits: Mapping[str | None, str]
    orders: Mapping[tuple[UUID | None, str | None], date | None]


def load_told(connection: Connection[Row], *, deals: Sequence[DealFacts]) -> Told:
    """Load everything for all deals at once."""
    today = deals[0].today if deals else date.min
    # What a contract is billed by is told before it begins.
    schedules = _valid(connection, "billing_schedule", None)
    holds = _valid(connection, "client_hold", today)
    holders, parents = _holders(connection, deals), _parents(connection)
    return Told(
        schedules=_by(schedules, "contract_code"),
        is_schedule_told=bool(schedules),
        holds={row["client_id"]: row["reason"] for row in holds},
        is_hold_told=_is_told(connection, "client_hold"),
        taxes=frozenset(
            (row["entity_code"], row["country_code"], row["treatment"])
            for row in _valid(connection, "tax_treatment", today)
        ),
        cards=frozenset(row["card_code"] for row in _valid(connection, "client_rate", today)),
        parents=parents,
        linked_clients=frozenset(
            (found.connection_key, found.our_id)
            for found in all_links(connection, nouns=("client",), of=_asked_clients(deals, parents))
        ),
        holders=holders,
        own_records=_own_records(connection, holders),
        resting=frozenset(
            row["connection_key"]
            for row in connection.execute(
                "SELECT connection_key FROM connection_budget WHERE breaker = 'open'"
            ).fetchall()
        ),
        twins=_twins(deals),
        askers=_askers(connection, deals),
        employments=_by(
            connection.execute(
                "SELECT person_id, entity_code, starts_on, ends_on, cost_rate FROM employment"
                " WHERE superseded_at IS NULL"
            ).fetchall(),
            "person_id",
        ),
        away=_by(
            connection.execute(
                "SELECT person_id, starts_on, ends_on FROM leave WHERE superseded_at IS NULL"
            ).fetchall(),
            "person_id",
        ),
        required=_names(_valid(connection, "required_clearance", today), "project_id"),
        held=_names(_valid(connection, "held_clearance", today), "person_id"),
        projects={
            row["deal_key"]: row["project_id"]
            for row in connection.execute(
                "SELECT deal_key, project_id FROM provisioning_plan"
                " WHERE project_id IS NOT NULL AND deal_key = ANY (%s)",
                ([facts.key for facts in deals],),
            ).fetchall()
        },
        approval_limits={
            code: read_approval_limit(connection, entity_code=code)
            for code in {facts.deal.entity_code for facts in deals}
        },
        orders={
            (row["client_id"], row["order_number"]): row["ends_on"]
            for row in connection.execute(
                # An order that has no last day outlasts every other one of its number.
                """
                SELECT c.client_id, o.order_number,
                       nullif(max(coalesce(o.ends_on, 'infinity')), 'infinity') AS ends_on
                FROM purchase_order o JOIN contract c USING (contract_id)
                WHERE o.superseded_at IS NULL AND o.order_number = ANY (%s)
                GROUP BY c.client_id, o.order_number
                """,
                ([facts.deal.purchase_order for facts in deals if facts.deal.purchase_order],),
            ).fetchall()
        },
    )


def rows_of(deals: Sequence[DealFacts], told: Told) -> Rows:
    """Return the rows that the rules are asked of, by their scope."""
    rows: Rows = {"deal": [], "line": [], "person": []}
    for number, facts in enumerate(deals):
        rows["deal"].append({"subject_no": number, "thing": "", **_deal(facts, told)})
        starts = Counter(
            (each.task_name, each.labor_category, each.starts_on) for each in facts.lines
        )
        rows["line"] += [
            {"subject_no": number, "thing": line.line_ref, **_line(facts, line, starts)}
            for line in facts.deal.lines
        ]
        rows["person"] += [
            {"subject_no": number, "thing": one.part, **_person(facts, one, told)}
            for one in facts.staff
        ]
    return rows


# -- one row ---------------------------------------------------------------------------------------


def _deal(facts: DealFacts, told: Told) -> dict[str, Any]:
    deal = facts.deal
    signed = deal.extras.get(_SIGNED)
    return {
        "today": facts.today,
        "is_won": deal.is_won,
        "is_deleted": facts.source.is_deleted,
        "is_provisioned_elsewhere": facts.is_provisioned_elsewhere,
        "amount": deal.amount,
        "lines_amount": _sum([line.amount for line in deal.lines]),
        "lines_count": len(deal.lines),
        "closed_on": deal.closed_on,
        "deal_kind": deal.extras.get(_KIND),
        "is_owner_active": facts.owner is not None and facts.owner.is_active,
        "twins": ", ".join(told.twins.get(facts.key, ())),
        "codes_unknown": ", ".join(facts.unknown_codes),
        "categories_unnamed": _unnamed(facts, LABOR_CATEGORY),
        "entity_code": deal.entity_code,
        "entity_currency": None if facts.entity is None else facts.entity.currency,
        "is_entity_known": facts.entity is not None,
        "is_erp_connected": bool(facts.entity and facts.entity.erp_connection_key),
        "practice": deal.practice,
        "cost_center": deal.cost_center,
        "takes_cost_center": facts.entity is not None and facts.entity.takes_code(COST_CENTER),
        "cost_center_unnamed": _unnamed(facts, COST_CENTER),
        "practice_unnamed": _unnamed(facts, PRACTICE),
        "codes_unnamed": ", ".join(
            f"{kind} {code}"
            for kind, codes in sorted(facts.names.unnamed.items())
            for code in codes
            if kind not in _NAMED_APART
        ),
        "billing_method": deal.billing_method,
        "currency": deal.currency,
        "cap_amount": deal.cap_amount,
        "divided_cap_amount": facts.group.deal_cap,
        "line_caps_amount": facts.group.line_caps,
        "purchase_order": deal.purchase_order,
        "is_order_lasting": _is_order_lasting(facts, told),
        "is_purchase_order_required": deal.is_purchase_order_required,
        "starts_on": deal.starts_on,
        "ends_on": deal.ends_on,
        "name_length": len(deal.name),
        "tax_treatment": deal.tax_treatment,
        "rate_card": deal.rate_card,
        "is_card_told": bool(told.cards),
        "is_card_known": deal.rate_card in told.cards,
        "period_state": facts.period_state,
        "staff_count": len(facts.staff),
        "is_manager_told": any(one.manages_project is not None for one in facts.staff),
        "has_manager": any(one.manages_project for one in facts.staff),
        "time_tools_count": len(facts.time_connections),
        "is_signature_told": signed is not None,
        "is_signed": signed in _YES,
        "is_approval_told": _APPROVED in deal.extras,
        "is_approved": deal.extras.get(_APPROVED) in _YES,
        "is_approval_asked": asks_for_approval(
            told.approval_limits[deal.entity_code], amount=facts.group.deal_amount
        ),
        "template_budget_hours": _budget_hours(facts),
        "sold_hours": _sum([line.hours for line in deal.lines]),
        **_client(facts, told),
        **_code(facts, told),
        **_targets(facts, told),
        **_billing(facts, told),
    }


def _sum(numbers: Sequence[Decimal | None]) -> Decimal | None:
    """Return what numbers sum to; None without any, or while one is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(numbers) else None


def _budget_hours(facts: DealFacts, task_name: str | None = None) -> Decimal | None:
    """Return what the budgets of a template's tasks, or of one, sum to; None where nobody set one."""
    tasks = facts.template.tasks if facts.template else ()
    budgets = [each.budget_hours for each in tasks if task_name in (None, each.name)]
    return _sum([hours for hours in budgets if hours is not None])


def _is_order_lasting(facts: DealFacts, told: Told) -> bool | None:
    """Say whether a deal's order holds until its contract ends; None where nobody says how long it does."""
    deal = facts.deal
    key = (facts.client.client_id if facts.client else None, deal.purchase_order)
    if deal.purchase_order and key in told.orders:
        ends_on = told.orders[key]
    else:
        try:
            last_day = date.fromisoformat(deal.extras.get(_ORDER_LAST_DAY, ""))
        except ValueError:
            return None
        # The last day that can be written says that there is none.
        ends_on = None if last_day == date.max else last_day + timedelta(days=1)
    return ends_on is None or (deal.ends_on is not None and deal.ends_on <= ends_on)


def _unnamed(facts: DealFacts, kind: str) -> str:
    return ", ".join(facts.names.unnamed.get(kind, ()))


def _client(facts: DealFacts, told: Told) -> dict[str, Any]:
    client = facts.client
    country = client.country_code if client else None
    parent = told.parents.get(client.client_id) if client else None
    erp = facts.entity.erp_connection_key if facts.entity else None
    return {
        "is_client_known": client is not None,
        "client_trouble": facts.client_trouble,
        "is_client_active": client is not None and client.is_active,
        "address_missing": ", ".join(
            name for name in _ADDRESS if client and not getattr(client, name)
        ),
        "client_country": country,
        "is_country_known": None
        if not country
        else pycountry.countries.get(alpha_2=country) is not None,
        "has_vat_number": bool(client and client.vat_number),
        "is_vat_valid": _is_vat_valid(client.vat_number if client else None, country),
        "is_parent_linked": None
        if parent is None or erp is None
        else (erp, parent) in told.linked_clients,
        "is_hold_told": told.is_hold_told,
        "client_hold": told.holds.get(client.client_id) if client else None,
        "is_tax_told": any(row[0] == facts.deal.entity_code for row in told.taxes),
        # A row without a country is for clients of every one.
        "is_tax_allowed": any(
            (facts.deal.entity_code, place, facts.deal.tax_treatment) in told.taxes
            for place in (country, "")
        ),
    }


def _is_vat_valid(vat_number: str | None, country: str | None) -> bool | None:
    if not vat_number:
        return None
    module = get_cc_module((country or vat_number[:2]).lower(), "vat")
    if module is None:
        return None
    try:
        module.validate(vat_number)
    except ValidationError:
        return False
    return True


def _code(facts: DealFacts, told: Told) -> dict[str, Any]:
    code = facts.deal.project_code
    targets = {key for key, _ in facts.time_connections}
    if facts.entity and facts.entity.erp_connection_key:
        targets.add(facts.entity.erp_connection_key)
    others = [
        (f"{key}:{ref}", is_active)
        for key, ref, is_active in told.holders.get(code or "", ())
        if key in targets and (key, ref) not in told.own_records
    ]
    return {
        "project_code": code,
        "is_code_wellformed": bool(code and PROJECT_CODE_FORMAT.fullmatch(code)),
        "is_code_taken": facts.is_code_taken,
        "code_asked_before": _asked_before(facts, told),
        "code_holder": ", ".join(name for name, is_active in others if is_active),
        "archived_holder": ", ".join(name for name, is_active in others if not is_active),
    }


def _targets(facts: DealFacts, told: Told) -> dict[str, Any]:
    modes = dict(facts.time_connections)
    if facts.entity and facts.entity.erp_connection_key and facts.entity.erp_mode is not None:
        modes[facts.entity.erp_connection_key] = facts.entity.erp_mode
    return {
        "is_every_target_acting": all(mode == ACT for mode in modes.values()),
        "resting_targets": ", ".join(sorted(told.resting & modes.keys())),
    }


def _billing(facts: DealFacts, told: Told) -> dict[str, Any]:
    deal = facts.deal
    items = told.schedules.get(deal.project_code or "", ())
    return {
        "is_schedule_told": told.is_schedule_told,
        "schedule_count": len(items),
        "schedule_amount": sum((row["amount"] for row in items), Decimal(0)),
        "schedule_outside_count": sum(
            1
            for row in items
            if deal.starts_on is not None
            and not (
                deal.starts_on <= row["due_on"]
                and (deal.ends_on is None or row["due_on"] <= deal.ends_on)
            )
        ),
        "schedule_other_currency_count": sum(row["currency"] != deal.currency for row in items),
        **_split(facts, told),
    }


def _split(facts: DealFacts, told: Told) -> dict[str, Any]:
    """Return who pays the contract on the first day on which the shares make no whole, else when they begin."""
    deal, shares = facts.deal, facts.shares
    erp = facts.entity.erp_connection_key if facts.entity else None
    begins = deal.starts_on or date.min
    changes = {begins, *(each.starts_on for each in shares), *(each.ends_on for each in shares)}
    days = sorted(
        day
        for day in changes
        if day is not None and begins <= day and (deal.ends_on is None or day <= deal.ends_on)
    )
    found = [_paid_by([each for each in shares if each.holds_on(day)]) for day in days]
    told_days = [one for one in found if one["split_count"]]
    unclear = (one for one in told_days if not _is_whole(one))
    # The deal's own client comes into the ERP with the plan, and who else pays as far as the CRM knows them.
    own = {facts.client.client_id} if facts.client else set()
    own |= {payer.client_id for payer in facts.payers}
    return {
        **next(unclear, told_days[0] if told_days else _paid_by(())),
        "split_unlinked_count": sum(
            (erp, client_id) not in told.linked_clients
            for client_id in {each.client_id for each in shares} - own
        ),
    }


def _paid_by(shares: Sequence[ToldShare]) -> dict[str, Any]:
    return {
        "split_count": len({each.client_id for each in shares}),
        "split_percent": sum((each.percent for each in shares), Decimal(0)),
        "split_rounding_count": len({each.client_id for each in shares if each.takes_rounding}),
    }


def _is_whole(paid: Mapping[str, Any]) -> bool:
    return bool(paid["split_percent"] == _WHOLE and paid["split_rounding_count"] == 1)


def _line(
    facts: DealFacts, line: OpportunityLine, starts: Counter[tuple[str, str, date]]
) -> dict[str, Any]:
    deal = facts.deal
    begins = line.rate_starts_on or deal.starts_on
    product = None
    if line.hours is not None and line.rate_amount is not None:
        product = (line.hours * line.rate_amount).quantize(_CENT)
    is_complete = bool(
        line.task_name and line.labor_category and begins and line.rate_amount is not None
    )
    return {
        "task_name": line.task_name,
        "task_name_length": len(line.task_name or ""),
        "labor_category": line.labor_category,
        "hours": line.hours,
        "rate_amount": line.rate_amount,
        "markup_percent": line.markup_percent,
        "billing_method": deal.billing_method,
        "entity_code": deal.entity_code,
        "amount": line.amount,
        "is_product_exact": None
        if product is None or line.amount is None
        else product == line.amount.quantize(_CENT),
        "is_complete": is_complete,
        "rate_starts_on": begins,
        "same_start_count": starts[line.task_name or "", line.labor_category or "", begins]
        if begins
        else 0,
        "deal_starts_on": deal.starts_on,
        "deal_ends_on": deal.ends_on,
        "task_sold_hours": _sum(
            [each.hours for each in deal.lines if each.task_name == line.task_name]
        ),
        "task_budget_hours": _budget_hours(facts, line.task_name) if line.task_name else None,
    }


def _person(facts: DealFacts, one: Staffed, told: Told) -> dict[str, Any]:
    entity = facts.entity
    employed = told.employments.get(one.person_id, ()) if one.person_id else ()
    project_id = told.projects.get(facts.key)
    required = told.required.get(project_id) if project_id else None
    held = told.held.get(one.person_id, frozenset()) if one.person_id else frozenset()
    return {
        "is_person_known": one.person_id is not None,
        "is_erp_connected": bool(entity and entity.erp_connection_key),
        "is_entity_known": entity is not None,
        "entity_code": entity.entity_code if entity else None,
        "home_entity_code": one.home_entity_code,
        "has_record_here": one.has_record_here,
        "has_record_at_home": one.home_record_ref is not None,
        "is_agreed": one.is_agreed,
        "is_time_user": one.is_time_user,
        "labor_category": one.labor_category,
        "is_category_sold": one.labor_category in {line.labor_category for line in facts.lines},
        "starts_on": one.starts_on,
        "ends_on": one.ends_on,
        "deal_starts_on": facts.deal.starts_on,
        "deal_ends_on": facts.deal.ends_on,
        "billing_method": facts.deal.billing_method,
        "has_cost_rate": any(row["cost_rate"] is not None for row in employed),
        "is_employment_told": bool(employed),
        "is_employed": _covers(employed, one.starts_on, one.ends_on),
        "is_away": one.ends_on is not None
        and one.person_id is not None
        and _covers(told.away.get(one.person_id, ()), one.starts_on, one.ends_on),
        "capacity_percent": one.planned_percent,
        "clearance_missing": None if required is None else ", ".join(sorted(required - held)),
        "is_approver_told": one.is_approver_told,
        "has_approver": one.has_approver,
    }


def _covers(rows: Sequence[Row], starts_on: date | None, ends_on: date | None) -> bool:
    """Say whether periods, put together, leave out no day of [starts_on, ends_on)."""
    if starts_on is None:
        return False
    reached = starts_on
    for row in sorted(rows, key=lambda each: each["starts_on"]):
        if row["starts_on"] > reached:
            break
        if row["ends_on"] is None:
            return True
        reached = max(reached, row["ends_on"])
    return ends_on is not None and reached >= ends_on


# -- what is loaded --------------------------------------------------------------------------------


def _valid(connection: Connection[Row], table: str, today: date | None) -> list[Row]:
    # The names are ours: tables of reference data all have these columns.
    return connection.execute(
        f"SELECT * FROM {table} WHERE superseded_at IS NULL AND (%(today)s::date IS NULL"
        " OR starts_on <= %(today)s AND (ends_on IS NULL OR %(today)s < ends_on))",
        {"today": today},
    ).fetchall()


def _is_told(connection: Connection[Row], table: str) -> bool:
    return connection.execute(f"SELECT 1 AS one FROM {table} LIMIT 1").fetchone() is not None


def _by(rows: Sequence[Row], name: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


def _names(rows: Sequence[Row], name: str) -> dict[UUID, frozenset[str]]:
    return {
        key: frozenset(row["clearance"] for row in theirs)
        for key, theirs in _by(rows, name).items()
    }


def _parents(connection: Connection[Row]) -> dict[UUID, UUID]:
    rows = connection.execute(
        "SELECT client_id, parent_client_id FROM client_version"
        " WHERE superseded_at IS NULL AND parent_client_id IS NOT NULL"
    ).fetchall()
    return {row["client_id"]: row["parent_client_id"] for row in rows}


def _holders(
    connection: Connection[Row], deals: Sequence[DealFacts]
) -> dict[str, list[tuple[str, str, bool]]]:
    """Return by code the projects that targets have under a code of these deals, and whether they are active."""
    codes = {facts.deal.project_code for facts in deals if facts.deal.project_code}
    rows = connection.execute(
        """
        SELECT s.connection_key, s.source_ref, s.data ->> 'code' AS code,
               (s.data ->> 'is_active')::boolean AS is_active
        FROM source_version s
        JOIN connection c ON c.connection_key = s.connection_key AND c.source_epoch = s.source_epoch
        WHERE s.noun = 'WorkItem' AND s.is_newest AND NOT s.is_deleted AND c.kind IN ('erp', 'time')
          AND s.data ->> 'kind' = 'project' AND s.data ->> 'code' = ANY (%s)
        ORDER BY s.connection_key, s.source_ref
        """,
        (sorted(codes),),
    ).fetchall()
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for row in rows:
        record = (row["connection_key"], row["source_ref"], row["is_active"])
        found.setdefault(row["code"], []).append(record)
    return found


def _asked_clients(deals: Sequence[DealFacts], parents: Mapping[UUID, UUID]) -> set[UUID]:
    """Return the clients of whom it is asked whether an ERP has them: those of deals, above them, and who pays."""
    asked = {facts.client.client_id for facts in deals if facts.client is not None}
    asked |= {share.client_id for facts in deals for share in facts.shares}
    return asked | {parents[client_id] for client_id in asked & parents.keys()}


def _own_records(
    connection: Connection[Row], holders: Mapping[str, Sequence[tuple[str, str, bool]]]
) -> frozenset[tuple[str, str]]:
    """Return which of these projects are linked to ours, or were left standing by a plan."""
    records = [(key, ref) for held in holders.values() for key, ref, _ in held]
    if not records:
        return frozenset()
    linked = {
        (found.connection_key, found.source_ref)
        for found in links_from(connection, noun="project", records=records)
    }
    written = {
        (row["target_connection"], row["target_code"])
        for row in connection.execute(
            "SELECT target_connection, target_code FROM effect"
            " WHERE noun = 'project' AND kind = 'write' AND target_code = ANY (%s)",
            ([ref for _, ref in records],),
        ).fetchall()
    }
    return frozenset(linked | written)


def _askers(connection: Connection[Row], deals: Sequence[DealFacts]) -> dict[str, list[str]]:
    """Return by code the won deals that ask for it: the one that is ready in front, then the one that was won first."""
    asking: dict[str, list[DealFacts]] = {}
    for facts in deals:
        if facts.is_won and facts.deal.project_code:
            asking.setdefault(facts.deal.project_code, []).append(facts)
    several = {code: asked for code, asked in asking.items() if len(asked) > 1}
    rows = connection.execute(
        "SELECT deal_key FROM provisioning_plan WHERE state = 'ready' AND deal_key = ANY (%s)",
        ([facts.key for asked in several.values() for facts in asked],),
    ).fetchall()
    ready = {row["deal_key"] for row in rows}

    def place(facts: DealFacts) -> tuple[bool, date, str]:
        return facts.key not in ready, facts.deal.closed_on or date.max, facts.key

    return {
        code: [facts.key for facts in sorted(asked, key=place)] for code, asked in several.items()
    }


def _asked_before(facts: DealFacts, told: Told) -> str:
    """Return who goes before a deal for its code, of those whose projects are not begun: what stands has it."""
    asking = told.askers.get(facts.deal.project_code or "", ())
    if facts.key in told.projects:
        return ""
    place = asking.index(facts.key) if facts.key in asking else len(asking)
    return ", ".join(key for key in asking[:place] if key not in told.projects)


def _twins(deals: Sequence[DealFacts]) -> dict[str, list[str]]:
    """Return of each deal the others of its client with the same name, amount and first day."""
    same: dict[Any, list[DealFacts]] = {}
    for facts in deals:
        deal = facts.deal
        if facts.client is not None and facts.is_won:
            what = (facts.client.client_id, deal.name, deal.amount, deal.starts_on)
            same.setdefault(what, []).append(facts)
    return {
        one.key: [other.key for other in group if other.deal_key != one.deal_key]
        for group in same.values()
        if len(group) > 1
        for one in group
    }
