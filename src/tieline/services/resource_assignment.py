"""Everybody who delivers, in every system that knows them, with dated employment and assignments.

Pattern: scheduled after every read of people or staffing; set-wise, one transaction; no vendor
calls. People are matched by e-mail and employee code, never by name. HR tells employment, when people
work, assignments, leave and which companies lend people to each other; the ERP tells what an hour costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection, sql

from tieline.canonical import Opportunity, Person, StaffingFact
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.register import (
    AGREEMENT,
    ASSIGNMENT,
    COMPANY_HOLIDAY,
    EMPLOYMENT,
    EMPLOYMENT_SHARE,
    LEAVE,
    WORK_PATTERN,
    WORK_PERMISSION,
    WORK_PLACE,
    Link,
    LinkTaken,
    Roster,
    Source,
    VersionedTable,
    all_links,
    as_person,
    as_staffing_fact,
    close,
    create_person,
    email_key,
    link,
    load_roster,
    matches,
    newest,
    rename_person,
    upsert,
)
from tieline.runtime.database import Database, Row
from tieline.services.working_time import (
    COMPANY_HOLIDAY as COMPANY_HOLIDAY_FACT,
)
from tieline.services.working_time import (
    NOT_OF_A_PERSON,
    PATTERN,
    PERMISSIONS,
    PLACE,
    SHARE,
    Away,
    NotUnderstood,
    away_of,
    company_holiday_of,
    keep_holidays,
    leave_rows,
    pattern_of,
    pattern_of_week,
    permission_of,
    place_of,
    planned_of,
    share_of,
)

PERSON_AMBIGUOUS = "person.match_ambiguous"
PERSON_DUPLICATE = "person.duplicate_in_source"
PERSON_UNKNOWN = "person.unknown"
DATES_OVERLAP = "person.dates_overlap"
FACT_INCOMPLETE = "person.fact_incomplete"
PROJECT_UNKNOWN = "assignment.project_unknown"
PEOPLE_REASONS = (
    PERSON_AMBIGUOUS,
    PERSON_DUPLICATE,
    PERSON_UNKNOWN,
    DATES_OVERLAP,
    FACT_INCOMPLETE,
    PROJECT_UNKNOWN,
)
PEOPLE_SYNC_LOCK = 7_146_254_702
_QUEUE = "resource_management"
_ALWAYS = date(1900, 1, 1)
_FOREVER = date.max

Facts = Sequence[tuple[Source, StaffingFact]]
Entity = tuple[UUID, str]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleSyncResult:
    """What became of people; the cases are all that stand now."""

    people: int
    created: int
    linked: int
    changed: int
    cases: tuple[CaseRequest, ...]


@dataclass(slots=True, kw_only=True)
class _Run:
    """What one run knows and did."""

    connection: Connection[Row]
    now: datetime
    roster: Roster
    links: dict[tuple[str, str, str], UUID]
    # What stands is read once and compared here: it is asked for every two seconds, and rarely changes.
    stand: set[Link]
    tables: dict[tuple[str, ...], dict[tuple[Any, ...], list[Row]]] = field(default_factory=dict)
    created: int = 0
    linked: int = 0
    changed: int = 0
    cases: list[CaseRequest] = field(default_factory=list)

    def standing(self, table: VersionedTable, scope: Mapping[str, Any]) -> list[Row]:
        """Return what stood in a scope of a table when it was first asked for in this run."""
        place = (table.name, *scope)
        if place not in self.tables:
            rows = self.connection.execute(
                sql.SQL("SELECT * FROM {} WHERE superseded_at IS NULL").format(
                    sql.Identifier(table.name)
                )
            ).fetchall()
            groups: dict[tuple[Any, ...], list[Row]] = {}
            for row in rows:
                groups.setdefault(tuple(row[name] for name in scope), []).append(row)
            self.tables[place] = groups
        return self.tables[place].get(tuple(scope.values()), [])

    def complain(self, reason: str, *, kind: str, key: str, fix: str, entity: str | None) -> None:
        """Add a case; its words hold references and codes only."""
        self.cases.append(
            CaseRequest(
                reason=reason,
                owner_queue=_QUEUE,
                thing_kind=kind,
                thing_key=key,
                entity_code=entity,
                members=(CaseMember(kind=kind, key=key),),
                details={"fix": fix},
            )
        )


def sync_people(database: Database, *, now: datetime) -> PeopleSyncResult:
    """Bring people, employment, leave, agreements and assignments up to date."""
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (PEOPLE_SYNC_LOCK,))
        run = _open_run(connection, now)
        facts = [
            (source, as_staffing_fact(source))
            for source in newest(connection, noun=StaffingFact, kinds=("hr",))
        ]
        employees = newest(connection, noun=Person, kinds=("erp",))
        home = _identify_facts(run, facts)
        employers = _identify_employees(run, employees)
        _identify_users(run, newest(connection, noun=Person, kinds=("time",)))
        _identify_owners(run, newest(connection, noun=Person, kinds=("crm",)))
        _store_employment(run, facts, home, employers)
        _store_leave(run, facts, home)
        _store_working_time(run, facts, home)
        _store_company_holidays(run, facts)
        keep_holidays(connection, now=now)
        _store_agreements(run, facts, home)
        _store_assignments(run, facts, home)
        row = connection.execute(
            "SELECT count(*) AS people FROM person WHERE redirect_to IS NULL"
        ).fetchone()
        assert row is not None
    return PeopleSyncResult(
        people=row["people"],
        created=run.created,
        linked=run.linked,
        changed=run.changed,
        cases=tuple(run.cases),
    )


# -- who is who ------------------------------------------------------------------------------------


def _open_run(connection: Connection[Row], now: datetime) -> _Run:
    stand = set(all_links(connection, nouns=("person", "employee")))
    links = {(each.connection_key, each.noun, each.source_ref): each.our_id for each in stand}
    roster = load_roster(connection)
    return _Run(connection=connection, now=now, roster=roster, links=links, stand=stand)


def _identify_facts(run: _Run, facts: Facts) -> dict[str, UUID]:
    """Return people by e-mail; an employment says that somebody exists."""
    for source, fact in facts:
        if fact.fact == "employment" and not source.is_deleted:
            _find_or_create(
                run,
                key=_thing(source),
                name=fact.person_name,
                email=fact.person_email,
                entity_code=fact.entity_code,
                employee_code=fact.employee_code,
            )
    found: dict[str, UUID] = {}
    for source, fact in facts:
        if fact.fact in NOT_OF_A_PERSON:
            continue
        address = email_key(fact.person_email)
        people = run.roster.by_email.get(address or "", frozenset())
        if address is None or not people:
            if not source.is_deleted:
                run.complain(
                    PERSON_UNKNOWN, kind="staffing_fact", key=_thing(source), entity=None,
                    fix="Add the person's employment, or correct the e-mail.",
                )  # fmt: skip
        elif len(people) == 1:
            found[address] = next(iter(people))
        elif not source.is_deleted:
            run.complain(
                PERSON_AMBIGUOUS, kind="staffing_fact", key=_thing(source), entity=fact.entity_code,
                fix="Two people have this e-mail: give each their own.",
            )  # fmt: skip
    return found


def _identify_employees(run: _Run, employees: Iterable[Source]) -> dict[Entity, Person]:
    """Return the ERP's employee records by person and company."""
    found: dict[Entity, Person] = {}
    for source in employees:
        person = as_person(source)
        if source.is_deleted or person.entity_code is None:
            continue
        person_id = run.links.get((source.connection_key, "employee", source.source_ref))
        if person_id is None:
            person_id = _find_or_create(
                run,
                key=_thing(source),
                name=person.name,
                email=person.email,
                entity_code=person.entity_code,
                employee_code=person.employee_code,
            )
        if person_id is not None and _link(
            run, source, "employee", person_id, scope=person.entity_code
        ):
            found[(person_id, person.entity_code)] = person
    return found


def _identify_users(run: _Run, users: Iterable[Source]) -> None:
    for source in users:
        person = as_person(source)
        if source.is_deleted:
            continue
        person_id = run.links.get((source.connection_key, "person", source.source_ref))
        if person_id is None:
            person_id = _find_or_create(
                run,
                key=_thing(source),
                name=person.name,
                email=person.email,
                entity_code=None,
                employee_code=None,
            )
        if person_id is not None:
            _link(run, source, "person", person_id)


def _identify_owners(run: _Run, owners: Iterable[Source]) -> None:
    # Who owns a deal need not deliver: only those we know anyway are linked.
    for source in owners:
        people = run.roster.by_email.get(email_key(as_person(source).email) or "", frozenset())
        if not source.is_deleted and len(people) == 1:
            _link(run, source, "person", next(iter(people)))


def _find_or_create(
    run: _Run,
    *,
    key: str,
    name: str | None,
    email: str | None,
    entity_code: str | None,
    employee_code: str | None,
) -> UUID | None:
    found = matches(run.roster, email=email, entity_code=entity_code, employee_code=employee_code)
    if len(found) > 1:
        run.complain(
            PERSON_AMBIGUOUS, kind="person", key=key, entity=entity_code,
            fix="E-mail and employee code belong to different people: correct one of them.",
        )  # fmt: skip
        return None
    if found:
        person_id = next(iter(found))
        known, address = run.roster.written.get(person_id, ("", None))
        if name and (name, email_key(email) or address) != (known, address):
            rename_person(run.connection, person_id=person_id, name=name, email=email)
            run.roster.written[person_id] = (name, email_key(email) or address)
    elif not email and not employee_code:
        run.complain(
            PERSON_UNKNOWN, kind="person", key=key, entity=entity_code,
            fix="Give the person an e-mail or an employee code; a name alone links nobody.",
        )  # fmt: skip
        return None
    else:
        person_id = create_person(run.connection, name=name or "", email=email, now=run.now)
        run.created += 1
    _remember(run, person_id, email, entity_code, employee_code)
    return person_id


def _remember(
    run: _Run,
    person_id: UUID,
    email: str | None,
    entity_code: str | None,
    employee_code: str | None,
) -> None:
    by_email, by_code = run.roster.by_email, run.roster.by_code
    address = email_key(email)
    if address is not None:
        by_email[address] = by_email.get(address, frozenset()) | {person_id}
    if entity_code and employee_code:
        code = (entity_code, employee_code)
        by_code[code] = by_code.get(code, frozenset()) | {person_id}


def _link(run: _Run, source: Source, noun: str, person_id: UUID, *, scope: str = "") -> bool:
    wanted = Link(
        connection_key=source.connection_key,
        noun=noun,
        source_ref=source.source_ref,
        our_id=person_id,
        scope=scope,
    )
    if wanted in run.stand:
        return True
    done = link(run.connection, wanted=wanted, because="e-mail or employee code", now=run.now)
    if isinstance(done, LinkTaken):
        run.complain(
            PERSON_DUPLICATE, kind="person", key=_thing(source), entity=scope or None,
            fix=f"{source.connection_key} knows this person as {done.standing.source_ref} too: merge them.",
        )  # fmt: skip
        return False
    run.linked += done.is_new
    run.stand.add(wanted)
    return True


# -- dated facts -----------------------------------------------------------------------------------


def _store_employment(
    run: _Run, facts: Facts, home: Mapping[str, UUID], employers: Mapping[Entity, Person]
) -> None:
    wanted: dict[UUID, list[dict[str, Any]]] = {}
    told: set[Entity] = set()
    at_home: set[UUID] = set()
    for source, fact in facts:
        person_id = home.get(email_key(fact.person_email) or "")
        if person_id is None or fact.fact not in ("employment", "intercompany"):
            continue
        wanted.setdefault(person_id, [])
        if source.is_deleted:
            continue
        row = _employment_of_fact(fact)
        if row is None:
            _incomplete(run, source)
            continue
        told.add((person_id, row["entity_code"]))
        if row["is_home"]:
            at_home.add(person_id)
        wanted[person_id] += _by_cost(row, employers.get((person_id, row["entity_code"])))
    for (person_id, entity_code), person in sorted(employers.items(), key=_first_employed):
        if (person_id, entity_code) not in told:
            row = _employment_of_record(person, is_home=person_id not in at_home)
            at_home.add(person_id)
            wanted.setdefault(person_id, []).extend(_by_cost(row, person))
    for person_id, rows in wanted.items():
        _replace(run, EMPLOYMENT, {"person_id": person_id}, rows, distinct_by=("entity_code",))


def _first_employed(item: tuple[Entity, Person]) -> tuple[date, str]:
    return (item[1].employed_from or _ALWAYS, item[0][1])


def _by_cost(row: dict[str, Any], person: Person | None) -> list[dict[str, Any]]:
    """Cut an employment where another cost rate begins; before the first, and where a day has two, none is known."""
    if person is None or not person.cost_rates:
        return [{**row, "cost_rate": None if person is None else person.cost_rate}]
    told: dict[date, set[Decimal]] = {}
    for rate in person.cost_rates:
        told.setdefault(rate.starts_on, set()).add(rate.amount)
    first_on, ends_on = row["starts_on"], row["ends_on"]
    cuts = sorted(day for day in told if day > first_on and (ends_on is None or day < ends_on))
    rows = []
    for begins, ends in pairwise((first_on, *cuts, ends_on)):
        begun = [day for day in told if day <= begins]
        amounts = told[max(begun)] if begun else set()
        cost_rate = next(iter(amounts)) if len(amounts) == 1 else None
        rows.append({**row, "cost_rate": cost_rate, "starts_on": begins, "ends_on": ends})
    return rows


def _employment_of_fact(fact: StaffingFact) -> dict[str, Any] | None:
    if not fact.entity_code or not fact.employee_code or fact.starts_on is None:
        return None
    week = fact.extras.get("week_seconds")
    return {
        "entity_code": fact.entity_code,
        "employee_code": fact.employee_code,
        "is_home": fact.fact == "employment",
        "week_seconds": None if not week else int(week),
        "starts_on": fact.starts_on,
        "ends_on": fact.ends_on,
    }


def _employment_of_record(person: Person, *, is_home: bool) -> dict[str, Any]:
    return {
        "entity_code": person.entity_code,
        "employee_code": person.employee_code or "",
        "is_home": is_home,
        "week_seconds": None,
        # An ERP without a first day says: since ever.
        "starts_on": person.employed_from or _ALWAYS,
        "ends_on": person.employed_to,
    }


def _store_leave(run: _Run, facts: Facts, home: Mapping[str, UUID]) -> None:
    spans: dict[UUID, list[Away]] = {}
    for source, fact in facts:
        person_id = home.get(email_key(fact.person_email) or "")
        if fact.fact != "leave" or person_id is None:
            continue
        spans.setdefault(person_id, [])
        if not source.is_deleted and (away := _understood(run, source, fact, away_of)):
            spans[person_id].append(away)
    for person_id, found in spans.items():
        _replace(run, LEAVE, {"person_id": person_id}, leave_rows(found), distinct_by=())


def _store_working_time(run: _Run, facts: Facts, home: Mapping[str, UUID]) -> None:
    """Store pattern, share, place and permissions of everybody of whom a fact tells one."""
    _store_of_person(run, facts, home, table=EMPLOYMENT_SHARE, kinds=(SHARE,), read=share_of)
    _store_of_person(run, facts, home, table=WORK_PLACE, kinds=(PLACE,), read=place_of)
    _store_of_person(
        run, facts, home, table=WORK_PERMISSION, kinds=tuple(PERMISSIONS), read=permission_of
    )
    _store_of_person(run, facts, home, table=WORK_PATTERN, kinds=(PATTERN,), read=pattern_of)
    told = {
        email_key(fact.person_email)
        for source, fact in facts
        if fact.fact == PATTERN and not source.is_deleted
    }
    by_week = [
        (source, fact)
        for source, fact in facts
        if fact.extras.get("week_seconds") and email_key(fact.person_email) not in told
    ]
    _store_of_person(
        run, by_week, home, table=WORK_PATTERN, kinds=("employment",), read=pattern_of_week
    )


def _store_of_person(
    run: _Run,
    facts: Facts,
    home: Mapping[str, UUID],
    *,
    table: VersionedTable,
    kinds: tuple[str, ...],
    read: Callable[[StaffingFact], dict[str, Any] | None],
) -> None:
    wanted: dict[UUID, list[dict[str, Any]]] = {}
    for source, fact in facts:
        person_id = home.get(email_key(fact.person_email) or "")
        if fact.fact not in kinds or person_id is None:
            continue
        rows = wanted.setdefault(person_id, [])
        if not source.is_deleted and (row := _understood(run, source, fact, read)):
            rows.append(row)
    by = ("kind",) if "kind" in table.key else ()
    for person_id, rows in wanted.items():
        _replace(run, table, {"person_id": person_id}, rows, distinct_by=by)


def _store_company_holidays(run: _Run, facts: Facts) -> None:
    wanted: dict[str, list[dict[str, Any]]] = {}
    for source, fact in facts:
        if fact.fact != COMPANY_HOLIDAY_FACT:
            continue
        rows = wanted.setdefault(fact.entity_code or "", [])
        if not source.is_deleted and (row := _understood(run, source, fact, company_holiday_of)):
            rows.append(row)
    for entity_code, rows in wanted.items():
        if entity_code:
            _replace(run, COMPANY_HOLIDAY, {"entity_code": entity_code}, rows, distinct_by=())


def _understood(
    run: _Run, source: Source, fact: StaffingFact, read: Callable[[StaffingFact], _T]
) -> _T | None:
    try:
        return read(fact)
    except NotUnderstood as error:
        _incomplete(run, source, fix=str(error))
        return None


def _store_agreements(run: _Run, facts: Facts, home: Mapping[str, UUID]) -> None:
    homes = _home_entities(run.connection)
    spans: dict[tuple[str, str], list[tuple[date, date]]] = {}
    for source, fact in facts:
        person_id = home.get(email_key(fact.person_email) or "")
        if fact.fact != "intercompany" or person_id is None or not fact.entity_code:
            continue
        lender = homes.get(person_id)
        if lender is None or lender == fact.entity_code:
            continue
        pair = spans.setdefault((lender, fact.entity_code), [])
        if not source.is_deleted and fact.starts_on is not None:
            pair.append((fact.starts_on, fact.ends_on or _FOREVER))
    for (lender, borrower), found in spans.items():
        key = {"home_entity_code": lender, "project_entity_code": borrower}
        rows = [
            {"starts_on": starts_on, "ends_on": None if ends_on == _FOREVER else ends_on}
            for starts_on, ends_on in merged(found)
        ]
        _replace(run, AGREEMENT, key, rows, distinct_by=())


def _store_assignments(run: _Run, facts: Facts, home: Mapping[str, UUID]) -> None:
    projects = _projects_by_code(run.connection)
    sold = {
        deal.data["project_code"]
        for deal in newest(run.connection, noun=Opportunity, kinds=("crm",))
        if not deal.is_deleted
    }
    wanted: dict[UUID, list[dict[str, Any]]] = {}
    for source, fact in facts:
        if fact.fact != "assignment":
            continue
        spans = projects.get(fact.project_code or "", ())
        if not spans:
            # A project that is still being sold will come; one that nobody ever named will not.
            if sold and not _is_sold(fact.project_code or "", sold) and not source.is_deleted:
                run.complain(
                    PROJECT_UNKNOWN, kind="staffing_fact", key=_thing(source), entity=None,
                    fix="No deal and no project has this code: correct it.",
                )  # fmt: skip
            continue
        for span in spans:
            wanted.setdefault(span.project_id, [])
        person_id = home.get(email_key(fact.person_email) or "")
        if source.is_deleted or person_id is None:
            continue
        if fact.starts_on is None:
            _incomplete(run, source)
            continue
        row = {
            "person_id": person_id,
            "labor_category": fact.labor_category or "",
            "approver_id": home.get(email_key(fact.approver_email) or ""),
            "deputy_id": home.get(email_key(fact.deputy_email) or ""),
            "planned_seconds": _understood(run, source, fact, planned_of),
        }
        for span in spans:
            days = span.days(fact.starts_on, fact.ends_on)
            if days is not None:
                wanted[span.project_id].append({**row, **days})
    for project_id, rows in wanted.items():
        _replace(run, ASSIGNMENT, {"project_id": project_id}, rows, distinct_by=("person_id",))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Which project of ours a code is from a day to a day: another one for each client of its contract."""

    project_id: UUID
    starts_on: date | None = None
    ends_on: date | None = None

    def days(self, starts_on: date, ends_on: date | None) -> dict[str, Any] | None:
        """Return what of an assignment's days is in it; None for nothing."""
        begins = max(starts_on, self.starts_on or starts_on)
        ends = min((day for day in (ends_on, self.ends_on) if day is not None), default=None)
        is_cut = (begins, ends) != (starts_on, ends_on)
        if is_cut and ends is not None and begins >= ends:
            return None
        return {"starts_on": begins, "ends_on": ends}


def _projects_by_code(connection: Connection[Row]) -> dict[str, list[_Span]]:
    found = {
        row["project_code"]: [_Span(project_id=row["project_id"])]
        for row in connection.execute("SELECT project_code, project_id FROM project").fetchall()
    }
    code_of: dict[UUID, str] = {}
    for row in connection.execute(
        "SELECT j.project_code, n.plan_id, n.to_project_id, n.begins_on FROM novation n"
        " JOIN project j USING (project_id) ORDER BY n.plan_id, n.begins_on, n.recorded_at"
    ).fetchall():
        # People go on under the code that they had.
        spans = found[code_of.setdefault(row["plan_id"], row["project_code"])]
        spans[-1] = replace(spans[-1], ends_on=row["begins_on"])
        spans.append(_Span(project_id=row["to_project_id"], starts_on=row["begins_on"]))
    return found


def _is_sold(project_code: str, sold: Collection[str | None]) -> bool:
    """Say whether a deal has the code, or that of which it is a group."""
    parts = [n for n, sign in enumerate(project_code) if sign == "-"]
    return project_code in sold or any(project_code[:n] in sold for n in parts)


def _replace(
    run: _Run,
    table: VersionedTable,
    scope: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    *,
    distinct_by: tuple[str, ...],
) -> None:
    """Let exactly these rows stand in a scope; what overlaps another row is a case, not a guess."""
    kept = _without_overlaps(run, table, scope, rows, distinct_by)
    names = [name for name in table.key if name not in scope]
    # Only a row's own dates tell two rows of a scope apart where its key does not hold them.
    names += [name for name in ("starts_on",) if name not in names]
    if _is_same(run.standing(table, scope), kept, names):
        return
    keys = {tuple(row[name] for name in names) for row in kept}
    for standing in _standing(run.connection, table, scope):
        own = tuple(standing[name] for name in names)
        changed = own not in keys or any(
            standing[name] != row[name]
            for row in kept
            if tuple(row[part] for part in names) == own
            for name in row
        )
        if changed:
            key = {**scope, **dict(zip(names, own, strict=True))}
            close(run.connection, table=table, key=key, now=run.now)
            run.changed += own not in keys
    for row in kept:
        key = {**scope, **{name: row[name] for name in names}}
        run.changed += upsert(run.connection, table=table, key=key, values=row, now=run.now)


def _is_same(
    standing: Sequence[Row], wanted: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> bool:
    """Tell whether exactly these rows stand, each with what is said of it."""
    by_key = {tuple(row[name] for name in names): row for row in standing}
    return len(standing) == len(wanted) == len(by_key) and all(
        (own := by_key.get(tuple(row[name] for name in names))) is not None
        and all(own[name] == value for name, value in row.items())
        for row in wanted
    )


def _standing(
    connection: Connection[Row], table: VersionedTable, scope: Mapping[str, Any]
) -> list[Row]:
    where = " AND ".join(f"{name} = %s" for name in scope)
    statement = f"SELECT * FROM {table.name} WHERE {where} AND superseded_at IS NULL"
    return connection.execute(statement, tuple(scope.values())).fetchall()


def _without_overlaps(
    run: _Run,
    table: VersionedTable,
    scope: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    distinct_by: tuple[str, ...],
) -> list[Mapping[str, Any]]:
    kept: list[Mapping[str, Any]] = []
    order = sorted(
        rows, key=lambda row: (*(str(row[name]) for name in distinct_by), row["starts_on"])
    )
    for row in order:
        before = kept[-1] if kept else None
        same = before is not None and all(before[name] == row[name] for name in distinct_by)
        if before is not None and same and (before["ends_on"] or _FOREVER) > row["starts_on"]:
            if dict(before) != dict(row):
                key = ":".join(str(value) for value in (*scope.values(), row["starts_on"]))
                run.complain(
                    DATES_OVERLAP, kind=table.name, key=key, entity=row.get("entity_code"),
                    fix="Two rows hold for the same days: end one before the other begins.",
                )  # fmt: skip
            continue
        if row["ends_on"] is None or row["ends_on"] > row["starts_on"]:
            kept.append(row)
        else:
            key = ":".join(str(value) for value in (*scope.values(), row["starts_on"]))
            run.complain(
                FACT_INCOMPLETE, kind=table.name, key=key, entity=row.get("entity_code"),
                fix="It ends before it begins: correct the dates.",
            )  # fmt: skip
    return kept


def merged(spans: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    """Join half-open spans that touch or overlap."""
    found: list[tuple[date, date]] = []
    for starts_on, ends_on in sorted(spans):
        if found and starts_on <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ends_on))
        else:
            found.append((starts_on, ends_on))
    return found


def _home_entities(connection: Connection[Row]) -> dict[UUID, str]:
    rows = connection.execute(
        "SELECT person_id, entity_code FROM employment WHERE is_home AND superseded_at IS NULL"
        " ORDER BY starts_on"
    ).fetchall()
    return {row["person_id"]: row["entity_code"] for row in rows}


def _incomplete(
    run: _Run, source: Source, *, fix: str = "Fill in company, employee code and dates."
) -> None:
    run.complain(FACT_INCOMPLETE, kind="staffing_fact", key=_thing(source), entity=None, fix=fix)


def _thing(source: Source) -> str:
    """Name a record without the e-mail that a file's key may hold."""
    if source.kind == "hr":
        line = source.data.get("extras", {}).get("line_number")
        return f"{source.connection_key}:{line or _digest(source.source_ref)}"
    return f"{source.connection_key}:{source.source_ref}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
