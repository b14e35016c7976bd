"""Make a firm and its hours from a seed: plain rows, each named as the table that keeps it."""

from __future__ import annotations

import functools
import itertools
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

Row = dict[str, Any]

# A moment at which it is another day in a third of all zones.
NOW = datetime(2026, 11, 3, 21, 40, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=6)
FIRST_DAY = date(2026, 6, 1)
ABBREVIATIONS = ("CET", "EET", "MET", "WET")
TOOLS = ("harvest", "sheets")
CATEGORIES = ("Partner", "Consultant", "Analyst")
TASKS = ("Analysis", "Build", "Travel")
_ENTITIES = (
    ("DE", "EUR", "Europe/Berlin", "months"),
    ("US", "USD", "America/New_York", "4-4-5"),
    ("JP", "JPY", "Asia/Tokyo", "5-4-4"),
)


@dataclass(kw_only=True)
class Firm:
    """Rows by table, and the hours by their id."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    hours: dict[uuid.UUID, Row] = field(default_factory=dict)

    def add(self, table: str, **row: Any) -> Row:
        self.rows.setdefault(table, []).append(row)
        return row


class Maker:
    """Draw everything from one seed: the same seed is the same firm."""

    def __init__(self, seed: int, *, zones: Sequence[str]) -> None:
        self.random = random.Random(seed)
        self.zones = zones
        self.firm = Firm()
        self.people: list[Row] = []
        self.projects: list[Row] = []
        self.refs = 0

    def new_id(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def often(self, share: float) -> bool:
        return self.random.random() < share

    def link(self, connection: str, noun: str, ref: str, our_id: uuid.UUID, **row: Any) -> None:
        self.firm.add(
            "crosswalk",
            **{
                "connection_key": connection,
                "noun": noun,
                "source_ref": ref,
                "our_id": our_id,
                "scope": "",
                "because": "a test",
                "starts_on": date(2020, 1, 1),
                "ends_on": None,
                "recorded_at": BEFORE,
                **row,
            },
        )


def make_firm(
    seed: int, *, people: int = 40, projects: int = 36, zones: Sequence[str] = ()
) -> Maker:
    """Make the reference data of a firm; its hours are told in any of these zones."""
    maker = Maker(seed, zones=zones or all_zones())
    _systems(maker)
    _entities(maker)
    _staff(maker, people)
    _work(maker, projects)
    _assignments(maker)
    # Drawn apart, so that every other firm stays the one it was.
    maker.random, drawn = random.Random(f"over-cap {seed}"), maker.random
    for contract in list(maker.firm.rows["contract_version"]):
        if maker.often(0.7 if contract["cap_amount"] else 0.1):
            _over_cap(maker, contract["contract_id"], contract["currency"])
    maker.random = random.Random(f"cost-plus {seed}")
    _bill_costs(maker)
    maker.random = drawn
    return maker


def make_hours(maker: Maker, count: int) -> list[Row]:
    """Make so many hours: most are right, and each odd thing is there many times."""
    made: list[Row] = []
    while len(made) < count:
        made += _day(maker)
    del made[count:]
    maker.firm.hours = {row["entry_id"]: row for row in made}
    return made


# -- reference data --------------------------------------------------------------------------------


def _systems(maker: Maker) -> None:
    for key in (*TOOLS, "erp"):
        maker.firm.add("connection", connection_key=key, system=key, kind="x", mode="act")
    maker.firm.add(
        "reference_load",
        load_id=maker.new_id(),
        noun="rates",
        file_name="rates.csv",
        loaded_by="ann",
        approved_by="bob",
        reason="a test",
        rows=1,
        recorded_at=BEFORE,
    )


def _entities(maker: Maker) -> None:
    for code, currency, zone, calendar in _ENTITIES:
        maker.firm.add(
            "legal_entity",
            entity_code=code,
            name=code,
            currency=currency,
            zone=zone,
            erp_connection_key="erp",
            recorded_at=BEFORE,
        )
        for number, (starts_on, ends_on) in enumerate(_periods(calendar)):
            if number == 0:
                continue  # The first months of each calendar are in no period.
            maker.firm.add(
                "fiscal_period",
                period_id=maker.new_id(),
                entity_code=code,
                period_code=f"P{number:02}",
                starts_on=starts_on,
                ends_on=ends_on,
                state="closed" if number <= 1 or maker.often(0.1) else "open",
                cut_off_at=NOW,
            )
        for tool in TOOLS:
            if maker.often(0.8):
                maker.firm.add(
                    "connection_go_live",
                    connection_key=tool,
                    entity_code=code,
                    go_live_on=FIRST_DAY + timedelta(days=maker.random.randrange(0, 40)),
                )
    maker.firm.add(
        "intercompany_agreement",
        agreement_id=maker.new_id(),
        home_entity_code="DE",
        project_entity_code="US",
        starts_on=date(2026, 8, 15),
        ends_on=None,
        recorded_at=BEFORE,
    )
    for number in range(8):
        maker.firm.add(
            "fx_rate",
            fx_rate_id=maker.new_id(),
            from_currency="EUR" if number % 2 else "USD",
            to_currency="USD" if number % 2 else "EUR",
            factor=Decimal(maker.random.randrange(70, 140)) / 100,
            source="a test",
            starts_on=FIRST_DAY + timedelta(days=30 * (number // 2)),
            ends_on=FIRST_DAY + timedelta(days=30 * (number // 2) + 29),
            recorded_at=BEFORE,
            load_id=maker.firm.rows["reference_load"][0]["load_id"],
            line_number=number,
        )


def _periods(calendar: str) -> list[tuple[date, date]]:
    """Return half-open periods: civil months, or quarters of 13 weeks cut as the words say."""
    if calendar == "months":
        days = [date(2026 + m // 12, m % 12 + 1, 1) for m in range(3, 16)]
    else:
        days = [date(2026, 3, 30)]
        for weeks in [int(word) for word in calendar.split("-")] * 4:
            days.append(days[-1] + timedelta(weeks=weeks))
    return list(itertools.pairwise(days))


def _staff(maker: Maker, count: int) -> None:
    for number in range(count):
        person = maker.firm.add(
            "person", person_id=maker.new_id(), redirect_to=None, recorded_at=BEFORE
        )
        maker.people.append(person)
        home = maker.random.choice(["DE", "DE", "DE", "US", "US", "JP"])
        _employ(maker, person, home, is_home=True)
        for other in ("DE", "US", "JP"):
            if other != home and maker.often(0.4):
                _employ(maker, person, other, is_home=maker.often(0.04))
        if maker.often(0.5):
            starts_on = FIRST_DAY + timedelta(days=maker.random.randrange(150))
            maker.firm.add(
                "leave",
                leave_id=maker.new_id(),
                person_id=person["person_id"],
                kind="holiday",
                starts_on=starts_on,
                ends_on=starts_on + timedelta(days=maker.random.randrange(1, 15)),
                recorded_at=BEFORE,
            )
        _name(maker, number, person["person_id"])
    _rename(maker)


def _name(maker: Maker, number: int, person_id: uuid.UUID) -> None:
    """Let tools and the ERP know a person; now and then not, or twice."""
    for tool in TOOLS:
        if maker.often(0.97):
            maker.link(tool, "person", f"u{number}", person_id)
    for code in ("DE", "US", "JP"):
        if maker.often(0.95):
            maker.link("erp", "employee", f"{code}{number}", person_id, scope=code)
        if maker.often(0.03):
            maker.link("erp", "employee", f"{code}{number}b", person_id, scope=code)


def _rename(maker: Maker) -> None:
    """Merge some people into others, and give a name to two."""
    for number in range(3):
        # Who was merged into another, but is still called by the old name.
        gone = maker.firm.add(
            "person",
            person_id=maker.new_id(),
            redirect_to=maker.people[number]["person_id"],
            recorded_at=BEFORE,
        )
        maker.link("sheets", "person", f"old{number}", gone["person_id"])
    for number in range(2):
        # A name that means two people.
        for person in maker.people[number * 2 : number * 2 + 2]:
            maker.link("harvest", "person", f"twice{number}", person["person_id"])


def _employ(maker: Maker, person: Row, entity: str, *, is_home: bool) -> None:
    starts_on = date(2025, 1, 1) if maker.often(0.9) else date(2026, 7, 15)
    maker.firm.add(
        "employment",
        employment_id=maker.new_id(),
        person_id=person["person_id"],
        entity_code=entity,
        employee_code="1",
        is_home=is_home,
        cost_rate=Decimal(60) if maker.often(0.9) else None,
        starts_on=starts_on,
        ends_on=date(2026, 10, 1) if maker.often(0.1) else None,
        recorded_at=BEFORE,
    )


def _work(maker: Maker, count: int) -> None:
    clients = [_client(maker) for _ in range(max(2, count // 5))]
    for number in range(count):
        _project(maker, number, maker.random.choice(clients))
    for ref in ("both0", "both1"):
        for project in maker.random.sample(maker.projects, 2):
            maker.link("harvest", "project", ref, project["project_id"])


def _client(maker: Maker) -> Row:
    client = maker.firm.add(
        "client", client_id=maker.new_id(), redirect_to=None, recorded_at=BEFORE
    )
    maker.firm.add(
        "client_version",
        client_id=client["client_id"],
        name="Client",
        name_key="client",
        is_active=maker.often(0.96),
        recorded_at=BEFORE,
    )
    for category in ("", *CATEGORIES):
        if maker.often(0.4):
            _loaded(
                maker,
                "client_rate",
                client_id=client["client_id"],
                card_code="standard",
                labor_category=category,
                rate_amount=_rate(maker),
                currency=maker.random.choice(["EUR", "EUR", "USD"]),
            )
        if maker.often(0.3):
            _loaded(
                maker,
                "rate_bound",
                client_id=client["client_id"],
                labor_category=category,
                currency="EUR",
                rate_min=Decimal(100) if maker.often(0.7) else None,
                rate_max=Decimal(190) if maker.often(0.7) else None,
            )
    return client


def _rate(maker: Maker) -> Decimal:
    return Decimal(0) if maker.often(0.01) else Decimal(maker.random.randrange(10000, 19000)) / 100


def _loaded(maker: Maker, table: str, **row: Any) -> None:
    maker.firm.add(
        table,
        **{
            f"{table}_id": maker.new_id(),
            "starts_on": date(2026, 1, 1) if maker.often(0.7) else date(2026, 7, 1),
            "ends_on": None if maker.often(0.8) else date(2026, 10, 20),
            "recorded_at": BEFORE,
            "load_id": maker.firm.rows["reference_load"][0]["load_id"],
            "line_number": 1,
            **row,
        },
    )


def _project(maker: Maker, number: int, client: Row) -> None:
    code, currency, *_ = maker.random.choice(_ENTITIES[:2] if maker.often(0.9) else _ENTITIES)
    contract_id, project_id = maker.new_id(), maker.new_id()
    maker.firm.add(
        "contract",
        contract_id=contract_id,
        client_id=client["client_id"],
        entity_code=code,
        contract_code=f"C{number}",
        recorded_at=BEFORE,
    )
    needs_order = maker.often(0.2)
    maker.firm.add(
        "contract_version",
        contract_id=contract_id,
        name="C",
        billing_method="time_and_materials",
        currency=currency,
        cap_amount=Decimal(maker.random.randrange(2_000, 60_000)) if maker.often(0.3) else None,
        purchase_order=maker.random.choice([None, "", "PO-1", "PO-1", "PO-1"]),
        is_purchase_order_required=needs_order,
        practice="Tax" if maker.often(0.5) else None,
        rate_card="standard" if maker.often(0.5) else None,
        allows_unassigned_time=maker.often(0.15),
        is_active=maker.often(0.97),
        starts_on=date(2026, 1, 1) if maker.often(0.8) else date(2026, 8, 1),
        ends_on=date(2026, 10, 31) if maker.often(0.15) else None,
        recorded_at=BEFORE,
    )
    maker.projects.append(
        maker.firm.add(
            "project",
            project_id=project_id,
            contract_id=contract_id,
            entity_code=code,
            project_code=f"P{number}",
            recorded_at=BEFORE,
        )
    )
    maker.firm.add(
        "project_version",
        project_id=project_id,
        name="P",
        status=maker.random.choices(["active", "provisioning", "closed"], [93, 4, 3])[0],
        accepts_time=maker.often(0.96),
        starts_on=date(2026, 1, 1) if maker.often(0.8) else date(2026, 7, 1),
        ends_on=date(2026, 11, 1) if maker.often(0.15) else None,
        recorded_at=maker.random.choice([BEFORE, NOW - timedelta(minutes=5)]),
    )
    _lines(maker, contract_id, project_id, currency)
    _tasks(maker, number, project_id)
    for tool in TOOLS:
        if maker.often(0.96):
            maker.link(tool, "project", f"p{number}", project_id)
    if maker.often(0.2):
        _loaded(
            maker,
            "billing_terms",
            contract_id=contract_id,
            increment_seconds=maker.random.choice([360, 900, 1800]),
            rounding=maker.random.choice(["up", "nearest", "down"]),
            rounds_per=maker.random.choice(["entry", "day"]),
            minimum_seconds=maker.random.choice([0, 900]),
        )


def _lines(maker: Maker, contract_id: uuid.UUID, project_id: uuid.UUID, currency: str) -> None:
    kind = maker.random.choices(["pairs", "all", "crossed", "none"], [70, 15, 10, 5])[0]
    pairs = {
        "pairs": [(task, category) for task in TASKS for category in CATEGORIES],
        "all": [("", ""), ("Build", "Consultant")],
        "crossed": [("Build", ""), ("", "Consultant"), ("", "Partner")],
        "none": [],
    }[kind]
    for task, category in pairs:
        if maker.often(0.06):
            continue
        change_on = date(2026, 9, 1)
        cuts = [(date(2026, 1, 1), change_on), (change_on, None)]
        for starts_on, ends_on in cuts if maker.often(0.3) else [(date(2026, 1, 1), None)]:
            line_id = maker.new_id()
            line = {
                "contract_id": contract_id,
                "task_name": task,
                "labor_category": category,
                "currency": "GBP" if maker.often(0.02) else currency,
                "starts_on": starts_on,
                "ends_on": ends_on,
            }
            maker.firm.add(
                "contract_line",
                contract_line_id=line_id,
                **line,
                rate_amount=_rate(maker),
                recorded_at=BEFORE,
            )
            if maker.often(0.1):
                # What was known before, and is not believed any more.
                maker.firm.add(
                    "contract_line",
                    contract_line_id=maker.new_id(),
                    **line,
                    rate_amount=Decimal(1),
                    recorded_at=BEFORE - timedelta(days=30),
                    superseded_at=BEFORE,
                )
            if maker.often(0.96):
                maker.link("erp", "erp_task", f"e{len(maker.firm.rows['crosswalk'])}", line_id)
            if maker.often(0.02):
                maker.link(
                    "erp",
                    "erp_task",
                    f"e{len(maker.firm.rows['crosswalk'])}",
                    line_id,
                    scope=str(project_id),
                )


def _bill_costs(maker: Maker) -> None:
    """Let some contracts bill costs, mostly with a markup on each line; let some of the merged cost something."""
    contracts = {
        row["contract_id"] for row in maker.firm.rows["contract_version"] if maker.often(0.15)
    }
    for row in maker.firm.rows["contract_version"]:
        if row["contract_id"] in contracts:
            row["billing_method"] = "cost_plus"
    for line in maker.firm.rows["contract_line"]:
        markup = maker.random.choice(
            [Decimal(0), Decimal(15), Decimal("12.5"), Decimal("7.25"), None]
        )
        line["markup_percent"] = markup if line["contract_id"] in contracts else None
    for person in maker.firm.rows["person"]:
        if person["redirect_to"] is None:
            continue
        # Of the one whom people know by two names, both records may say what they cost.
        (home,) = [
            row["entity_code"]
            for row in maker.firm.rows["employment"]
            if row["person_id"] == person["redirect_to"] and row["is_home"]
        ][:1]
        _employ(maker, person, home, is_home=True)
        maker.firm.rows["employment"][-1]["cost_rate"] = maker.random.choice(
            [Decimal(60), Decimal(61)]
        )
    for row in maker.firm.rows["employment"]:
        if row["cost_rate"] is not None and maker.often(0.5):
            row["cost_rate"] = Decimal(maker.random.randrange(4000, 9000)) / 100


def _over_cap(maker: Maker, contract_id: uuid.UUID, currency: str) -> None:
    """Say where time above the cap goes, to a line that there mostly is and that the ERP mostly knows."""
    _loaded(
        maker,
        "over_cap",
        contract_id=contract_id,
        task_name="Above",
        step_seconds=maker.random.choice([1, 60, 900]),
    )
    for category in ("", "Consultant"):
        if maker.often(0.7):
            line_id = maker.new_id()
            maker.firm.add(
                "contract_line",
                contract_line_id=line_id,
                contract_id=contract_id,
                task_name="Above",
                labor_category=category,
                currency=currency,
                starts_on=date(2026, 1, 1),
                ends_on=None,
                rate_amount=Decimal(0),
                recorded_at=BEFORE,
            )
            if maker.often(0.5):
                maker.link("erp", "erp_task", f"e{len(maker.firm.rows['crosswalk'])}", line_id)


def _tasks(maker: Maker, number: int, project_id: uuid.UUID) -> None:
    is_told = maker.often(0.93)
    for task in TASKS:
        task_id = maker.new_id()
        maker.firm.add(
            "task",
            task_id=task_id,
            project_id=project_id,
            task_name=task,
            is_billable=maker.often(0.9),
            is_leaf=maker.often(0.97),
            starts_on=date(2026, 1, 1) if maker.often(0.9) else date(2026, 8, 1),
            ends_on=date(2026, 10, 15) if maker.often(0.1) else None,
            recorded_at=BEFORE,
        )
        if is_told:
            for tool in TOOLS:
                ref = f"p{number}/{task}" if tool == "harvest" else f"{task}{number}"
                maker.link(tool, "task", ref, task_id)
            if maker.often(0.04):
                maker.link("harvest", "task", f"p{number}/twice", task_id)


def _staffed(maker: Maker, person: Row) -> list[Row]:
    """Choose projects, most of them of a company that employs the person."""
    homes = {
        row["entity_code"]
        for row in maker.firm.rows["employment"]
        if row["person_id"] == person["person_id"] and row["is_home"]
    }
    near = [row for row in maker.projects if row["entity_code"] in homes]
    chosen = [*maker.random.sample(near, min(7, len(near))), maker.random.choice(maker.projects)]
    return list({row["project_id"]: row for row in chosen}.values())


def _assignments(maker: Maker) -> None:
    for person in maker.people:
        for project in _staffed(maker, person):
            starts_on = date(2026, 1, 1) if maker.often(0.7) else date(2026, 8, 1)
            ends_on = date(2026, 10, 10) if maker.often(0.2) else None
            for first, last in [(starts_on, ends_on)] + (
                [(ends_on + timedelta(days=9), None)] if ends_on and maker.often(0.5) else []
            ):
                maker.firm.add(
                    "assignment",
                    assignment_id=maker.new_id(),
                    person_id=person["person_id"],
                    project_id=project["project_id"],
                    labor_category=maker.random.choice(CATEGORIES),
                    starts_on=first,
                    ends_on=last,
                    recorded_at=BEFORE,
                )
            if maker.often(0.15):
                _loaded(
                    maker,
                    "person_rate",
                    person_id=person["person_id"],
                    project_id=project["project_id"],
                    rate_amount=_rate(maker),
                    currency=maker.random.choice(["EUR", "EUR", "EUR", "USD", "GBP"]),
                )


# -- hours -----------------------------------------------------------------------------------------


def _day(maker: Maker) -> list[Row]:
    """Make the hours of one person on one day, in one or two tools."""
    number = maker.random.randrange(len(maker.people))
    staffed = [
        row["project_id"]
        for row in maker.firm.rows["assignment"]
        if row["person_id"] == maker.people[number]["person_id"]
    ]
    work_date = FIRST_DAY + timedelta(days=maker.random.randrange(160))
    if maker.often(0.08):
        work_date = maker.random.choice(
            [
                date(2024, 2, 29), date(2025, 2, 28), date(2026, 2, 28), date(2026, 8, 31),
                date(2026, 9, 30), date(2026, 10, 31), date(2026, 11, 3), date(2026, 11, 4),
                date(2026, 11, 5), date(2027, 1, 1), date(2026, 9, 27), date(2026, 9, 28),
            ]
        )  # fmt: skip
    made = []
    at = datetime.combine(work_date, time(7, tzinfo=UTC))
    for _ in range(maker.random.choice([1, 1, 2, 3])):
        project_id = maker.random.choice(staffed)
        project = next(n for n, row in enumerate(maker.projects) if row["project_id"] == project_id)
        hour = _hour(maker, number, project, work_date, at)
        made.append(hour)
        at += timedelta(seconds=max(hour["seconds"], 0))
        if maker.often(0.04):
            # The same work once more, perhaps in the other tool.
            tool = maker.random.choice(TOOLS)
            twin = {**hour, "entry_id": maker.new_id(), "source_ref": _ref(maker)}
            if tool != hour["connection_key"]:
                twin["task_ref"] = _task_ref(tool, project, maker.random.choice(TASKS))
            made.append({**twin, "connection_key": tool})
    return made


def _ref(maker: Maker) -> str:
    maker.refs += 1
    return str(maker.refs)


def _task_ref(tool: str, project: int, task: str) -> str:
    return task if tool == "harvest" else f"{task}{project}"


def _hour(maker: Maker, person: int, project: int, work_date: date, at: datetime) -> Row:
    tool = maker.random.choice(TOOLS)
    seconds = maker.random.choice([1800, 3600, 3601, 5400, 7200, 14400, 28800])
    ref = _ref(maker)
    row: Row = {
        "entry_id": maker.new_id(),
        "connection_key": tool,
        "source_ref": ref,
        "person_ref": f"u{person}",
        "project_ref": f"p{project}",
        "task_ref": _task_ref(tool, project, maker.random.choice(TASKS)),
        "labor_category": None,
        "work_date": work_date,
        "zone": None,
        "seconds": seconds,
        "started_at": None,
        "ended_at": None,
        "is_billable": maker.random.choices([None, True, False], [80, 15, 5])[0],
        "approval": "approved",
        "approver_ref": None,
        "created_at": datetime.combine(work_date, time(18), tzinfo=UTC),
        "narrative": f"work {ref}",
        "is_deleted": False,
        "is_excluded": False,
        "recorded_at": maker.random.choice([NOW - timedelta(hours=2), NOW - timedelta(minutes=9)]),
        "standing": None,
    }
    if maker.often(0.25):
        row |= {"started_at": at, "ended_at": at + timedelta(seconds=seconds)}
    if maker.often(0.2):
        row |= _near_midnight(maker, work_date)
    for share, changed in _oddities(maker, row):
        if maker.often(share):
            row |= changed
    return row


def _oddities(maker: Maker, row: Row) -> list[tuple[float, Mapping[str, Any]]]:
    """Return what may be odd about an hour, and how often."""
    started_at = row["started_at"]
    return [
        (0.012, {"seconds": 0}),
        (0.012, {"seconds": maker.random.choice([-3600, -1])}),
        (0.012, {"seconds": maker.random.choice([57600, 57601, 86399, 86400, 86401])}),
        (0.02, {"person_ref": maker.random.choice(["nobody", "old0", "old1", "twice0", "twice1"])}),
        (0.02, {"project_ref": maker.random.choice(["nothing", "both0", "both1", "p0", None])}),
        (0.02, {"task_ref": maker.random.choice(["none", "twice", "Build0", None])}),
        (0.05, {"labor_category": maker.random.choice(["Partner", "Clown"])}),
        (0.012, {"work_date": None}),
        (0.02, {"zone": maker.random.choice(["Mars/Olympus", ""])}),
        (0.03, {"approval": "not_approved"}),
        (0.02, {"approval": "unknown"}),
        (0.05, {"approver_ref": maker.random.choice([row["person_ref"], "boss"])}),
        (0.02, {"created_at": None}),
        (0.03, {"narrative": None}),
        (0.02, {"is_deleted": True}),
        (0.01, {"is_excluded": True}),
        (0.03, {"ended_at": started_at and started_at - timedelta(minutes=5)}),
        (0.03, {"ended_at": started_at and started_at + timedelta(hours=9)}),
        (0.01, {"ended_at": None}),
    ]


def _near_midnight(maker: Maker, work_date: date) -> Row:
    """Enter the hour at the edge of a day, or of a change of clocks, in some zone of the world."""
    zone = maker.random.choice(maker.zones)
    if maker.often(0.1):
        # Names of zones that are abbreviations of a time without summer, too.
        zone = maker.random.choice(ABBREVIATIONS)
    late = work_date + timedelta(days=maker.random.choice([0, 1, 14, 15]))
    if maker.often(0.5):
        at = datetime.combine(late, time(0), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    else:
        at = maker.random.choice(clock_changes(zone) or [datetime.combine(late, time(0), UTC)])
    return {"zone": zone, "created_at": at + timedelta(seconds=maker.random.choice([-1, 0, 1]))}


@functools.cache
def all_zones() -> tuple[str, ...]:
    """Return the names of all zones."""
    return tuple(
        sorted(name for name in available_timezones() if name not in ("localtime", "Factory"))
    )


@functools.cache
def clock_changes(zone: str) -> list[datetime]:
    """Return the instants of 2026 at which a zone's clocks move."""
    place, found = ZoneInfo(zone), []
    at = datetime(2026, 1, 1, tzinfo=UTC)
    while at.year == 2026:
        after = at + timedelta(days=1)
        if at.astimezone(place).utcoffset() != after.astimezone(place).utcoffset():
            low, high = at, after
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                middle = middle.replace(microsecond=0)
                if middle in (low, high):
                    break
                same = middle.astimezone(place).utcoffset() == low.astimezone(place).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        at = after
    return found
