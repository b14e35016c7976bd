"""Everything a provisioning check may look at, loaded once for all deals."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import BILLED_BY_SCHEDULE, COST_PLUS, Opportunity, Person, StaffingFact
from tieline.register import (
    BILLING_CODE,
    COST_CENTER,
    CURRENCY,
    HOUR,
    ITEM,
    LABOR_CATEGORY,
    PRACTICE,
    STAGE,
    TAX_TREATMENT,
    UNIT,
    Code,
    Link,
    Source,
    all_links,
    as_opportunity,
    as_person,
    as_staffing_fact,
    email_key,
    links_from,
    newest,
)
from tieline.runtime.database import Row
from tieline.services.client_sync import Unclear, find_unclear
from tieline.services.deal_codes import CodedDeal, ErpNames, Outgoing, erp_names, in_our_codes
from tieline.services.deal_groups import (
    AS_ONE,
    GROUPED_BY,
    LINE_PRODUCT,
    Group,
    groups_of,
    part_of_deal,
)
from tieline.services.novation import Novation, from_day, read_novation
from tieline.services.project_template import (
    Template,
    Templates,
    load_templates,
    read_template,
)

ACT = "act"
# A record of a system: the key of its connection, and what it is called there.
Record = tuple[str, str]
_FOREVER = date.max
# What an ERP is told in a field that its connection names.
_IN_A_FIELD = (COST_CENTER, PRACTICE)
# What a staffing file may call the share of their time that somebody is planned for.
_SHARE = "percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityFacts:
    """A legal entity and the ERP that keeps its books."""

    entity_code: str
    currency: str
    erp_connection_key: str | None
    erp_mode: str | None
    labor_categories: Mapping[str, str]
    takes: frozenset[str]

    def takes_code(self, kind: str) -> bool:
        """Say whether its ERP's connection names a field for a kind of code."""
        return kind in self.takes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFacts:
    """The golden client of a deal as it stands."""

    client_id: UUID
    vat_number: str | None
    street: str | None
    postal_code: str | None
    city: str | None
    country_code: str | None
    is_active: bool
    merged_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Staffed:
    """Somebody whom the staffing file puts on the deal's project."""

    person_id: UUID | None
    part: str
    labor_category: str | None
    starts_on: date | None
    ends_on: date | None
    home_entity_code: str | None
    employee_code: str | None
    has_record_here: bool
    home_record_ref: str | None
    is_agreed: bool
    is_time_user: bool
    planned_percent: int | None
    is_approver_told: bool
    has_approver: bool
    # None where the staffing does not say.
    manages_project: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldShare:
    """What one client pays of a contract that is split, from a day to a day."""

    client_id: UUID
    percent: Decimal
    takes_rounding: bool
    starts_on: date
    ends_on: date | None

    def holds_on(self, day: date) -> bool:
        """Say whether the client pays it on a day."""
        return self.starts_on <= day and (self.ends_on is None or day < self.ends_on)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """A client who pays a share, stands in no ERP yet and is known to the CRM: the plan makes it there."""

    client_id: UUID
    client_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedLine:
    """One sold role on one task for as long as its rate holds."""

    line_ref: str
    task_name: str
    labor_category: str
    product: str | None
    hours: Decimal
    rate_amount: Decimal
    markup_percent: Decimal | None
    starts_on: date
    ends_on: date | None

    @property
    def part(self) -> str:
        return f"{self.task_name}|{self.labor_category}|{self.starts_on.isoformat()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DealFacts:
    """One project of a deal in our codes and everything around it, as known at one instant.

    ``told`` is all of it, ``deal`` what its present client has of it: they differ after a novation.
    ``unknown_codes`` are its CRM's without a meaning, ``names`` what its ERP calls what goes out.
    """

    source: Source
    group: Group
    told: Opportunity
    deal: Opportunity
    unknown_codes: tuple[str, ...]
    names: ErpNames
    today: date
    owner: Person | None
    client: ClientFacts | None
    client_trouble: str | None
    entity: EntityFacts | None
    time_connections: tuple[tuple[str, str], ...]
    period_state: str | None
    is_code_taken: bool
    is_provisioned_elsewhere: bool
    staff: tuple[Staffed, ...]
    shares: tuple[ToldShare, ...]
    payers: tuple[Payer, ...]
    lines: tuple[PricedLine, ...]
    template: Template | None
    novation: Novation | None

    @property
    def key(self) -> str:
        """Return what everybody calls it: connection:deal, or connection:deal:group of several projects."""
        return f"{self.deal_key}:{self.group.name}" if self.group.name else self.deal_key

    @property
    def deal_key(self) -> str:
        """Return what the whole deal is called."""
        return f"{self.source.connection_key}:{self.source.source_ref}"

    @property
    def is_won(self) -> bool:
        """Say whether it is won and still there."""
        return self.deal.is_won and not self.source.is_deleted

    @property
    def unknown_stage(self) -> str | None:
        """Return its stage where nobody gave it a meaning and the deal is still there."""
        is_unknown = f"{STAGE} {self.deal.stage}" in self.unknown_codes
        return self.deal.stage if is_unknown and not self.source.is_deleted else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surroundings:
    """What all deals share."""

    owners: Mapping[Record, Person]
    client_of: Mapping[Record, UUID]
    clients: Mapping[UUID, ClientFacts]
    unclear: Unclear
    entities: Mapping[str, EntityFacts]
    time_connections: tuple[tuple[str, str], ...]
    periods: Sequence[Row]
    codes: Mapping[str, UUID]
    contract_codes: Mapping[str, UUID]
    plans: Mapping[Record, Sequence[Row]]
    templates: Templates
    shares: Mapping[str, tuple[ToldShare, ...]]
    staff: Mapping[str, Sequence[StaffingFact]]
    people: Mapping[str, UUID]
    homes: Mapping[UUID, tuple[str, str]]
    links: Mapping[tuple[str, str, UUID, str], str]
    agreements: Mapping[tuple[str, str], Sequence[Row]]
    assignments: Mapping[str, Sequence[StaffingFact]]
    is_approver_told: bool


def load_deals(
    connection: Connection[Row], *, now: datetime, only: Collection[Record] | None = None
) -> list[DealFacts]:
    """Return the facts of every deal that any CRM told us of, each project of one apart.

    ``only`` leaves out all but some deals and what is compared with them: those of the same code or client.
    """
    sources = (
        newest(connection, noun=Opportunity, kinds=("crm",))
        if only is None
        else _with_their_like(connection, only)
    )
    told = [(source.connection_key, as_opportunity(source)) for source in sources]
    plans = _plans(connection, None if only is None else {each.source_ref for each in sources})
    grouped_by = _grouped_by(connection)
    parts = [
        (source, coded, group)
        for source, coded in zip(
            sources, in_our_codes(connection, told=told, on=now.date()), strict=True
        )
        for group in _groups(source, coded.deal, plans, grouped_by)
    ]
    near = None if only is None else _near(parts)
    around = _load_surroundings(connection, now, plans, near)
    found = [_facts(source, coded, group, around, now) for source, coded, group in parts]
    return _as_erps_call_them(connection, found)


def _with_their_like(connection: Connection[Row], only: Collection[Record]) -> list[Source]:
    """Return these deals, and those of the same code or client."""
    asked = {"source_ref": {ref for _, ref in only}}
    own = [
        source
        for source in newest(connection, noun=Opportunity, kinds=("crm",), asked=asked)
        if (source.connection_key, source.source_ref) in only
    ]
    companies = {(each.connection_key, each.data["client_ref"] or "") for each in own}
    clients = {link.our_id for link in links_from(connection, noun="client", records=companies)}
    refs = {ref for _, ref in companies}
    refs |= {link.source_ref for link in all_links(connection, nouns=("client",), of=clients)}
    codes = {each.data["project_code"] for each in own}
    return newest(
        connection,
        noun=Opportunity,
        kinds=("crm",),
        asked={**asked, "client_ref": refs - {""}, "project_code": codes - {None}},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Near:
    """What some deals are about, where not all are loaded: the codes of their projects, and their companies."""

    codes: frozenset[str]
    companies: frozenset[Record]


def _near(parts: Iterable[tuple[Source, CodedDeal, Group]]) -> _Near:
    told = [
        (source.connection_key, part_of_deal(coded.deal, by=group.by, name=group.name))
        for source, coded, group in parts
    ]
    return _Near(
        codes=frozenset(deal.project_code for _, deal in told if deal.project_code),
        companies=frozenset((key, deal.client_ref or "") for key, deal in told),
    )


def priced_lines(deal: Opportunity) -> tuple[PricedLine, ...]:
    """Cut the lines of a task and category where the next rate begins; incomplete ones are left out."""
    complete = [
        (line.task_name, line.labor_category, line.rate_starts_on or deal.starts_on, line)
        for line in deal.lines
        if line.task_name and line.labor_category and line.rate_amount is not None
        and (line.rate_starts_on or deal.starts_on) is not None
    ]  # fmt: skip
    found = []
    for task, category, starts_on, line in complete:
        assert starts_on is not None
        later = [
            other for name, role, other, _ in complete
            if (name, role) == (task, category) and other is not None and other > starts_on
        ]  # fmt: skip
        found.append(
            PricedLine(
                line_ref=line.line_ref,
                task_name=task,
                labor_category=category,
                product=line.extras.get(LINE_PRODUCT) or None,
                hours=line.hours or Decimal(0),
                rate_amount=line.rate_amount or Decimal(0),
                markup_percent=line.markup_percent if deal.billing_method == COST_PLUS else None,
                starts_on=starts_on,
                ends_on=min(later, default=deal.ends_on),
            )
        )
    return tuple(
        sorted(found, key=lambda line: (line.task_name, line.labor_category, line.starts_on))
    )


def _load_surroundings(
    connection: Connection[Row],
    now: datetime,
    plans: Mapping[Record, Sequence[Row]],
    near: _Near | None,
) -> _Surroundings:
    codes = None if near is None else sorted(near.codes)
    staff, assignments = _staffing(connection, near)
    people = _people_by_email(connection, None if near is None else list(assignments))
    shares = _shares(connection, codes)
    links = _links(connection, near, people=people.values(), shares=shares)
    client_of = {
        (found.connection_key, found.source_ref): found.our_id
        for found in links
        if found.noun == "client"
    }
    return _Surroundings(
        owners={
            (source.connection_key, source.source_ref): as_person(source)
            for source in newest(connection, noun=Person, kinds=("crm",))
            if not source.is_deleted
        },
        client_of=client_of,
        clients=_clients(connection, None if near is None else list(client_of.values())),
        unclear=find_unclear(connection, companies=None if near is None else near.companies),
        entities=_entities(connection),
        time_connections=tuple(
            (row["connection_key"], row["mode"])
            for row in connection.execute(
                # Hours that come as files bring no tool in which a project could be made.
                "SELECT connection_key, mode FROM connection WHERE kind = 'time' AND NOT paused"
                " AND NOT jsonb_exists(config, 'files') ORDER BY 1"
            ).fetchall()
        ),
        periods=connection.execute(
            "SELECT entity_code, starts_on, ends_on, state FROM fiscal_period"
        ).fetchall(),
        codes={
            row["project_code"]: row["project_id"]
            for row in connection.execute(
                "SELECT project_code, project_id FROM project"
                " WHERE %(codes)s::text[] IS NULL OR project_code = ANY (%(codes)s)",
                {"codes": codes},
            ).fetchall()
        },
        contract_codes={
            row["contract_code"]: row["contract_id"]
            for row in connection.execute(
                "SELECT contract_code, contract_id FROM contract"
                " WHERE %(codes)s::text[] IS NULL OR contract_code = ANY (%(codes)s)",
                {"codes": codes},
            ).fetchall()
        },
        plans=plans,
        templates=load_templates(connection, on=now.date()),
        shares=shares,
        staff=staff,
        people=people,
        homes=_homes(connection),
        links={
            (found.connection_key, found.noun, found.our_id, found.scope): found.source_ref
            for found in links
        },
        agreements=_agreements(connection),
        assignments=assignments,
        is_approver_told=_is_approver_told(connection, staff, near),
    )


def _staffing(
    connection: Connection[Row], near: _Near | None
) -> tuple[dict[str, list[StaffingFact]], dict[str, list[StaffingFact]]]:
    """Return who is assigned, by project code and by person: on these projects, and elsewhere."""

    def assigned(asked: Mapping[str, Collection[str]] | None) -> list[StaffingFact]:
        told = newest(connection, noun=StaffingFact, kinds=("hr",), asked=asked)
        facts = [as_staffing_fact(source) for source in told if not source.is_deleted]
        return [each for each in facts if each.fact == "assignment" and each.project_code]

    here = assigned(None if near is None else {"project_code": near.codes})
    emails = {email_key(each.person_email) or "" for each in here}
    anywhere = here if near is None else assigned({"person_email": emails})
    staff: dict[str, list[StaffingFact]] = {}
    assignments: dict[str, list[StaffingFact]] = {}
    for fact in here:
        staff.setdefault(fact.project_code or "", []).append(fact)
    for fact in anywhere:
        assignments.setdefault(email_key(fact.person_email) or "", []).append(fact)
    return staff, assignments


def _links(
    connection: Connection[Row],
    near: _Near | None,
    *,
    people: Iterable[UUID],
    shares: Mapping[str, Sequence[ToldShare]],
) -> list[Link]:
    """Return the links of clients and people; where not all deals are loaded, of theirs."""
    nouns = ("client", "person", "employee")
    if near is None:
        return all_links(connection, nouns=nouns)
    clients = links_from(connection, noun="client", records=near.companies)
    ours = {link.our_id for link in clients}.union(people)
    ours |= {share.client_id for told in shares.values() for share in told}
    return all_links(connection, nouns=nouns, of=ours)


def _is_approver_told(
    connection: Connection[Row], staff: Mapping[str, Sequence[StaffingFact]], near: _Near | None
) -> bool:
    """Say whether any staffing names who approves: where none does, nobody is missing there."""
    if any(fact.approver_email for facts in staff.values() for fact in facts):
        return True
    return near is not None and (
        connection.execute(
            """
            SELECT 1 FROM source_version s
            JOIN connection c ON c.connection_key = s.connection_key AND c.source_epoch = s.source_epoch
            WHERE s.noun = 'StaffingFact' AND s.is_newest AND NOT s.is_deleted AND c.kind = 'hr'
              AND s.data ->> 'fact' = 'assignment' AND s.data ->> 'project_code' <> ''
              AND s.data ->> 'approver_email' <> '' LIMIT 1
            """
        ).fetchone()
        is not None
    )


def _shares(
    connection: Connection[Row], codes: Sequence[str] | None
) -> dict[str, tuple[ToldShare, ...]]:
    """Return what was told of the shares of contracts, each client under its present id."""
    found: dict[str, tuple[ToldShare, ...]] = {}
    for row in connection.execute(
        "SELECT b.contract_code, coalesce(c.redirect_to, c.client_id) AS client_id, b.percent,"
        " b.takes_rounding, b.starts_on, b.ends_on FROM billing_split b JOIN client c USING (client_id)"
        " WHERE b.superseded_at IS NULL AND (%(codes)s::text[] IS NULL OR b.contract_code = ANY (%(codes)s))"
        " ORDER BY b.contract_code, b.starts_on, 2",
        {"codes": codes},
    ).fetchall():
        code = row.pop("contract_code")
        found[code] = (*found.get(code, ()), ToldShare(**row))
    return found


def _as_erps_call_them(connection: Connection[Row], deals: Sequence[DealFacts]) -> list[DealFacts]:
    """Return deals with what the ERP of each calls what goes out with them."""
    asked = [
        Outgoing(
            codes=tuple(_outgoing(facts)),
            otherwise=facts.entity.labor_categories if facts.entity else {},
        )
        for facts in deals
    ]
    names = erp_names(connection, asked=asked)
    return [replace(facts, names=found) for facts, found in zip(deals, names, strict=True)]


def _outgoing(facts: DealFacts) -> Iterator[tuple[str, Code]]:
    """Yield the codes of ours that the ERP of a deal is told, from the day on which each begins to hold."""
    entity, deal = facts.entity, facts.deal
    if entity is None or entity.erp_connection_key is None:
        return
    of_whole = {
        **{kind: getattr(deal, kind) for kind in _IN_A_FIELD if entity.takes_code(kind)},
        CURRENCY: deal.currency,
        TAX_TREATMENT: deal.tax_treatment,
        UNIT: ITEM if deal.billing_method in BILLED_BY_SCHEDULE else HOUR,
    }
    told = [("", kind, code, deal.starts_on) for kind, code in of_whole.items()]
    told += [
        (line.part, LABOR_CATEGORY, line.labor_category, line.starts_on) for line in facts.lines
    ]
    told += [(line.part, BILLING_CODE, line.product, line.starts_on) for line in facts.lines]
    for part, kind, code, on in told:
        if code and on is not None:
            yield (
                part,
                Code(
                    connection_key=entity.erp_connection_key,
                    kind=kind,
                    entity_code=entity.entity_code,
                    code=code,
                    on=on,
                ),
            )


def _groups(
    source: Source,
    deal: Opportunity,
    plans: Mapping[Record, Sequence[Row]],
    grouped_by: Mapping[str, str],
) -> tuple[Group, ...]:
    made = [
        (plan["project_group"], plan["grouping"])
        for plan in plans.get((source.connection_key, source.source_ref), ())
        if plan["project_id"] is not None and plan["source_epoch"] == source.identity.source_epoch
    ]
    by = grouped_by.get(deal.entity_code or "", grouped_by.get("", AS_ONE))
    return groups_of(deal, by=by, made=made)


def _facts(
    source: Source, coded: CodedDeal, group: Group, around: _Surroundings, now: datetime
) -> DealFacts:
    own = (source.identity.connection_key, source.identity.source_epoch, source.source_ref)
    made = _made(around, own, group)
    novation = read_novation(made["novation"]) if made else None
    told = part_of_deal(coded.deal, by=group.by, name=group.name)
    deal = from_day(told, novation)
    company = (source.connection_key, deal.client_ref or "")
    client_id = around.client_of.get(company)
    entity = around.entities.get(deal.entity_code or "")
    shares = around.shares.get(deal.project_code or "", ())
    # A project keeps the template that it was made by.
    template = read_template(made["template"]) if made else around.templates.chosen(deal)
    unnamed = () if template is None or template.tasks else (f"template {template.code}",)
    return DealFacts(
        source=source,
        group=group,
        told=told,
        deal=deal,
        unknown_codes=(*coded.unknown, *unnamed),
        names=ErpNames(),
        today=now.date(),
        owner=around.owners.get((source.connection_key, deal.owner_ref or "")),
        client=None if client_id is None else around.clients.get(client_id),
        client_trouble=_client_trouble(around.unclear, company, client_id),
        entity=entity,
        time_connections=around.time_connections,
        period_state=_period_state(around.periods, deal),
        is_code_taken=_is_code_taken(around, deal, made),
        is_provisioned_elsewhere=any(
            plan["source_epoch"] != own[1] and plan["state"] in ("running", "active")
            for plan in around.plans.get((own[0], own[2]), ())
        ),
        staff=_staffed(around, deal, entity),
        shares=shares,
        payers=_payers(around, shares, crm=source.connection_key, own=client_id, entity=entity),
        lines=priced_lines(deal),
        template=template,
        novation=novation,
    )


def _payers(
    around: _Surroundings,
    shares: Sequence[ToldShare],
    *,
    crm: str,
    own: UUID | None,
    entity: EntityFacts | None,
) -> tuple[Payer, ...]:
    """Return the clients of shares that the plan makes in the ERP, as it makes the contract's own."""
    erp = None if entity is None else entity.erp_connection_key
    if erp is None:
        return ()
    missing = {
        share.client_id
        for share in shares
        if share.client_id != own and (erp, "client", share.client_id, "") not in around.links
    }
    if not missing:
        return ()
    known: dict[UUID, str] = {}
    for (key, ref), our_id in around.client_of.items():
        if key == crm and our_id in missing:
            known[our_id] = min(ref, known.get(our_id, ref))
    return tuple(
        Payer(client_id=client_id, client_ref=known[client_id])
        for client_id in sorted(known, key=str)
    )


def _made(around: _Surroundings, own: tuple[str, int, str], group: Group) -> Row | None:
    """Return the plan of a project that was begun."""
    for plan in around.plans.get((own[0], own[2]), ()):
        is_own = (plan["source_epoch"], plan["project_group"]) == (own[1], group.name)
        if is_own and plan["project_id"] is not None:
            return plan
    return None


def _client_trouble(
    unclear: Unclear, company: tuple[str, str], client_id: UUID | None
) -> str | None:
    if company in unclear.reasons:
        return unclear.reasons[company]
    return "client.same_client_unclear" if client_id in unclear.client_ids else None


def _is_code_taken(around: _Surroundings, deal: Opportunity, made: Row | None) -> bool:
    """Say whether a project or contract of ours has the code that is not the deal's own, or its former one."""
    holders = {around.codes.get(deal.project_code or "")}
    holders.add(around.contract_codes.get(deal.project_code or ""))
    mine = {made["project_id"], made["contract_id"], *made["before_ids"]} if made else set()
    return bool(holders - mine - {None})


def _period_state(periods: Sequence[Row], deal: Opportunity) -> str | None:
    for period in periods:
        if (
            period["entity_code"] == deal.entity_code
            and deal.starts_on is not None
            and period["starts_on"] <= deal.starts_on < period["ends_on"]
        ):
            return str(period["state"])
    return None


def _staffed(
    around: _Surroundings, deal: Opportunity, entity: EntityFacts | None
) -> tuple[Staffed, ...]:
    facts = around.staff.get(deal.project_code or "", ())
    return tuple(_one_staffed(around, fact, entity) for fact in facts)


def _one_staffed(around: _Surroundings, fact: StaffingFact, entity: EntityFacts | None) -> Staffed:
    address = email_key(fact.person_email) or ""
    person_id = around.people.get(address)
    home, code = around.homes.get(person_id, (None, None)) if person_id else (None, None)
    erp = entity.erp_connection_key if entity else None
    here = entity.entity_code if entity else ""
    time_key = around.time_connections[0][0] if len(around.time_connections) == 1 else ""
    return Staffed(
        person_id=person_id,
        part=code or hashlib.sha256(address.encode()).hexdigest()[:16],
        labor_category=fact.labor_category,
        starts_on=fact.starts_on,
        ends_on=fact.ends_on,
        home_entity_code=home,
        employee_code=code,
        has_record_here=_has(around, erp, "employee", person_id, here),
        home_record_ref=None
        if person_id is None or erp is None
        else around.links.get((erp, "employee", person_id, home or "")),
        is_agreed=_is_agreed(around.agreements, home, here, fact),
        is_time_user=_has(around, time_key, "person", person_id, ""),
        planned_percent=_planned_percent(around, fact),
        is_approver_told=around.is_approver_told,
        has_approver=fact.approver_email is not None,
        manages_project=fact.manages_project,
    )


def _planned_percent(around: _Surroundings, fact: StaffingFact) -> int | None:
    """Return what the person's shares sum to where the assignment's days meet others; None without any."""
    starts_on, ends_on = fact.starts_on or date.min, fact.ends_on or _FOREVER
    shares = [
        other.extras.get(_SHARE, "")
        for other in around.assignments.get(email_key(fact.person_email) or "", ())
        if (other.starts_on or date.min) < ends_on and starts_on < (other.ends_on or _FOREVER)
    ]
    told = [int(share) for share in shares if share.isdigit()]
    return sum(told) if told else None


def _has(
    around: _Surroundings, key: str | None, noun: str, person_id: UUID | None, scope: str
) -> bool:
    return (
        key is not None and person_id is not None and (key, noun, person_id, scope) in around.links
    )


def _is_agreed(
    agreements: Mapping[tuple[str, str], Sequence[Row]],
    home: str | None,
    here: str,
    fact: StaffingFact,
) -> bool:
    return any(
        fact.starts_on is not None
        and row["starts_on"] <= fact.starts_on
        and (fact.ends_on or _FOREVER) <= (row["ends_on"] or _FOREVER)
        for row in agreements.get((home or "", here), ())
    )


def _agreements(connection: Connection[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return what one legal entity agreed to lend another, by both."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in connection.execute(
        "SELECT home_entity_code, project_entity_code, starts_on, ends_on"
        " FROM intercompany_agreement WHERE superseded_at IS NULL"
    ).fetchall():
        found.setdefault((row["home_entity_code"], row["project_entity_code"]), []).append(row)
    return found


def _clients(
    connection: Connection[Row], client_ids: Collection[UUID] | None
) -> dict[UUID, ClientFacts]:
    rows = connection.execute(
        """
        SELECT client_id, vat_number, street, postal_code, city, country_code, is_active,
               coalesce(m.merged_ids, '{}') AS merged_ids
        FROM client_version
        LEFT JOIN (SELECT redirect_to AS client_id, array_agg(client_id::text) AS merged_ids
                   FROM client WHERE redirect_to IS NOT NULL GROUP BY redirect_to) m USING (client_id)
        WHERE superseded_at IS NULL AND (%(ids)s::uuid[] IS NULL OR client_id = ANY (%(ids)s))
        """,
        {"ids": None if client_ids is None else list(client_ids)},
    ).fetchall()
    return {
        row["client_id"]: ClientFacts(**{**row, "merged_ids": tuple(row["merged_ids"])})
        for row in rows
    }


def _plans(connection: Connection[Row], refs: Collection[str] | None) -> dict[Record, list[Row]]:
    rows = connection.execute(
        "SELECT connection_key, source_epoch, deal_ref, project_group, project_id, contract_id, state,"
        " plan -> 'grouping' AS grouping, plan -> 'template' AS template,"
        " plan -> 'novation' AS novation,"
        " ARRAY(SELECT unnest(ARRAY[n.project_id, j.contract_id]) FROM novation n"
        " JOIN project j USING (project_id) WHERE n.plan_id = p.plan_id) AS before_ids"
        " FROM provisioning_plan p WHERE %(refs)s::text[] IS NULL OR deal_ref = ANY (%(refs)s)",
        {"refs": None if refs is None else list(refs)},
    ).fetchall()
    found: dict[Record, list[Row]] = {}
    for row in rows:
        found.setdefault((row["connection_key"], row["deal_ref"]), []).append(row)
    return found


def _grouped_by(connection: Connection[Row]) -> dict[str, str]:
    """Return by legal entity, and by '' for a deal that names none, what lines are grouped by."""
    rows = connection.execute(
        """
        SELECT e.entity_code, policy_word(r.release_id, %s, e.entity_code, %s) AS word
        FROM release r, (SELECT entity_code FROM legal_entity UNION ALL SELECT '') e
        WHERE r.state = 'current'
        """,
        (GROUPED_BY, AS_ONE),
    ).fetchall()
    return {row["entity_code"]: row["word"] for row in rows}


def _entities(connection: Connection[Row]) -> dict[str, EntityFacts]:
    rows = connection.execute(
        """
        SELECT l.entity_code, l.currency, l.erp_connection_key, c.mode, c.config
        FROM legal_entity l LEFT JOIN connection c ON c.connection_key = l.erp_connection_key
        """
    ).fetchall()
    return {row["entity_code"]: _entity(row) for row in rows}


def _entity(row: Row) -> EntityFacts:
    config: Mapping[str, Any] = row["config"] or {}
    return EntityFacts(
        entity_code=row["entity_code"],
        currency=row["currency"],
        erp_connection_key=row["erp_connection_key"] if row["mode"] else None,
        erp_mode=row["mode"],
        labor_categories=config.get("labor_categories") or {},
        takes=frozenset(kind for kind in _IN_A_FIELD if config.get(f"{kind}_field")),
    )


def _people_by_email(
    connection: Connection[Row], emails: Collection[str] | None
) -> dict[str, UUID]:
    rows = connection.execute(
        """
        SELECT lower(s.email) AS email, min(p.person_id::text)::uuid AS person_id
        FROM subject s JOIN person p ON p.person_id = s.subject_id AND p.redirect_to IS NULL
        WHERE s.kind = 'person' AND s.email IS NOT NULL
          AND (%(emails)s::text[] IS NULL OR lower(s.email) = ANY (%(emails)s))
        GROUP BY 1 HAVING count(*) = 1
        """,
        {"emails": None if emails is None else list(emails)},
    ).fetchall()
    return {row["email"]: row["person_id"] for row in rows}


def _homes(connection: Connection[Row]) -> dict[UUID, tuple[str, str]]:
    rows = connection.execute(
        """
        SELECT person_id, entity_code, employee_code FROM employment
        WHERE is_home AND superseded_at IS NULL ORDER BY starts_on
        """
    ).fetchall()
    return {row["person_id"]: (row["entity_code"], row["employee_code"]) for row in rows}
