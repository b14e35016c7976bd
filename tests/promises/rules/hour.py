"""What can be known about one hour: plain look-ups in the rows of a firm, each asked when a rule needs it."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from tests.promises.rules.firm import NOW, Firm, Row, all_zones

Key = tuple[Any, ...]
Thing = TypeVar("Thing")
_DIGITS = {"JPY": 0}
# Which columns a table is asked by.
_ASKED_BY = {
    "crosswalk": ("connection_key", "noun", "source_ref"),
    "employment": ("person_id",),
    "assignment": ("person_id", "project_id"),
    "leave": ("person_id",),
    "contract_line": ("contract_id",),
    "person_rate": ("person_id", "project_id"),
    "client_rate": ("client_id",),
    "rate_bound": ("client_id",),
    "billing_terms": ("contract_id",),
    "over_cap": ("contract_id",),
    "fiscal_period": ("entity_code",),
    "connection_go_live": ("connection_key",),
    "fx_rate": ("from_currency", "to_currency"),
    "intercompany_agreement": ("home_entity_code", "project_entity_code"),
    "person": ("person_id",),
    "project": ("project_id",),
    "project_version": ("project_id",),
    "contract": ("contract_id",),
    "contract_version": ("contract_id",),
    "client": ("client_id",),
    "client_version": ("client_id",),
    "task": ("task_id",),
    "legal_entity": ("entity_code",),
}


class Books:
    """Everything of a firm, findable, and its hours by day, by twin and by contract."""

    def __init__(self, firm: Firm, *, values: dict[str, int]) -> None:
        self.values = values
        self.tables: dict[str, dict[Key, list[Row]]] = {}
        for table, columns in _ASKED_BY.items():
            found = self.tables.setdefault(table, defaultdict(list))
            for row in firm.rows.get(table, ()):
                if row.get("superseded_at") is None:
                    found[tuple(row[name] for name in columns)].append(row)
        self.erp_records: dict[Key, list[Row]] = defaultdict(list)
        for row in firm.rows["crosswalk"]:
            key = (row["connection_key"], row["noun"], row["our_id"])
            self.erp_records[key].append(row)
        self.aliases: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
        for row in firm.rows["person"]:
            self.aliases[row["redirect_to"] or row["person_id"]].append(row["person_id"])
        self.told_tasks: set[Key] = {
            (row["connection_key"], self.one("task", row["our_id"])["project_id"])
            for row in firm.rows["crosswalk"]
            if row["noun"] == "task"
        }
        self.hours = {entry_id: Hour(row, self) for entry_id, row in firm.hours.items()}
        self.days = _grouped(self.hours.values(), lambda hour: (hour.person_word, hour.work_date))
        self.twins = _grouped(self.hours.values(), lambda hour: hour.content)
        self.waiting: dict[Any, list[Hour]] = defaultdict(list)
        for hour in self.hours.values():
            if hour.counts and not hour.stands_as_told:
                self.waiting[hour.contract_id].append(hour)
        self.standing: dict[Any, Decimal] = defaultdict(Decimal)
        for hour in self.hours.values():
            if hour.standing:
                self.standing[hour.standing["contract_id"]] += hour.standing["amount"] or 0
        self._before: dict[uuid.UUID, dict[Hour, Decimal]] = {}

    def find(self, table: str, *key: Any, on: date | None = None) -> list[Row]:
        """Return what is known under a key, on a day where one is given."""
        rows = self.tables[table].get(key, [])
        return rows if on is None else [row for row in rows if _covers(row, on)]

    def one(self, table: str, *key: Any) -> Row:
        """Return the row that a foreign key promises."""
        (row,) = self.tables[table][key]
        return row

    def before(self, hour: Hour) -> Decimal:
        """Return what the hours of a contract come to that are asked before this one."""
        assert hour.contract_id is not None
        if hour.contract_id not in self._before:
            sums, total = {}, Decimal(0)
            for one in sorted(self.waiting[hour.contract_id], key=_order_of_a_cap):
                sums[one] = total
                # What changed takes what it comes to more than what stands of it there.
                more = (one.amount or Decimal(0)) - one.standing_here
                total += max(more, Decimal(0)) if one.standing else more
            self._before[hour.contract_id] = sums
        return self._before[hour.contract_id].get(hour, Decimal(0))

    def links(self, connection: str, noun: str, ref: str, on: date) -> set[uuid.UUID]:
        """Return what of ours a foreign word means on a day."""
        return {row["our_id"] for row in self.find("crosswalk", connection, noun, ref, on=on)}


def _grouped(hours: Iterable[Hour], key: Callable[[Hour], Any]) -> dict[Any, list[Hour]]:
    """Put hours that count together; a day nobody knows has no company."""
    groups: dict[Any, list[Hour]] = defaultdict(list)
    for hour in hours:
        if hour.counts and hour.work_date is not None:
            groups[key(hour)].append(hour)
    return groups


def _covers(row: Row, on: date) -> bool:
    ends_on = row.get("ends_on")
    return bool(row["starts_on"] <= on and (ends_on is None or on < ends_on))


def only(found: Iterable[Thing]) -> Thing | None:
    """Return the one thing there is; two are none."""
    listed = list(found)
    return listed[0] if len(listed) == 1 else None


class Hour:
    """One hour among the others."""

    def __init__(self, row: Row, books: Books) -> None:
        self.row = row
        self.books = books
        self.work_date: date | None = row["work_date"]
        self.seconds: int = row["seconds"]
        self.standing: Row | None = row["standing"]

    # -- whose, and on what ------------------------------------------------------------------------

    @cached_property
    def on(self) -> date:
        """The day on which everything is looked up."""
        return self.work_date or NOW.date()

    @cached_property
    def people(self) -> set[uuid.UUID]:
        named = self.books.links(
            self.row["connection_key"], "person", self.row["person_ref"], self.on
        )
        return {self.books.one("person", one)["redirect_to"] or one for one in named}

    @cached_property
    def person_id(self) -> uuid.UUID | None:
        return only(self.people)

    @cached_property
    def person_word(self) -> str:
        return str(self.person_id or f"{self.row['connection_key']}:{self.row['person_ref']}")

    @cached_property
    def projects(self) -> set[uuid.UUID]:
        ref = self.row["project_ref"] or ""
        return self.books.links(self.row["connection_key"], "project", ref, self.on)

    @cached_property
    def project_id(self) -> uuid.UUID | None:
        return only(self.projects)

    def _one(self, table: str, key: uuid.UUID | None) -> Row | None:
        return None if key is None else self.books.one(table, key)

    @cached_property
    def project(self) -> Row | None:
        return self._one("project", self.project_id)

    @cached_property
    def project_now(self) -> Row | None:
        return self._one("project_version", self.project_id)

    @cached_property
    def is_active(self) -> bool:
        return self.project_now is not None and self.project_now["status"] == "active"

    @cached_property
    def entity_code(self) -> str | None:
        return self.project["entity_code"] if self.project else None

    @cached_property
    def contract_id(self) -> uuid.UUID | None:
        return self.project["contract_id"] if self.project else None

    @cached_property
    def contract(self) -> Row | None:
        return self._one("contract_version", self.contract_id)

    @cached_property
    def client_id(self) -> uuid.UUID | None:
        contract = self._one("contract", self.contract_id)
        return contract["client_id"] if contract else None

    @cached_property
    def client(self) -> Row | None:
        return self._one("client_version", self.client_id)

    @cached_property
    def tasks(self) -> set[uuid.UUID]:
        """Ours under the source's word; what is said of this project's task beats the bare word."""
        if self.row["task_ref"] is None:
            return set()
        tool, word = self.row["connection_key"], self.row["task_ref"]
        of_both = f"{self.row['project_ref'] or ''}/{word}"
        return self.books.links(tool, "task", of_both, self.on) or self.books.links(
            tool, "task", word, self.on
        )

    @cached_property
    def any_task(self) -> Row | None:
        return self._one("task", only(self.tasks))

    @cached_property
    def task(self) -> Row | None:
        """The task, where it is one of this project."""
        task = self.any_task
        return task if task and task["project_id"] == self.project_id else None

    @cached_property
    def is_project_told_of(self) -> bool:
        """Whether the source was told of any task of the project."""
        return (self.row["connection_key"], self.project_id) in self.books.told_tasks

    # -- staff -------------------------------------------------------------------------------------

    def _of_person(self, table: str, *more: Any, on: date | None = None) -> list[Row]:
        if self.person_id is None:
            return []
        names = self.books.aliases[self.person_id]
        return [row for name in names for row in self.books.find(table, name, *more, on=on)]

    @cached_property
    def employments(self) -> list[Row]:
        return self._of_person("employment", on=self.on)

    @cached_property
    def homes(self) -> set[str]:
        return {row["entity_code"] for row in self.employments if row["is_home"]}

    @cached_property
    def home(self) -> str | None:
        return only(self.homes)

    @cached_property
    def cost_rate(self) -> Decimal | None:
        """What is known of the first company that employs them; of two records the lower one."""
        homes = [row for row in self.employments if row["is_home"]]
        first = min((row["entity_code"] for row in homes), default=None)
        told = {row["cost_rate"] for row in homes if row["entity_code"] == first} - {None}
        return min(told, default=None)

    @cached_property
    def has_employee_record(self) -> bool:
        return any(row["entity_code"] == self.entity_code for row in self.employments)

    @cached_property
    def is_agreed(self) -> bool:
        return bool(
            self.books.find("intercompany_agreement", self.home, self.entity_code, on=self.on)
        )

    @cached_property
    def assignments(self) -> list[Row]:
        return [] if self.project_id is None else self._of_person("assignment", self.project_id)

    @cached_property
    def is_covered(self) -> bool:
        return any(_covers(row, self.on) for row in self.assignments)

    @cached_property
    def assigned_category(self) -> str | None:
        """The category of the assignment of the day, else of the last before it, else of the next."""
        begun = [row for row in self.assignments if row["starts_on"] <= self.on]
        nearest = (
            [row for row in self.assignments if _covers(row, self.on)]
            or sorted(begun, key=lambda row: row["starts_on"])[-1:]
            or sorted(self.assignments, key=lambda row: row["starts_on"])[:1]
        )
        return nearest[0]["labor_category"] if nearest else None

    @cached_property
    def labor_category(self) -> str | None:
        """What the hour says, else the assignment."""
        said = self.row["labor_category"]
        return self.assigned_category if said is None else str(said)

    @cached_property
    def is_on_leave(self) -> bool:
        return bool(self._of_person("leave", on=self.on))

    # -- money -------------------------------------------------------------------------------------

    @cached_property
    def is_billable(self) -> bool | None:
        said = self.row["is_billable"]
        if said is None and self.any_task:
            said = self.any_task["is_billable"]
        return bool(said) if said is not None else None

    @cached_property
    def lines(self) -> list[Row]:
        """What the contract pays on that day, for whatever task."""
        return self.books.find("contract_line", self.contract_id, on=self.on)

    @cached_property
    def is_any_task_priced(self) -> bool:
        return any(row["task_name"] == "" for row in self.lines)

    @cached_property
    def is_any_category_priced(self) -> bool:
        return any(row["labor_category"] == "" for row in self.lines)

    @cached_property
    def best_lines(self) -> list[Row]:
        """The lines that name most of what was worked."""
        task = self.task["task_name"] if self.task else ""
        category = self.labor_category or ""
        fit: dict[int, list[Row]] = defaultdict(list)
        for row in self.lines:
            if row["task_name"] in (task, "") and row["labor_category"] in (category, ""):
                wide = (row["task_name"] != task) + (row["labor_category"] != category)
                fit[wide].append(row)
        return fit[min(fit)] if fit else []

    @cached_property
    def assigned_line(self) -> Row | None:
        """The line of the role in which the person is assigned, where the hour names another."""
        named = self.row["labor_category"]
        if named is None or self.assigned_category in (None, named):
            return None
        for task in (self.task["task_name"] if self.task else "", ""):
            for row in self.lines:
                if (row["task_name"], row["labor_category"]) == (task, self.assigned_category):
                    return row
        return None

    @cached_property
    def rates(self) -> list[Row]:
        """The prices of the first step that has any: person on project, role on contract, client's card."""
        if self.contract is None:
            return []
        if self.bills_costs:
            return self.best_lines
        own = self._of_person("person_rate", self.project_id, on=self.on)
        return own or self.best_lines or self._card

    @cached_property
    def _card(self) -> list[Row]:
        assert self.contract is not None
        wanted = self.labor_category or ""
        ranked: dict[Key, list[Row]] = defaultdict(list)
        for row in self.books.find("client_rate", self.client_id, on=self.on):
            if row["labor_category"] in (wanted, ""):
                rank = (
                    row["card_code"] != self.contract["rate_card"],
                    row["labor_category"] != wanted,
                    row["currency"] != self.contract["currency"],
                )
                ranked[rank].append(row)
        return ranked[min(ranked)] if ranked else []

    @cached_property
    def rate(self) -> Row | None:
        return only(self.rates)

    @cached_property
    def bills_costs(self) -> bool:
        """Whether the line says by how much the price is more than the cost, and no price."""
        return self.contract is not None and self.contract["billing_method"] == "cost_plus"

    @cached_property
    def markup_percent(self) -> Decimal | None:
        return self.rate["markup_percent"] if self.rate else None

    @cached_property
    def cost_rates(self) -> set[Decimal]:
        """What the person costs at the company that employs them."""
        if self.home is None:
            return set()
        homes = [row for row in self._of_person("employment", on=self.on) if row["is_home"]]
        return {row["cost_rate"] for row in homes} - {None}

    @cached_property
    def is_line_rate(self) -> bool:
        return self.rate is not None and "contract_line_id" in self.rate

    @cached_property
    def is_exchange_missing(self) -> bool:
        return self._is_foreign and not self._exchange

    @cached_property
    def _is_foreign(self) -> bool:
        """A card may be in any currency, and a company is in its own; a line of the contract is what it says."""
        if (
            self.rate is None
            or self.contract is None
            or (self.is_line_rate and not self.bills_costs)
        ):
            return False
        return self.told_currency not in (None, self.contract["currency"])

    @cached_property
    def told_currency(self) -> str | None:
        """In which currency the rate was told, where one was."""
        assert self.rate is not None
        if not self.bills_costs:
            return str(self.rate["currency"])
        is_told = self.home is not None and self.cost_rates
        return str(self.books.one("legal_entity", self.home)["currency"]) if is_told else None

    @cached_property
    def _exchange(self) -> list[Row]:
        assert self.rate is not None
        assert self.contract is not None
        pair = (self.told_currency, self.contract["currency"])
        return self.books.find("fx_rate", *pair, on=self.on)

    @cached_property
    def rate_amount(self) -> Decimal | None:
        told = self._told_amount
        if told is None or not self._is_foreign:
            return told
        exchange = only(self._exchange)
        return told * exchange["factor"] if exchange else None

    @cached_property
    def _told_amount(self) -> Decimal | None:
        if self.rate is None:
            return None
        if not self.bills_costs:
            return Decimal(self.rate["rate_amount"])
        if len(self.cost_rates) != 1 or self.markup_percent is None:
            return None
        (cost_rate,) = self.cost_rates
        return cost_rate * (100 + self.markup_percent) / 100

    @cached_property
    def currency(self) -> str | None:
        if self.rate is None or self.contract is None:
            return None
        is_said_here = self.is_line_rate and not self.bills_costs
        return str(self.rate["currency"] if is_said_here else self.contract["currency"])

    @cached_property
    def terms(self) -> Row | None:
        return only(self.books.find("billing_terms", self.contract_id, on=self.on))

    @cached_property
    def billed_seconds(self) -> int:
        terms = self.terms
        if terms is None:
            return self.seconds
        if terms["rounds_per"] == "entry":
            return _billed(self.seconds, terms)
        if not self.counts or self.work_date is None:
            return self.seconds
        kept = [hour for hour in self.same_task if hour.stands_as_told]
        changed = sorted((hour for hour in self.same_task if hour not in kept), key=_by_source)
        owed = _billed(sum(hour.seconds for hour in kept), terms) - sum(map(_booked, kept))
        if self in kept:
            # Only where nobody else takes it up.
            is_last = self is max(kept, key=_by_source)
            return _booked(self) + (owed if is_last and not changed else 0)
        before = sum(hour.seconds for hour in [*kept, *changed[: changed.index(self)]])
        adds = _billed(before + self.seconds, terms) - _billed(before, terms)
        return adds + (owed if self is changed[0] else 0)

    @cached_property
    def same_task(self) -> list[Hour]:
        """The hours of the person on this task on that day."""
        return [hour for hour in self.day if hour.work_word == self.work_word]

    @cached_property
    def amount(self) -> Decimal | None:
        if not self.is_billable or self.rate_amount is None or self.currency is None:
            return None
        exact = self.billed_seconds * self.rate_amount / 3600
        digits = Decimal(1).scaleb(-_DIGITS.get(self.currency, 2))
        return exact.quantize(digits, rounding=ROUND_HALF_UP)

    @cached_property
    def bound(self) -> Row | None:
        """What the client agreed to, for the category before what holds for every one."""
        if self.contract is None:
            return None
        wanted = self.labor_category or ""
        rows = [
            row
            for row in self.books.find("rate_bound", self.client_id, on=self.on)
            if row["currency"] == self.contract["currency"]
        ]
        for category in (wanted, ""):
            for row in rows:
                if row["labor_category"] == category:
                    return row
        return None

    @cached_property
    def cap_amount(self) -> Decimal | None:
        return self.contract["cap_amount"] if self.contract else None

    @cached_property
    def cap_used(self) -> Decimal:
        """What stands of the contract without this hour, and the hours that come before it."""
        return self.books.standing[self.contract_id] - self.standing_here + self.books.before(self)

    @cached_property
    def standing_here(self) -> Decimal:
        """What stands of it in the contract that it belongs to now."""
        if self.standing is None or self.standing["contract_id"] != self.contract_id:
            return Decimal(0)
        return self.standing["amount"] or Decimal(0)

    @cached_property
    def over_cap(self) -> Row | None:
        """What the contract says of time above its cap."""
        return only(self.books.find("over_cap", self.contract_id, on=self.on))

    @cached_property
    def capped_line(self) -> Row | None:
        """The line that takes it: that of the category before that of every one."""
        for category in (self.labor_category or "", ""):
            for row in self.lines:
                named = self.over_cap and (self.over_cap["task_name"], category, 0)
                if (row["task_name"], row["labor_category"], row["rate_amount"]) == named:
                    return row
        return None

    @cached_property
    def capped_seconds(self) -> int | None:
        """How much is not billed: all but the whole steps for which there is room under the cap."""
        if self.cap_amount is None or self.capped_line is None or not self.amount:
            return None
        # What takes back lowers what is used of a cap: there is nothing to split.
        if self.amount < 0 or self.billed_seconds != self.seconds or not self.counts:
            return None
        room = self.cap_amount - self.cap_used
        if room >= self.amount:
            return None
        assert self.rate_amount is not None
        assert self.over_cap is not None
        fits = min(self.seconds, max(0, int(room * 3600 // self.rate_amount)))
        return self.seconds - fits // self.over_cap["step_seconds"] * self.over_cap["step_seconds"]

    @cached_property
    def capped_tasks(self) -> int:
        assert self.capped_line is not None
        line_id = self.capped_line["contract_line_id"]
        return self.erp_records("erp_task", line_id, "", str(self.project_id))

    # -- time --------------------------------------------------------------------------------------

    @cached_property
    def zone(self) -> ZoneInfo:
        """Where the work was done: as the source says, else where the company is."""
        if self.row["zone"] in all_zones():
            return ZoneInfo(self.row["zone"])
        if self.entity_code is None:
            return ZoneInfo("UTC")
        return ZoneInfo(self.books.one("legal_entity", self.entity_code)["zone"])

    @cached_property
    def today(self) -> date:
        return NOW.astimezone(self.zone).date()

    @cached_property
    def created_on(self) -> date | None:
        created_at: datetime | None = self.row["created_at"]
        return created_at and created_at.astimezone(self.zone).date()

    @cached_property
    def period(self) -> Row | None:
        if self.work_date is None or self.entity_code is None:
            return None
        return only(self.books.find("fiscal_period", self.entity_code, on=self.work_date))

    # -- the hour among others ---------------------------------------------------------------------

    @cached_property
    def is_before_go_live(self) -> bool:
        if self.work_date is None:
            return False
        rows = self.books.find("connection_go_live", self.row["connection_key"])
        days = [
            row["go_live_on"]
            for row in rows
            if self.entity_code is None or row["entity_code"] == self.entity_code
        ]
        return bool(days) and self.work_date < min(days)

    @cached_property
    def counts(self) -> bool:
        """Whether it is to be posted at all."""
        return not (
            self.row["is_deleted"]
            or self.row["is_excluded"]
            or self.row["approval"] == "not_approved"
            or self.is_before_go_live
        )

    @cached_property
    def work_word(self) -> Key:
        tool = self.row["connection_key"]
        return (
            self.project_id or f"{tool}:{self.row['project_ref'] or ''}",
            self.any_task["task_id"] if self.any_task else f"{tool}:{self.row['task_ref'] or ''}",
        )

    @cached_property
    def content(self) -> Key:
        """What two hours that tell the same work have in common."""
        whose = (self.person_word, self.work_date)
        return (*whose, self.work_word, self.seconds, self.row["narrative"])

    @cached_property
    def day(self) -> list[Hour]:
        return self.books.days[(self.person_word, self.work_date)]

    @cached_property
    def same(self) -> list[Hour]:
        return self.books.twins[self.content]

    @cached_property
    def is_first_of_its_kind(self) -> bool:
        return min(self.same, key=_order_of_twins) is self

    def overlaps(self, other: Hour) -> bool:
        times = (
            self.row["started_at"], self.row["ended_at"],
            other.row["started_at"], other.row["ended_at"],
        )  # fmt: skip
        if any(at is None for at in times):
            return False
        return bool(times[2] < times[1] and times[0] < times[3])

    # -- what stands -------------------------------------------------------------------------------

    @cached_property
    def posted_as(self) -> Key:
        """What a posted line says; a change of any of it is a change of the line."""
        # The price follows from these as long as nobody changes a rate.
        return (
            self.entity_code, self.person_id, self.project_id, self.task and self.task["task_id"],
            self.labor_category, self.work_date, self.seconds, self.is_billable,
        )  # fmt: skip

    @cached_property
    def stands_as_told(self) -> bool:
        return (
            self.standing is not None
            and self.counts
            and self.standing["posted_as"] == self.posted_as
        )

    @cached_property
    def is_posted_unchanged(self) -> bool:
        """Whether it stands as it is told, and what it is billed by the day is what it was booked with."""
        is_by_day = self.terms is not None and self.terms["rounds_per"] == "day"
        is_dated = self.work_date is not None
        is_off = (
            self.stands_as_told and is_by_day and is_dated and self.billed_seconds != _booked(self)
        )
        return self.stands_as_told and not is_off

    @cached_property
    def is_leaving(self) -> bool:
        return self.standing is not None and not self.counts

    def erp_records(self, noun: str, our_id: uuid.UUID | None, *scopes: str) -> int:
        """Return how many records the ERP has of a thing of ours."""
        rows = self.books.erp_records.get(("erp", noun, our_id), ())
        return len({row["source_ref"] for row in rows if row["scope"] in scopes})

    @cached_property
    def erp_employees(self) -> int:
        return self.erp_records("employee", self.person_id, self.entity_code or "?")

    @cached_property
    def erp_tasks(self) -> int:
        line = only(self.best_lines)
        if line is None:
            return 0
        return self.erp_records("erp_task", line["contract_line_id"], "", str(self.project_id))


def _billed(seconds: int, terms: Row) -> int:
    """Round worked time up, down or to the nearest step, and to the least that is billed."""
    if seconds <= 0:
        return seconds
    step = terms["increment_seconds"]
    whole, rest = divmod(seconds, step)
    match terms["rounding"]:
        case "up":
            steps = whole + (rest > 0)
        case "nearest":
            steps = whole + (2 * rest >= step)
        case _:
            steps = whole
    return int(max(terms["minimum_seconds"], steps * step))


def _by_source(hour: Hour) -> Key:
    return hour.row["connection_key"], hour.row["source_ref"], hour.row["entry_id"]


def _booked(hour: Hour) -> int:
    """Return the seconds with which it was billed when it was posted."""
    assert hour.standing is not None
    return int(hour.standing["billed_seconds"])


def _order_of_a_cap(hour: Hour) -> Key:
    """What comes to no more than stands of it comes first, what nobody dated last."""
    takes_more = hour.standing is None or (hour.amount or Decimal(0)) > hour.standing_here
    return (
        takes_more, hour.work_date or date.max, hour.row["connection_key"], hour.row["source_ref"]
    )  # fmt: skip


def _order_of_twins(hour: Hour) -> Key:
    """What stands first, then the older; what nobody dated is the youngest."""
    never = datetime.max.replace(tzinfo=UTC)
    ref = hour.row["source_ref"]
    return (
        hour.standing is None, hour.row["created_at"] or never, len(ref), ref,
        hour.row["connection_key"],
    )  # fmt: skip
