"""Load a firm from a file into an empty database, so that the one engine can judge hours of it.

Every list of the file is a noun: its columns are data, and so is the statement that stores a row. What the
register loads from files may stand in it, too, under the same names and columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, LiteralString

import psycopg
from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.policy import PolicyValue, approve_release, draft_release
from tieline.register import (
    MARKUP,
    NOUNS,
    Cells,
    Empty,
    FileColumn,
    Kind,
    Meant,
    Mistake,
    Noun,
    name_key,
    plan_rows,
    understand,
    understand_columns,
    write_plan,
)
from tieline.runtime.database import Row
from tieline.services.hours_file import Problem, likely_meant
from tieline.services.installation import holidays_of
from tieline.services.working_time import keep_holidays
from tieline.validation import builtin_rules, builtin_values

ROWS_MAX = 50_000
_ALWAYS = date(1970, 1, 1)
_WEEK_DAYS = 7
_UNKNOWN = Empty.UNKNOWN
_EVERY = Empty.EVERY

_PERSON = FileColumn(
    name="person", kind=Kind.PERSON, says="By the word in people.", stored_as="person_id"
)
_ENTITY = FileColumn(
    name="entity", kind=Kind.ENTITY, says="By the code in entities.", stored_as="entity_code"
)
_CONTRACT = FileColumn(
    name="contract",
    kind=Kind.CONTRACT,
    says="By the code in contracts.",
    stored_as="contract_id",
)
_PROJECT = FileColumn(
    name="project", kind=Kind.PROJECT, says="By the code in projects.", stored_as="project_id"
)
_CURRENCY = FileColumn(name="currency", kind=Kind.CURRENCY, says="Such as EUR.")
_STARTS_ON = FileColumn(
    name="starts_on", kind=Kind.DAY, says="Its first day; empty: since always.", empty=_UNKNOWN
)
_ENDS_ON = FileColumn(
    name="ends_on",
    kind=Kind.DAY,
    says="The first day on which it does not hold; empty: it has no end.",
    empty=_UNKNOWN,
)
_DATES = (_STARTS_ON, _ENDS_ON)
_BOUND = (
    FileColumn(name="starts_on", kind=Kind.DAY, says="Its first day."),
    FileColumn(name="ends_on", kind=Kind.DAY, says="The first day that is not of it."),
)


def _text(name: str, says: str, *, stored_as: str = "", empty: Empty = Empty.REFUSED) -> FileColumn:
    return FileColumn(name=name, kind=Kind.TEXT, says=says, stored_as=stored_as, empty=empty)


def _flag(name: str, says: str) -> FileColumn:
    return FileColumn(name=name, kind=Kind.YES_NO, says=says, empty=_UNKNOWN)


def _number(name: str, says: str) -> FileColumn:
    return FileColumn(name=name, kind=Kind.NUMBER, says=says, empty=_UNKNOWN, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmNoun:
    """One list of a firm's file; ``usual`` is what an empty cell stands for in the statement."""

    name: str
    says: str
    columns: tuple[FileColumn, ...]
    statement: LiteralString
    usual: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFirm:
    """What became of a context: rows that were stored, or why it cannot be."""

    rows: int
    problems: tuple[Problem, ...]


FIRM_NOUNS: tuple[FirmNoun, ...] = (
    FirmNoun(
        name="entities",
        says="The legal entities of the firm.",
        columns=(
            _text("entity", "Its code, such as HR-DE."),
            _text("name", "Its name; empty: its code.", empty=_UNKNOWN),
            _CURRENCY,
            _text("zone", "Its time zone, such as Europe/Berlin."),
            _text("erp", "The connection of the ERP that keeps its books.", empty=_UNKNOWN),
        ),
        statement="""
            INSERT INTO legal_entity (entity_code, name, currency, zone, erp_connection_key, recorded_at)
            SELECT %(entity)s, coalesce(%(name)s, %(entity)s), %(currency)s, %(zone)s, %(erp)s, %(now)s
            WHERE (%(now)s::timestamptz AT TIME ZONE %(zone)s) IS NOT NULL""",
        usual={},
    ),
    FirmNoun(
        name="periods",
        says="Fiscal periods, and whether they take hours.",
        columns=(
            _ENTITY,
            _text("period", "Its code, such as 2026-10."),
            *_BOUND,
            FileColumn(
                name="state",
                kind=Kind.TEXT,
                says="open or closed; empty: open.",
                empty=_UNKNOWN,
                words=("open", "closed"),
            ),
            FileColumn(
                name="cut_off_on",
                kind=Kind.DAY,
                says="Hours that come from this day on are late; empty: none is told.",
                empty=_UNKNOWN,
            ),
        ),
        statement="""
            WITH stored AS (
                INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)
                SELECT n.entity_code, %(period)s, %(starts_on)s, %(ends_on)s, %(state)s,
                       coalesce(%(cut_off_on)s::date::timestamp AT TIME ZONE n.zone, 'infinity')
                FROM legal_entity n WHERE n.entity_code = %(entity_code)s RETURNING period_id, state)
            INSERT INTO fiscal_period_state (period_id, state, recorded_at, changed_by)
            SELECT period_id, state, %(now)s, 'file' FROM stored""",
        usual={"state": "open"},
    ),
    FirmNoun(
        name="go-lives",
        says="From which day on the hours of a connection count; where none is told, all do.",
        columns=(
            _text("connection", "The connection."),
            _ENTITY,
            FileColumn(name="starts_on", kind=Kind.DAY, says="The first day that counts."),
        ),
        statement="""
            INSERT INTO connection_go_live (connection_key, entity_code, go_live_on)
            VALUES (%(connection)s, %(entity_code)s, %(starts_on)s)""",
        usual={},
    ),
    FirmNoun(
        name="people",
        says="Who delivers, and in which company they are employed; a person may have several rows.",
        columns=(
            _text("person", "Any word for them, such as the employee code; the same in each row."),
            _ENTITY,
            _flag("is_home", "Whether it is the company that pays them; empty: yes."),
            _number("cost_rate", "What an hour costs the firm."),
            *_DATES,
        ),
        statement="""
            WITH known AS (
                SELECT person_id FROM employment WHERE lower(employee_code) = lower(%(person)s) LIMIT 1
            ), made AS (
                INSERT INTO person (recorded_at) SELECT %(now)s WHERE NOT EXISTS (SELECT FROM known)
                RETURNING person_id)
            INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate, starts_on,
                ends_on, recorded_at)
            SELECT person_id, %(entity_code)s, %(person)s, %(is_home)s, %(cost_rate)s, %(starts_on)s,
                   %(ends_on)s, %(now)s
            FROM (SELECT person_id FROM known UNION ALL SELECT person_id FROM made) one""",
        usual={"is_home": True, "starts_on": _ALWAYS},
    ),
    FirmNoun(
        name="work-patterns",
        says="When people work; of whom it is not told, nothing is expected.",
        columns=(
            _PERSON,
            _text("week_hours", "Seven hours from Monday on: 8 8 8 8 6 0 0."),
            _text("place", "Whose public holidays count, such as DE or DE-BE."),
            *_DATES,
        ),
        statement="""
            WITH pattern AS (
                INSERT INTO work_pattern (person_id, weekday_seconds, starts_on, ends_on, recorded_at)
                SELECT %(person_id)s, (SELECT array_agg((h::numeric * 3600)::integer ORDER BY place)
                                       FROM regexp_split_to_table(trim(%(week_hours)s), '\\s+')
                                            WITH ORDINALITY AS w (h, place)),
                       %(starts_on)s, %(ends_on)s, %(now)s)
            INSERT INTO work_place (person_id, place, starts_on, ends_on, recorded_at)
            VALUES (%(person_id)s, %(place)s, %(starts_on)s, %(ends_on)s, %(now)s)""",
        usual={"starts_on": _ALWAYS},
    ),
    FirmNoun(
        name="leave",
        says="When people are away.",
        columns=(_PERSON, _text("kind", "Such as vacation."), *_BOUND),
        statement="""
            INSERT INTO leave (person_id, kind, starts_on, ends_on, recorded_at)
            VALUES (%(person_id)s, %(kind)s, %(starts_on)s, %(ends_on)s, %(now)s)""",
        usual={},
    ),
    FirmNoun(
        name="agreements",
        says="Which company lends its people to which.",
        columns=(
            replace(_ENTITY, name="home_entity", stored_as="home_entity_code"),
            replace(_ENTITY, name="project_entity", stored_as="project_entity_code"),
            *_DATES,
        ),
        statement="""
            INSERT INTO intercompany_agreement (home_entity_code, project_entity_code, starts_on, ends_on,
                recorded_at)
            VALUES (%(home_entity_code)s, %(project_entity_code)s, %(starts_on)s, %(ends_on)s, %(now)s)""",
        usual={"starts_on": _ALWAYS},
    ),
    FirmNoun(
        name="clients",
        says="Whom the firm bills.",
        columns=(
            _text("client", "Its name."),
            _text("country", "Such as DE.", empty=_UNKNOWN),
            _text("tax_number", "Its tax number.", empty=_UNKNOWN),
            _flag("is_active", "Empty: yes."),
        ),
        statement="""
            WITH made AS (INSERT INTO client (recorded_at) VALUES (%(now)s) RETURNING client_id)
            INSERT INTO client_version (client_id, name, name_key, vat_number, country_code, is_active,
                recorded_at)
            SELECT client_id, %(client)s, %(name_key)s, %(tax_number)s, %(country)s, %(is_active)s, %(now)s
            FROM made""",
        usual={"is_active": True},
    ),
    FirmNoun(
        name="contracts",
        says="What was agreed with a client.",
        columns=(
            _text("contract", "Its code."),
            FileColumn(
                name="client",
                kind=Kind.CLIENT,
                says="By its name in clients.",
                stored_as="client_id",
            ),
            _ENTITY,
            _text(
                "billing_method",
                "Such as time_and_materials, capped_time_and_materials, fixed_price.",
            ),
            _CURRENCY,
            _number("cap_amount", "What may not be exceeded."),
            _text("purchase_order", "The client's number.", empty=_UNKNOWN),
            _flag("is_purchase_order_required", "Empty: no."),
            _text("practice", "Whose work it is.", empty=_UNKNOWN),
            _text("tax_treatment", "As the entity calls it.", empty=_UNKNOWN),
            _text("rate_card", "The card that goes before others.", empty=_UNKNOWN),
            _flag("allows_unassigned_time", "Empty: no."),
            _flag("is_active", "Empty: yes."),
            *_DATES,
        ),
        statement="""
            WITH made AS (
                INSERT INTO contract (client_id, entity_code, contract_code, recorded_at)
                VALUES (%(client_id)s, %(entity_code)s, %(contract)s, %(now)s) RETURNING contract_id)
            INSERT INTO contract_version (contract_id, name, billing_method, currency, cap_amount,
                purchase_order, is_purchase_order_required, practice, tax_treatment, rate_card,
                allows_unassigned_time, is_active, starts_on, ends_on, recorded_at)
            SELECT contract_id, %(contract)s, %(billing_method)s, %(currency)s, %(cap_amount)s,
                %(purchase_order)s, %(is_purchase_order_required)s, %(practice)s, %(tax_treatment)s,
                %(rate_card)s, %(allows_unassigned_time)s, %(is_active)s, %(starts_on)s, %(ends_on)s, %(now)s
            FROM made""",
        usual={
            "is_purchase_order_required": False,
            "allows_unassigned_time": False,
            "is_active": True,
            "starts_on": _ALWAYS,
        },
    ),
    FirmNoun(
        name="contract-lines",
        says="The rates of a contract, by task and labor category.",
        columns=(
            _CONTRACT,
            _text("task", "Empty: every task.", empty=_EVERY),
            _text("labor_category", "Empty: every labor category.", empty=_EVERY),
            FileColumn(
                name="rate_amount", kind=Kind.NUMBER, says="What one hour costs.", minimum=0
            ),
            MARKUP,
            _CURRENCY,
            *_DATES,
        ),
        statement="""
            INSERT INTO contract_line (contract_id, task_name, labor_category, rate_amount, currency, markup_percent,
                starts_on, ends_on, recorded_at)
            VALUES (%(contract_id)s, %(task)s, %(labor_category)s, %(rate_amount)s, %(currency)s, %(markup_percent)s,
                %(starts_on)s, %(ends_on)s, %(now)s)""",
        usual={"starts_on": _ALWAYS},
    ),
    FirmNoun(
        name="projects",
        says="Where hours are booked.",
        columns=(
            _text("project", "Its code."),
            _CONTRACT,
            FileColumn(
                name="status",
                kind=Kind.TEXT,
                says="Empty: active.",
                empty=_UNKNOWN,
                words=("provisioning", "active", "closed", "compensated"),
            ),
            _flag("accepts_time", "Empty: yes."),
            *_DATES,
        ),
        statement="""
            WITH made AS (
                INSERT INTO project (contract_id, entity_code, project_code, recorded_at)
                SELECT contract_id, entity_code, %(project)s, %(now)s
                FROM contract WHERE contract_id = %(contract_id)s RETURNING project_id)
            INSERT INTO project_version (project_id, name, status, accepts_time, starts_on, ends_on, recorded_at)
            SELECT project_id, %(project)s, %(status)s, %(accepts_time)s, %(starts_on)s, %(ends_on)s, %(now)s
            FROM made""",
        usual={"status": "active", "accepts_time": True, "starts_on": _ALWAYS},
    ),
    FirmNoun(
        name="tasks",
        says="What is done on a project.",
        columns=(
            _PROJECT,
            _text("task", "Its name."),
            _flag("is_billable", "Empty: yes."),
            _flag("is_leaf", "Whether hours may be booked on it; empty: yes."),
            *_DATES,
        ),
        statement="""
            INSERT INTO task (project_id, task_name, is_billable, is_leaf, starts_on, ends_on, recorded_at)
            VALUES (%(project_id)s, %(task)s, %(is_billable)s, %(is_leaf)s, %(starts_on)s, %(ends_on)s, %(now)s)""",
        usual={"is_billable": True, "is_leaf": True, "starts_on": _ALWAYS},
    ),
    FirmNoun(
        name="assignments",
        says="Who is on which project, and as what.",
        columns=(
            _PERSON,
            _PROJECT,
            _text("labor_category", "As the contract's lines call it."),
            FileColumn(
                name="planned_seconds",
                kind=Kind.WHOLE,
                says="How much is planned.",
                empty=_UNKNOWN,
                minimum=0,
            ),
            *_DATES,
        ),
        statement="""
            INSERT INTO assignment (person_id, project_id, labor_category, planned_seconds, starts_on,
                ends_on, recorded_at)
            VALUES (%(person_id)s, %(project_id)s, %(labor_category)s, %(planned_seconds)s, %(starts_on)s,
                %(ends_on)s, %(now)s)""",
        usual={"starts_on": _ALWAYS},
    ),
    FirmNoun(
        name="links",
        says="What a connection calls a thing. Without this list each calls it by the firm's own word.",
        columns=(
            _text("connection", "The connection."),
            FileColumn(
                name="noun",
                kind=Kind.TEXT,
                says="person, project or task in a time tool; employee or erp_task in the ERP.",
                words=("person", "project", "task", "employee", "erp_task"),
            ),
            _text("ref", "What it is called there; a task of a project as PROJECT/TASK."),
            replace(_PERSON, empty=_UNKNOWN),
            replace(_ENTITY, says="Of an employee: in which company.", empty=_UNKNOWN),
            replace(_PROJECT, empty=_UNKNOWN),
            _text("task", "Of a task: its name; of an erp_task: the line's task.", empty=_EVERY),
            replace(_CONTRACT, says="Of an erp_task: whose line.", empty=_UNKNOWN),
            _text("labor_category", "Of an erp_task: the line's labor category.", empty=_EVERY),
            *_DATES,
        ),
        statement="""
            INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, starts_on,
                ends_on, recorded_at)
            SELECT %(connection)s, %(noun)s, %(ref)s,
                CASE %(noun)s
                    WHEN 'person' THEN %(person_id)s::uuid WHEN 'employee' THEN %(person_id)s::uuid
                    WHEN 'project' THEN %(project_id)s::uuid
                    WHEN 'task' THEN (SELECT t.task_id FROM task t
                        WHERE (t.project_id, t.task_name) = (%(project_id)s::uuid, %(task)s))
                    ELSE (SELECT l.contract_line_id FROM contract_line l
                        WHERE (l.contract_id, l.task_name, l.labor_category)
                            = (%(contract_id)s::uuid, %(task)s, %(labor_category)s)
                        ORDER BY l.starts_on DESC LIMIT 1) END,
                CASE %(noun)s WHEN 'employee' THEN coalesce(%(entity_code)s, '') ELSE '' END,
                'a file says so', %(starts_on)s, %(ends_on)s, %(now)s""",
        usual={"starts_on": _ALWAYS},
    ),
)
VALUES = FirmNoun(
    name="values",
    says="Numbers that rules compare with, where they are others than those that ship.",
    columns=(
        _text("name", "The name of the value, such as day_seconds_max."),
        replace(_ENTITY, says="Empty: of every legal entity.", empty=_EVERY),
        _text("value", "What it is."),
    ),
    statement="SELECT 1",
    usual={},
)
# Where a file names no links, a thing is called by the firm's own word, in the time tools and in the ERP.
_OWN_WORDS: tuple[LiteralString, ...] = (
    """
    INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)
    SELECT DISTINCT c, 'person', e.employee_code, e.person_id, '', 'its own word', %(now)s::timestamptz
    FROM unnest(%(sources)s::text[]) c CROSS JOIN employment e
    UNION ALL
    SELECT c, 'project', p.project_code, p.project_id, '', 'its own word', %(now)s
    FROM unnest(%(sources)s::text[]) c CROSS JOIN project p
    UNION ALL
    SELECT c, 'task', p.project_code || '/' || t.task_name, t.task_id, '', 'its own word', %(now)s
    FROM unnest(%(sources)s::text[]) c CROSS JOIN task t JOIN project p USING (project_id)
    """,
    """
    INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)
    SELECT DISTINCT n.erp_connection_key, 'employee', e.employee_code, e.person_id, n.entity_code,
           'its own word', %(now)s::timestamptz
    FROM legal_entity n JOIN employment e USING (entity_code) WHERE n.erp_connection_key IS NOT NULL
    UNION ALL
    SELECT n.erp_connection_key, 'erp_task', k.contract_code || '/' || l.contract_line_id,
           l.contract_line_id, '', 'its own word', %(now)s
    FROM contract_line l JOIN contract k USING (contract_id) JOIN legal_entity n USING (entity_code)
    WHERE n.erp_connection_key IS NOT NULL
    """,
)


def load_firm(
    connection: Connection[Row],
    *,
    context: Mapping[str, Any],
    sources: Sequence[str],
    now: datetime,
) -> LoadedFirm:
    """Load a firm, and let the shipped rules decide about it; as the worker, into an empty database.

    ``sources`` are the connections that the hours come from.
    """
    known = [noun.name for noun in (*FIRM_NOUNS, VALUES)] + list(NOUNS)
    problems: list[Problem] = []
    lists: dict[str, list[Cells]] = {}
    for name, given in context.items():
        if name not in known:
            problems.append(
                _problem(name, f"a firm has no such list{likely_meant(name, among=known)}")
            )
        elif not isinstance(given, list):
            problems.append(_problem(name, "it is no list of rows"))
        elif len(given) > ROWS_MAX:
            problems.append(_problem(name, f"it has {len(given)} rows, of at most {ROWS_MAX}"))
        else:
            lists[name], wrong = _cells(name, given, _columns_of(name))
            problems += wrong
    _connect(connection, lists, sources)
    rows = 0
    for noun in FIRM_NOUNS:
        stored, wrong = _load(connection, noun, lists.get(noun.name, ()), now)
        rows, problems = rows + stored, [*problems, *wrong]
    if "links" not in lists:
        for statement in _OWN_WORDS:
            connection.execute(statement, {"sources": list(sources), "now": now})
    for name, cells in lists.items():
        if name in NOUNS:
            stored, wrong = _load_terms(connection, NOUNS[name], cells, now)
            rows, problems = rows + stored, [*problems, *wrong]
    keep_holidays(connection, now=now)
    problems += _decide(connection, lists.get(VALUES.name, ()), now)
    return LoadedFirm(rows=rows, problems=tuple(problems))


def _columns_of(name: str) -> tuple[str, ...]:
    for noun in (*FIRM_NOUNS, VALUES):
        if noun.name == name:
            return tuple(column.name for column in noun.columns)
    return (*(column.name for column in NOUNS[name].columns), "starts_on", "ends_on")


def _cells(
    name: str, rows: Sequence[Any], columns: Sequence[str]
) -> tuple[list[Cells], list[Problem]]:
    """Return the rows as cells of text, as a file of lines would hold them."""
    found: list[Cells] = []
    problems: list[Problem] = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            problems.append(_problem(f"{name}[{number}]", "it is no object with columns"))
            continue
        wrong = [(column, "it stands twice in the row") for column in getattr(row, "twice", ())] + [
            (column, f"{name} has no such column{likely_meant(column, among=columns)}")
            for column in row
            if column not in columns
        ]
        cells = {}
        for column, value in row.items():
            if isinstance(value, (list, dict)):
                wrong.append((column, "it is no single value"))
            elif value is not None:
                cells[column] = (
                    str(value).lower() if isinstance(value, bool) else str(value).strip()
                )
            if any(
                mark == "\x00" or "\ud800" <= mark <= "\udfff" for mark in cells.get(column, "")
            ):
                wrong.append((column, "it has a NUL or half a character in it"))
        problems += [_problem(f"{name}[{number}].{column[:40]}", said) for column, said in wrong]
        if not wrong:
            found.append(Cells(line=number, cells=cells))
    return found, problems


def _connect(
    connection: Connection[Row], lists: Mapping[str, Sequence[Cells]], sources: Sequence[str]
) -> None:
    named = set(sources)
    for noun, column in (("entities", "erp"), ("go-lives", "connection"), ("links", "connection")):
        named |= {row.cells[column] for row in lists.get(noun, ()) if row.cells.get(column)}
    connection.cursor().executemany(
        "INSERT INTO connection (connection_key, system, kind) VALUES (%s, 'file', 'file')",
        [(name,) for name in sorted(named)],
    )


def _load(
    connection: Connection[Row], noun: FirmNoun, rows: Sequence[Cells], now: datetime
) -> tuple[int, list[Problem]]:
    meant, mistakes = understand_columns(connection, columns=noun.columns, rows=rows)
    problems = [_of(noun.name, mistake) for mistake in mistakes]
    unknown = list(_unknown_places(noun, meant))
    if unknown:
        return 0, [*problems, *unknown]
    values = [_values(noun, row, now) for row in meant]
    try:
        with connection.transaction():
            connection.cursor().executemany(noun.statement, values)
    except (psycopg.IntegrityError, psycopg.DataError):
        # Once more, one by one: which of them it was is not told.
        for row, one in zip(meant, values, strict=True):
            problems += _store_one(connection, noun, row, one)
    return len(meant), problems


def _unknown_places(noun: FirmNoun, rows: Sequence[Meant]) -> Iterable[Problem]:
    if noun.name != "work-patterns":
        return
    for row in rows:
        try:
            holidays_of(row.values["place"])
        except LookupError as error:
            yield _problem(f"{noun.name}[{row.line}].place", str(error))


def _store_one(
    connection: Connection[Row], noun: FirmNoun, row: Meant, values: Mapping[str, Any]
) -> Iterable[Problem]:
    try:
        with connection.transaction():
            connection.execute(noun.statement, values)
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        yield _problem(f"{noun.name}[{row.line}]", _why(error))


def _why(error: psycopg.Error) -> str:
    match error:
        case psycopg.errors.ExclusionViolation():
            return "it holds at the same time as another row of the same thing"
        case psycopg.errors.UniqueViolation():
            return "it is there already"
        case psycopg.errors.NotNullViolation():
            return "what it names is not known"
        case psycopg.errors.CheckViolation():
            return f"its values do not go together ({error.diag.constraint_name})"
        case _:
            return str(error).splitlines()[0]


def _values(noun: FirmNoun, row: Meant, now: datetime) -> dict[str, Any]:
    told = {name: value for name, value in row.values.items() if value is not None}
    empty: dict[str, Any] = dict.fromkeys(column.column for column in noun.columns)
    more = {"name_key": name_key(told["client"])} if noun.name == "clients" else {}
    return {**empty, **noun.usual, **told, **more, "now": now}


def _load_terms(
    connection: Connection[Row], noun: Noun, rows: Sequence[Cells], now: datetime
) -> tuple[int, list[Problem]]:
    meant, mistakes = understand(connection, noun=noun, rows=rows)
    plan = plan_rows(connection, noun=noun, rows=meant, is_whole=False)
    problems = [_of(noun.name, mistake) for mistake in (*mistakes, *plan.mistakes)]
    if problems:
        return 0, problems
    load = connection.execute(
        "INSERT INTO reference_load (noun, file_name, loaded_by, reason, rows, recorded_at)"
        " VALUES (%s, 'context', 'file', 'to judge a file', %s, %s) RETURNING load_id",
        (noun.name, len(plan.changes), now),
    ).fetchone()
    assert load is not None
    return write_plan(connection, plan=plan, load_id=load["load_id"], now=now), []


def _decide(connection: Connection[Row], rows: Sequence[Cells], now: datetime) -> list[Problem]:
    """Let the rules as they ship decide, with the values that the file tells."""
    meant, mistakes = understand_columns(connection, columns=VALUES.columns, rows=rows)
    problems = [_of(VALUES.name, mistake) for mistake in mistakes]
    values = {(value.name, value.entity_code): value for value in builtin_values()}
    names = [name for name, _ in values]
    for row in meant:
        name, entity_code, told = (row.values[each] for each in ("name", "entity_code", "value"))
        place = f"{VALUES.name}[{row.line}]"
        if name not in names:
            problems.append(
                _problem(place, f"no value is called {name}{likely_meant(name, among=names)}")
            )
        elif values[(name, "")].value.isdigit() and not (told.isdigit() and told.isascii()):
            problems.append(_problem(place, f"{name} is a whole number"))
        values[(name, entity_code)] = PolicyValue(
            name=name, entity_code=entity_code, value=told, reason="a file says so"
        )
    if problems:
        return problems
    try:
        release_id = draft_release(
            connection,
            title="The shipped rules",
            rules=builtin_rules(),
            values=list(values.values()),
            overrides=(),
            proposed_by="file",
            reason="to judge a file",
            now=now,
        )
        approve_release(connection, release_id=release_id, approved_by="command-line", now=now)
    except UserMistake as error:
        return [_problem(VALUES.name, str(error))]
    return []


def _of(noun: str, mistake: Mistake) -> Problem:
    column = f".{mistake.column}" if mistake.column else ""
    return _problem(f"{noun}[{mistake.line}]{column}", mistake.sentence)


def _problem(place: str, sentence: str) -> Problem:
    return Problem(place=f"context.{place[:80]}", line=None, sentence=sentence)
