"""A won deal and everybody around it: a CRM and a time tool that serve HTTP, an ERP in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg

from tests.promises.connectors.vendors import Vendor
from tests.support.outliving import Outliving
from tests.support.target import FixedClock, OpenBudgets
from tieline.canonical import Client, Command, Opportunity, OpportunityLine, Person, StaffingFact
from tieline.connectors import harvest, hubspot
from tieline.connectors.harvest.connector import MANIFEST as HARVEST
from tieline.connectors.hubspot.connector import MANIFEST as HUBSPOT
from tieline.connectors.tryton.connector import MANIFEST as TRYTON
from tieline.intake import LandingPage, land
from tieline.kernel.errors import AlreadyExists, NotExecuted, Refused
from tieline.posting import Poster
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import Again, AtOnce, Outcome, Steps
from tieline.sdk import Capabilities, RawRecord, Receipt, Stored, Strategy, Translated
from tieline.sdk import Connection as VendorConnection
from tieline.services.project_provisioning import PROVISION, Provisioning
from tieline.services.workday import Workday

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
CRM, CLOCK, BOOKS, STAFF = "sales", "clock", "books", "staff"
STARTS_ON, ENDS_ON = date(2026, 10, 5), date(2027, 4, 1)
_PATIENCE_ROUNDS = 60


@dataclass(slots=True, kw_only=True)
class Books:
    """An ERP's master data: it refuses a second key only where the real one does."""

    records: list[dict[str, Any]] = field(default_factory=list)
    # How often each noun was created, whatever became of it.
    made: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    keeps: set[str] = field(default_factory=set)
    # As what each line of a contract was sold, in the books' own words.
    sold_as: list[str] = field(default_factory=list)

    def write(self, *, command: Command) -> Receipt:
        if command.noun in self.refuses:
            raise Refused(f"the books take no {command.noun}", reason="books.refused")
        is_unique = TRYTON.write_of(command.noun).strategy is Strategy.UNIQUE_FIELD
        if is_unique and self._standing(command.business_key):
            raise AlreadyExists("the number is taken", reason="books.exists")
        self.made.append(command.noun)
        self.sold_as += [line.labor_category for line in getattr(command, "lines", ())]
        self.records.append(
            {
                "noun": command.noun,
                "key": str(command.business_key),
                "content": dict(command.content()),
                "stands": True,
            }
        )
        return Receipt(target_code=str(len(self.records)))

    def probe(self, *, command: Command) -> Sequence[Stored]:
        return [
            Stored(target_code=str(number), content=record["content"])
            for number, record in self._standing(command.business_key)
        ]

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        if noun in self.keeps:
            raise Refused(f"others rely on the {noun}", reason="books.in_use")
        self.records[int(target_code) - 1]["stands"] = False
        return "deleted"

    def standing(self) -> list[str]:
        """Return the nouns that stand, in the order in which they were made."""
        return [record["noun"] for record in self.records if record["stands"]]

    def _standing(self, key: UUID) -> list[tuple[int, dict[str, Any]]]:
        return [
            (number, record)
            for number, record in enumerate(self.records, start=1)
            if record["stands"] and record["key"] == str(key)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusing:
    """Pass on to a system, but let it refuse what a test says: by noun, or by noun and a code."""

    inner: Any
    writes: frozenset[str] = frozenset()
    undoes: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()

    def write(self, *, command: Any) -> Receipt:
        if command.noun in self.busy:
            raise NotExecuted("it is not reachable", retry_after_seconds=1)
        if {command.noun, f"{command.noun}:{_code_of(command)}"} & self.writes:
            raise Refused(f"it takes no {command.noun}", reason="vendor.refused")
        receipt: Receipt = self.inner.write(command=command)
        return receipt

    def probe(self, *, command: Command) -> Sequence[Stored]:
        found: Sequence[Stored] = self.inner.probe(command=command)
        return found

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        if noun in self.undoes:
            raise Refused(f"others rely on the {noun}", reason="vendor.in_use")
        how: str = self.inner.undo(
            noun=noun, entity_code=entity_code, target_code=target_code, business_key=business_key
        )
        return how


def _code_of(command: Any) -> str:
    return str(getattr(command, "person_code", None) or getattr(command, "code", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The three systems as this process reaches them."""

    connectors: Mapping[str, Any]

    def get(self, *, connection_key: str) -> Any:
        return self.connectors[connection_key]

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return {CRM: HUBSPOT, CLOCK: HARVEST, BOOKS: TRYTON}[connection_key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Systems:
    """Where the systems are; plain words, so that another process can be told."""

    crm_url: str
    clock_url: str
    books_path: Path
    crm_refuses: frozenset[str] = frozenset()
    clock_refuses: frozenset[str] = frozenset()
    clock_keeps: frozenset[str] = frozenset()
    clock_busy: frozenset[str] = frozenset()

    @property
    def books(self) -> Outliving:
        return Outliving(self.books_path)

    def directory(self, *, before_write: Callable[[], None] | None = None) -> Directory:
        """Return connectors: the real ones over HTTP, and the books."""
        crm = hubspot.build(
            _connection(CRM, self.crm_url, {"access_token": "token", "client_secret": "hook"}),
        )
        clock = harvest.build(
            _connection(
                CLOCK, self.clock_url, {"access_token": "token", "account_id": "17"}, before_write
            ),
        )
        return Directory(
            connectors={
                CRM: Refusing(inner=crm, writes=self.crm_refuses),
                CLOCK: Refusing(
                    inner=clock,
                    writes=self.clock_refuses,
                    undoes=self.clock_keeps,
                    busy=self.clock_busy,
                ),
                BOOKS: self.books,
            }
        )


def _connection(
    key: str,
    url: str,
    secrets: Mapping[str, str],
    before_write: Callable[[], None] | None = None,
) -> VendorConnection:
    return VendorConnection(
        connection_key=key,
        base_url=url,
        config={},
        secrets=secrets,
        allowed_hosts=frozenset({url.removeprefix("http://")}),
        timeout_seconds=10,
        before_write=before_write,
    )


# -- what was there before the deal was won ----------------------------------------------------------


def open_systems(crm: Vendor, clock: Vendor, *, folder: Path) -> Systems:
    """Fill a CRM, a time tool and books with the people around one deal."""
    systems = Systems(crm_url=crm.url, clock_url=clock.url, books_path=folder / "books")
    systems.books.put(Books())
    connector: Any = systems.directory().get(connection_key=CRM).inner
    connector.create_properties(connector.missing_properties())
    crm.do(
        "load",
        {
            "deals": [
                {"key": key, "properties": {"dealname": key, "dealstage": "closedwon"}}
                for key in ("first", "second")
            ]
        },
    )  # fmt: skip
    clock.do(
        "load",
        {"users": [{"key": name, "first_name": name, "last_name": "W", "email": f"{name}@f.example"}
                   for name in ("anna", "ben")]},
    )  # fmt: skip
    return systems


def deal_refs(crm: Vendor) -> list[str]:
    """Return the CRM's numbers of two deals."""
    return _journaled(crm, "deals")


def user_refs(clock: Vendor) -> list[str]:
    """Return the time tool's numbers of Anna and Ben."""
    return _journaled(clock, "users")


def _journaled(vendor: Vendor, table: str) -> list[str]:
    return [str(line["id"]) for line in vendor.journal() if line["table"] == table]


def found_firm(connection: psycopg.Connection[Any]) -> None:
    """Insert connections, legal entities, periods and a release as the owner."""
    for key, system, kind in (
        (CRM, "hubspot", "crm"),
        (CLOCK, "harvest", "time"),
        (BOOKS, "tryton", "erp"),
        (STAFF, "filedrop", "hr"),
    ):
        connection.execute(
            "INSERT INTO connection (connection_key, system, kind, mode, settle_seconds)"
            " VALUES (%s, %s, %s, 'act', 1)",
            (key, system, kind),
        )
    connection.execute(
        "INSERT INTO release (title, state, proposed_by, proposed_at, approved_by, approved_at, reason)"
        " VALUES ('first', 'current', 'ann', %s, 'bob', %s, 'a test')",
        (NOW, NOW),
    )
    for code, currency in (("HR-DE", "EUR"), ("HR-UK", "GBP")):
        connection.execute(
            "INSERT INTO legal_entity (entity_code, name, currency, zone, erp_connection_key, recorded_at)"
            " VALUES (%s, %s, %s, 'Europe/Berlin', %s, %s)",
            (code, code, currency, BOOKS, NOW),
        )
        connection.execute(
            "INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)"
            " VALUES (%s, '2026-10', '2026-10-01', '2026-11-01', 'open', %s)",
            (code, NOW),
        )
    connection.execute(
        "INSERT INTO stream_cursor (connection_key, stream, cursor, read_at) VALUES (%s, 'parties', '', %s)",
        (BOOKS, NOW),
    )


def land_nouns(
    database: Database,
    *,
    deal: str,
    users: Sequence[str],
    staffed: Sequence[str] = ("anna", "ben"),
    **changed: Any,
) -> None:
    """Land the deal, its company and the people, as reading all systems would."""
    land_as_read(database, CRM, "companies", {"c1": COMPANY})
    land_as_read(database, CRM, "owners", {"4001": person("Olga", "olga@f.example")})
    land_deal(database, deal=deal, **changed)
    land_as_read(
        database, BOOKS, "employees",
        {
            "77": person("Anna", "anna@f.example", employee_code="A1", entity_code="HR-DE",
                          extras={"party_code": "501"}),
            "78": person("Ben", "ben@f.example", employee_code="B1", entity_code="HR-UK",
                          extras={"party_code": "502"}),
        },
    )  # fmt: skip
    land_as_read(
        database, CLOCK, "users",
        dict(zip(users, (person("Anna", "anna@f.example"), person("Ben", "ben@f.example")), strict=True)),
    )  # fmt: skip
    land_as_read(
        database, STAFF, "staffing",
        {
            "e1": staffing_fact("employment", "anna", employee_code="A1", entity_code="HR-DE"),
            "e2": staffing_fact("employment", "ben", employee_code="B1", entity_code="HR-UK"),
            "i2": staffing_fact("intercompany", "ben", employee_code="B9", entity_code="HR-DE"),
            **{
                f"a{number}": staffing_fact(
                    "assignment", who, project_code="DP-1", labor_category="Consultant"
                )
                for number, who in enumerate(staffed, start=1)
            },
        },
    )  # fmt: skip


def land_deal(database: Database, *, deal: str, minute: int = 0, **changed: Any) -> None:
    """Land the deal as it stands in the CRM."""
    land_as_read(database, CRM, "deals", {deal: won_deal(**changed)}, minute=minute)


def lend_ben(database: Database, *, project_code: str) -> None:
    """Land an assignment of Ben, whom the other company lends, to a project."""
    staff(database, "ben", project_code=project_code)


def staff(
    database: Database,
    who: str,
    *,
    project_code: str,
    minute: int = 0,
    is_deleted: bool = False,
) -> None:
    """Land an assignment to a project, or that the list has it no more."""
    fact = staffing_fact("assignment", who, project_code=project_code, labor_category="Consultant")
    land_as_read(
        database, STAFF, "staffing", {f"a:{who}:{project_code}": fact}, minute=minute,
        is_deleted=is_deleted,
    )  # fmt: skip


COMPANY = Client(
    name="Nordwind AG",
    vat_number="DE136695976",
    street="Hafenstr. 1",
    postal_code="20457",
    city="Hamburg",
    country_code="DE",
    domain="nordwind.example",
    parent_ref=None,
    is_active=True,
)


def line(task_name: str, **changed: Any) -> OpportunityLine:
    """Make a line of a deal: a hundred hours of a consultant."""
    values: dict[str, Any] = {
        "line_ref": f"l:{task_name}",
        "task_name": task_name,
        "labor_category": "Consultant",
        "hours": Decimal(100),
        "rate_amount": Decimal(150),
        "rate_starts_on": None,
        "markup_percent": None,
        **changed,
    }
    return OpportunityLine(**values, amount=values["hours"] * values["rate_amount"])


def won_deal(**changed: Any) -> Opportunity:
    """Make a deal as it stands in the CRM."""
    values: dict[str, Any] = {
        "name": "Data platform",
        "client_ref": "c1",
        "stage": "closedwon",
        "is_won": True,
        "closed_on": STARTS_ON,
        "amount": Decimal(15000),
        "currency": "EUR",
        "owner_ref": "4001",
        "entity_code": "HR-DE",
        "practice": "data",
        "cost_center": None,
        "billing_method": "time_and_materials",
        "purchase_order": "PO-1",
        "is_purchase_order_required": True,
        "rate_card": "2026",
        "tax_treatment": "standard",
        "project_code": "DP-1",
        "cap_amount": None,
        "starts_on": STARTS_ON,
        "ends_on": ENDS_ON,
        "lines": (line("Build"),),
        **changed,
    }
    return Opportunity(**values)


def person(name: str, email: str, **more: Any) -> Person:
    """Make a person as a system tells one."""
    values: dict[str, Any] = {
        "employee_code": None,
        "entity_code": None,
        "is_active": True,
        "employed_from": None,
        "employed_to": None,
        "cost_rate": None,
        **more,
    }
    return Person(name=name, email=email, **values)


def staffing_fact(fact: str, who: str, **more: Any) -> StaffingFact:
    """Make a row of the staffing file."""
    values: dict[str, Any] = {
        "person_name": who.capitalize(),
        "employee_code": None,
        "entity_code": None,
        "project_code": None,
        "labor_category": None,
        "starts_on": STARTS_ON,
        "ends_on": ENDS_ON,
        "approver_email": None,
        "deputy_email": None,
        **more,
    }
    return StaffingFact(fact=fact, person_email=f"{who}@f.example", **values)


def land_as_read(
    database: Database,
    key: str,
    stream: str,
    nouns: Mapping[str, Any],
    *,
    minute: int = 0,
    is_deleted: bool = False,
) -> None:
    """Land nouns by their reference, as reading a stream would; a later minute is a later state."""
    records = [
        RawRecord(
            object=stream,
            source_ref=ref,
            body=repr((noun, is_deleted)).encode(),
            source_at=NOW.replace(minute=minute),
        )
        for ref, noun in nouns.items()
    ]
    land(
        database,
        page=LandingPage(
            connection_key=key,
            source_epoch=0,
            stream=stream,
            kind="poll",
            records=records,
            cursor="c",
            correlation_id="landed",
        ),
        translate=lambda record: Translated(noun=nouns[record.source_ref], is_deleted=is_deleted),
        material_key=b"key",
        now=NOW,
    )


# -- the flow ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Provisioning in one process, with the clocks of waiting turned forward."""

    database: Database
    owner: Database
    directory: Directory

    def run(self) -> None:
        """Plan, and carry out what is planned until nothing waits any more."""
        for _ in range(_PATIENCE_ROUNDS):
            self.keep_register()
            outcomes = [self.provision(subject) for subject in self._due()]
            if not any(isinstance(outcome, Again) for outcome in outcomes):
                return
            self.pass_settle_windows()
        raise AssertionError("provisioning did not come to an end")

    def keep_register(self) -> None:
        """Bring clients, people, plans and their cases in line, as the workers' job does."""
        system: Any = SimpleNamespace(
            database=self.database, clock=FixedClock(NOW), connectors=self.directory
        )
        Workday(system=system).keep_register()

    def provision(self, plan_id: str, *, steps: Steps | None = None) -> Outcome:
        """Run a plan once."""
        poster = Poster(
            database=self.database,
            connectors=self.directory,
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=FixedClock(NOW),
        )
        flow = Provisioning(database=self.database, poster=poster, clock=FixedClock(NOW))
        return flow.provision(steps or AtOnce(), plan_id)

    def pass_settle_windows(self) -> None:
        """Let every due instant pass."""
        with self.owner.transaction() as connection:
            connection.execute("UPDATE effect SET due_at = NULL WHERE due_at IS NOT NULL")

    def _due(self) -> list[str]:
        with self.owner.transaction() as connection:
            rows = connection.execute(
                "DELETE FROM work_item WHERE kind = %s RETURNING subject", (PROVISION,)
            ).fetchall()
        return [row["subject"] for row in rows]


def open_flow(
    dsns: Dsns, systems: Systems, *, before_write: Callable[[], None] | None = None
) -> Flow:
    """Open the flow in this process, with pools of its own."""
    return Flow(
        database=Database(dsns.worker, pool_max=2, application_name="test").open(),
        owner=Database(dsns.owner, pool_max=1, application_name="test-owner").open(),
        directory=systems.directory(before_write=before_write),
    )
