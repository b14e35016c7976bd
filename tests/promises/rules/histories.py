"""A firm's history, drawn from a seed: hours, references and what became of what was sent change, one after the other."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString

from psycopg import Connection, sql

from tests.promises.rules.comparing import invoice, load_firm, load_hours
from tests.promises.rules.firm import BEFORE, NOW, Maker, Row, make_firm, make_hours
from tests.support.scene import approve_shipped_rules
from tests.support.target import FixedClock
from tieline.ledger import plan
from tieline.policy import Override
from tieline.runtime.database import Database
from tieline.services.installation import PeriodSetup, add_period
from tieline.validation import judge, mark_rejudge, next_marked

Told = tuple[Any, ...]
Owner = Connection[dict[str, Any]]


@dataclass(slots=True)
class History:
    """One firm whose hours are judged as they change; ``at`` is the instant of its newest step."""

    maker: Maker
    owner: Database
    worker: Database
    at: datetime = NOW
    newest: int = 1

    def begin(self, *, hours: int) -> None:
        make_hours(self.maker, hours)
        load_firm(self.owner, self.maker.firm)
        with self.owner.transaction() as connection:
            _limit(self.maker, connection)
        self.judge(load_hours(self.owner, self.maker.firm.hours.values()))
        self.serve()

    def judge(self, batch_id: int) -> None:
        with self.worker.transaction() as connection:
            mark_rejudge(connection, batch_id=batch_id, correlation_id="c", now=self.at)
        with self.worker.transaction() as connection:
            judged = judge(
                connection, clock=FixedClock(self.at), correlation_id="c", batch_id=batch_id
            )
            plan(connection, entry_ids=judged.entry_ids, now=self.at)

    def serve(self) -> None:
        """Judge whatever waits for a new look."""
        while True:
            with self.worker.transaction() as connection:
                keys = next_marked(connection, now=self.at, limit=500)
                if not keys:
                    return
                judged = judge(
                    connection,
                    clock=FixedClock(self.at),
                    correlation_id="c",
                    neighbor_keys=keys,
                )
                plan(connection, entry_ids=judged.entry_ids, now=self.at)

    def told(self) -> dict[uuid.UUID, Told]:
        """Return what stands for every hour; of what stands in the target as its verdict asks, only that."""
        with self.worker.transaction() as connection:
            return _told(connection)

    def told_anew(self) -> dict[uuid.UUID, Told]:
        """Return what would be told if every hour were judged at once, now."""
        with self.worker.transaction() as connection, connection.transaction(force_rollback=True):
            rows = connection.execute("SELECT entry_id FROM time_entry").fetchall()
            keys = [f"entry:{row['entry_id']}" for row in rows]
            judge(connection, clock=FixedClock(self.at), correlation_id="c", neighbor_keys=keys)
            return _told(connection)


def every_cause(seed: int) -> list[str]:
    """Return everything that may happen once, in some order; hours are sent before each."""
    names = [name for name in CAUSES if name != "send"]
    random.Random(seed).shuffle(names)
    return [name for each in names for name in ("send", each)]


def some_causes(seed: int, *, steps: int) -> list[str]:
    """Return what happens in so many steps."""
    return random.Random(seed).choices(
        list(CAUSES), [_WEIGHTS.get(name, 1) for name in CAUSES], k=steps
    )


def follow(
    owner: Database, worker: Database, *, seed: int, hours: int, causes: Sequence[str]
) -> Counter[str]:
    """Let a firm live through what happens, one after the other; return how often each did.

    :raises AssertionError: after a step something stands that a judgement of everything would decide otherwise.
    """
    history = History(make_firm(seed, people=10, projects=10), owner, worker)
    history.begin(hours=hours)
    done: Counter[str] = Counter()
    for step, name in enumerate(causes):
        history.at += timedelta(minutes=1)
        CAUSES[name](history)
        history.serve()
        # What is sent leaves nothing that the next step would not show.
        if name != "send":
            _must_agree(history, f"seed {seed}, step {step}, {name}")
        done[name] += 1
    return done


def _must_agree(history: History, where: str) -> None:
    served, anew = history.told(), history.told_anew()
    for entry_id, told in anew.items():
        # Whatever a rule says of what stands unchanged, it stands; only what would be corrected must be.
        if served[entry_id] == ("stands",) and told[0] != "correct":
            continue
        assert served[entry_id] == told, (
            f"{where}: {history.maker.firm.hours[entry_id]} is {served[entry_id]}, and would be {told}"
        )


def _told(connection: Owner) -> dict[uuid.UUID, Told]:
    rows = connection.execute(
        """
        SELECT t.entry_id, v.outcome, v.amount, v.billed_seconds, v.capped_seconds, v.posting_hash,
               s.posting_hash AS standing_hash,
               ARRAY(SELECT r.code || '=' || r.severity FROM verdict_reason r WHERE r.verdict_id = v.verdict_id
                     ORDER BY 1) AS reasons
        FROM time_entry t
        JOIN verdict v USING (verdict_id)
        LEFT JOIN LATERAL (SELECT s.posting_hash FROM standing_effect s WHERE s.entry_id = t.entry_id LIMIT 1) s ON true
        """
    ).fetchall()
    return {
        row["entry_id"]: ("stands",)
        if row["standing_hash"] is not None and row["standing_hash"] == row["posting_hash"]
        else (
            row["outcome"],
            row["amount"],
            row["billed_seconds"],
            row["capped_seconds"],
            tuple(row["reasons"]),
        )
        for row in rows
    }


def _limit(maker: Maker, connection: Owner) -> None:
    """Tell limits, orders and who may approve: what is scarce, and what is asked of other people than who worked."""
    for number, contract in enumerate(maker.firm.rows["contract_version"]):
        if maker.often(0.4):
            _insert(connection, "spending_limit", _limit_row(maker, number, contract))
        if maker.often(0.2):
            _insert(
                connection,
                "purchase_order",
                _loaded(
                    maker,
                    contract_id=contract["contract_id"],
                    order_number=f"PO-{number}",
                    task_name="",
                    amount=Decimal(maker.random.randrange(500, 9000)),
                    currency=contract["currency"],
                ),
            )
    if maker.often(0.5):
        for person in maker.people[:3]:
            for entity in ("DE", "US"):
                _insert(
                    connection,
                    "approval_authority",
                    _loaded(maker, person_id=person["person_id"], entity_code=entity),
                )
    connection.execute("DELETE FROM rejudge")


def _limit_row(maker: Maker, number: int, contract: Row) -> Row:
    row = next(
        r for r in maker.firm.rows["contract"] if r["contract_id"] == contract["contract_id"]
    )
    is_of_client = maker.often(0.3)
    is_money = maker.often(0.6)
    return _loaded(
        maker,
        kind=maker.random.choice(["cap", "cap", "funding", "budget", "retainer"]),
        contract_id=None if is_of_client else row["contract_id"],
        client_id=row["client_id"] if is_of_client else None,
        task_name=maker.random.choice(["", "", "Build"]),
        code=f"L{number}",
        amount=Decimal(maker.random.randrange(500, 9000)) if is_money else None,
        currency=contract["currency"] if is_money else None,
        seconds=None if is_money else maker.random.randrange(10, 60) * 3600,
    )


def _loaded(maker: Maker, **row: Any) -> Row:
    return {
        "starts_on": date(2026, 1, 1),
        "recorded_at": BEFORE,
        "load_id": maker.firm.rows["reference_load"][0]["load_id"],
        "line_number": 1,
        **row,
    }


def _insert(connection: Owner, table: str, row: Mapping[str, Any]) -> None:
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        ),
        list(row.values()),
    )


# -- what happens ----------------------------------------------------------------------------------


def change_hours(history: History) -> None:
    """Let sources tell some hours anew."""
    maker = history.maker
    rows = maker.random.sample(list(maker.firm.hours.values()), 6)
    for row in rows:
        match maker.random.choice(
            ["longer", "shorter", "delete", "move", "day", "person", "approval", "text"]
        ):
            case "longer":
                row["seconds"] += 1800
            case "shorter":
                row["seconds"] = max(900, row["seconds"] // 2)
            case "delete":
                row["is_deleted"] = not row["is_deleted"]
            case "move":
                row["project_ref"] = f"p{maker.random.randrange(len(maker.projects))}"
            case "day":
                row["work_date"] = row["work_date"] and row["work_date"] + timedelta(days=1)
            case "person":
                row["person_ref"] = f"u{maker.random.randrange(len(maker.people))}"
            case "approval":
                row["approval"] = (
                    "approved" if row["approval"] == "not_approved" else "not_approved"
                )
            case _:
                row["narrative"] = f"other words {history.newest}"
    history.newest += 1
    history.judge(load_hours(history.owner, rows, version=history.newest))


def send(history: History) -> None:
    """Plan, and let some of it be sent: it stands, is refused, is lost, or was never there."""
    maker = history.maker
    with history.worker.transaction() as connection:
        plan(connection, entry_ids=None, now=history.at)
        rows = connection.execute(
            "SELECT e.business_key, e.entry_id, e.kind FROM effect e JOIN time_entry t USING (entry_id)"
            " WHERE e.state IN ('PLANNED', 'ABSENT') AND t.verdict_id = e.verdict_id"
            " ORDER BY e.source_ref, e.connection_key, e.part, e.effect_no"
        ).fetchall()
        chosen = {
            entry_id for entry_id in dict.fromkeys(r["entry_id"] for r in rows) if maker.often(0.5)
        }
        by_end: dict[tuple[str, ...], list[uuid.UUID]] = {}
        ends = {
            entry_id: maker.random.choices(_ENDS, [70, 6, 8, 8, 8])[0]
            for entry_id in sorted(chosen, key=str)
        }
        for row in rows:
            if row["entry_id"] in chosen:
                end = ("CONFIRMED",) if row["kind"] == "void" else ends[row["entry_id"]]
                by_end.setdefault(end, []).append(row["business_key"])
        for end, keys in by_end.items():
            for state in ("INTENT", *end):
                _move(connection, keys, state)


_ENDS: Sequence[tuple[str, ...]] = (
    ("CONFIRMED",),
    ("UNKNOWN",),
    ("REJECTED",),
    ("PLANNED",),
    ("UNKNOWN", "PROBING", "ABSENT"),
)


def _move(connection: Owner, keys: list[uuid.UUID], state: str) -> None:
    connection.execute(
        "UPDATE effect SET state = %s, payload_hash = 'x', target_code = business_key::text"
        " WHERE business_key = ANY (%s)",
        (state, keys),
    )


def find_out(history: History) -> None:
    """Learn what became of what was lost, and send again what was refused."""
    maker = history.maker
    with history.worker.transaction() as connection:
        rows = connection.execute(
            "SELECT business_key, state FROM effect WHERE state IN ('UNKNOWN', 'REJECTED') ORDER BY business_key"
        ).fetchall()
        for row in rows:
            ways = [("PLANNED",)] if row["state"] == "REJECTED" else [
                ("PROBING", "CONFIRMED"), ("PROBING", "ABSENT"), ("PROBING", "CONFLICT")]  # fmt: skip
            for state in maker.random.choice(ways):
                _move(connection, [row["business_key"]], state)


def put_on_an_invoice(history: History) -> None:
    """Put some of what stands on an invoice, also what is about to be taken back."""
    with history.owner.transaction() as connection:
        rows = connection.execute(
            "SELECT business_key FROM standing_effect s WHERE s.state = 'CONFIRMED' AND NOT EXISTS ("
            " SELECT FROM invoice_ledger_line i WHERE i.business_key = s.business_key) ORDER BY 1"
        ).fetchall()
        keys = [row["business_key"] for row in rows if history.maker.often(0.15)]
        invoice(connection, keys, at=history.at)


def leave_out(history: History) -> None:
    """Leave some hours out, as two people agreed."""
    rows = history.maker.random.sample(list(history.maker.firm.hours.values()), 3)
    with history.owner.transaction() as connection:
        connection.execute(
            "INSERT INTO exclusion (entry_id, reason, proposed_by, approved_by, recorded_at)"
            " SELECT e, 'a test', 'ann', 'bob', %s FROM unnest(%s::uuid[]) e ON CONFLICT DO NOTHING",
            (history.at, [row["entry_id"] for row in rows]),
        )
        connection.execute(
            "INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)"
            " SELECT 'entry:' || e, 'a test', 'c', %s FROM unnest(%s::uuid[]) e",
            (history.at, [row["entry_id"] for row in rows]),
        )


def move_a_period(history: History) -> None:
    """Close a period, or open one."""
    period = history.maker.random.choice(history.maker.firm.rows["fiscal_period"])
    period["state"] = "open" if period["state"] == "closed" else "closed"
    with history.worker.transaction() as connection:
        connection.execute(
            "SELECT move_period(%s, %s, 'ann', %s)",
            (period["period_id"], period["state"], history.at),
        )


def add_a_period(history: History) -> None:
    """Tell a period in which days lie that were in none."""
    maker = history.maker
    code = maker.random.choice(["DE", "US", "JP"])
    with history.owner.transaction() as connection:
        add_period(
            connection,
            period=PeriodSetup(
                entity_code=code,
                period_code=f"X{history.newest}{history.at:%H%M}",
                starts_on=date(2026, 2, 1),
                ends_on=min(
                    r["starts_on"]
                    for r in maker.firm.rows["fiscal_period"]
                    if r["entity_code"] == code
                ),
                cut_off_at=NOW,
                urgent_from=NOW,
                grace_until=NOW,
            ),
            opened_by="ann",
            now=history.at,
        )


def move_a_go_live(history: History) -> None:
    """Let hours of a tool count from another day on."""
    maker = history.maker
    row = maker.random.choice(maker.firm.rows["connection_go_live"])
    with history.owner.transaction() as connection:
        connection.execute(
            "UPDATE connection_go_live SET go_live_on = go_live_on + %s WHERE (connection_key, entity_code) = (%s, %s)",
            (maker.random.choice([-20, 15]), row["connection_key"], row["entity_code"]),
        )


def approve_a_release(history: History) -> None:
    """Let rules weigh otherwise from now on."""
    code = history.maker.random.choice(
        [
            "time.overlap",
            "time.period_closed",
            "time.assignment_missing",
            "time.cap_exceeded",
            "time.late_entry",
        ]
    )
    with history.owner.transaction() as connection:
        approve_shipped_rules(
            connection,
            now=history.at,
            overrides=[
                Override(
                    code=code, entity_code=None, client_id=None, contract_id=None, starts_on=date(2026, 1, 1),
                    ends_on=None, severity=history.maker.random.choice(["warn", "error"]), reason="a test",
                )
            ],
        )  # fmt: skip


def map_otherwise(history: History) -> None:
    """Let a word of a tool mean another one of ours."""
    maker = history.maker
    noun = maker.random.choice(["person", "person", "project", "task", "employee", "erp_task"])
    with history.owner.transaction() as connection:
        row = _pick(
            maker,
            connection,
            "crosswalk",
            "crosswalk_id",
            where=sql.SQL("noun = {}").format(sql.Literal(noun)),
        )
        ours = {r["our_id"] for r in maker.firm.rows["crosswalk"] if r["noun"] == noun}
        _replace(
            connection,
            "crosswalk",
            "crosswalk_id",
            row,
            {
                "our_id": maker.random.choice(sorted(ours, key=str)),
                "starts_on": _some_day(maker, row["starts_on"]),
            },
            at=history.at,
        )


def name_an_approver(history: History) -> None:
    """Tell who it is that approves under a name nobody knew."""
    maker = history.maker
    with history.owner.transaction() as connection:
        connection.execute(
            "UPDATE crosswalk SET superseded_at = %s WHERE source_ref = 'boss' AND superseded_at IS NULL",
            (history.at,),
        )
        for tool in ("harvest", "sheets"):
            _insert(
                connection,
                "crosswalk",
                {
                    "connection_key": tool, "noun": "person", "source_ref": "boss", "because": "a test",
                    "our_id": maker.random.choice(maker.people[:5])["person_id"], "recorded_at": history.at,
                    "starts_on": date(2020, 1, 1),
                },
            )  # fmt: skip


def change_a_reference(history: History) -> None:
    """Change one thing that hours refer to."""
    maker = history.maker
    table, key, changed = maker.random.choice(_REFERENCES)
    with history.owner.transaction() as connection:
        row = _pick(maker, connection, table, key)
        if row is not None:
            _replace(connection, table, key, row, changed(row, maker), at=history.at)


def _pick(
    maker: Maker,
    connection: Owner,
    table: LiteralString,
    key: LiteralString,
    *,
    where: sql.Composable | None = None,
) -> Any:
    rows = connection.execute(
        sql.SQL("SELECT * FROM {} WHERE superseded_at IS NULL AND {} ORDER BY {}::text").format(
            sql.Identifier(table), where or sql.SQL("true"), sql.Identifier(key)
        )
    ).fetchall()
    return maker.random.choice(rows) if rows else None


def _replace(
    connection: Owner, table: str, key: str, row: Row, changed: Mapping[str, Any], *, at: datetime
) -> None:
    """End a row as of an instant, and tell another in its place."""
    names = [key] if "starts_on" not in row else [key, "starts_on"]
    connection.execute(
        sql.SQL("UPDATE {} SET superseded_at = %s WHERE superseded_at IS NULL AND {}").format(
            sql.Identifier(table),
            sql.SQL(" AND ").join(
                sql.SQL("{} = %s").format(sql.Identifier(name)) for name in names
            ),
        ),
        [at, *(row[name] for name in names)],
    )
    told = {**row, **changed, "recorded_at": at}
    if key in (f"{table}_id", "agreement_id"):
        del told[key]
    _insert(connection, table, told)


def _some_day(maker: Maker, first: date) -> date:
    return first if maker.often(0.5) else max(first, date(2026, 8, maker.random.randrange(1, 28)))


def _later(row: Row, maker: Maker) -> Row:
    return {"starts_on": row["starts_on"] + timedelta(days=maker.random.randrange(1, 200))}


def _more_or_less(row: Row, maker: Maker) -> Row:
    of = Decimal(maker.random.choice([0, 50, 200, 1000])) / 100
    return {
        "amount": row["amount"] and row["amount"] * of,
        **({"seconds": int(row["seconds"] * of)} if row.get("seconds") else {}),
        "starts_on": _some_day(maker, row["starts_on"]),
    }


_REFERENCES: list[tuple[LiteralString, LiteralString, Callable[[Row, Maker], Row]]] = [
    ("assignment", "assignment_id", _later),
    ("assignment", "assignment_id", lambda row, _: {"starts_on": date(2026, 1, 1), "ends_on": None}),
    ("assignment", "assignment_id", lambda row, maker: {"labor_category": maker.random.choice(["Partner", "Analyst"])}),
    ("leave", "leave_id", lambda row, _: {"starts_on": row["starts_on"] - timedelta(days=3)}),
    ("employment", "employment_id", _later),
    ("employment", "employment_id", lambda row, _: {"cost_rate": Decimal(70)}),
    ("contract_line", "contract_line_id", lambda row, _: {"rate_amount": row["rate_amount"] + 7}),
    ("contract_version", "contract_id", lambda row, _: {"cap_amount": 500}),
    ("contract_version", "contract_id", lambda row, _: {"cap_amount": 100_000}),
    ("contract_version", "contract_id", lambda row, _: {"is_active": not row["is_active"]}),
    ("client_version", "client_id", lambda row, _: {"is_active": not row["is_active"]}),
    ("project_version", "project_id", lambda row, _: {"accepts_time": not row["accepts_time"]}),
    ("project_version", "project_id", lambda row, _: {"status": "active", "accepts_time": True}),
    ("spending_limit", "spending_limit_id", _more_or_less),
    ("purchase_order", "purchase_order_id", _more_or_less),
    ("purchase_order", "purchase_order_id", _later),
    ("person_rate", "person_rate_id", lambda row, _: {"rate_amount": row["rate_amount"] + 5}),
    ("client_rate", "client_rate_id", lambda row, _: {"rate_amount": row["rate_amount"] + 5}),
    ("fx_rate", "fx_rate_id", lambda row, _: {"factor": row["factor"] + Decimal("0.01")}),
    ("billing_terms", "billing_terms_id", lambda row, _: {"increment_seconds": 1200}),
    ("rate_bound", "rate_bound_id", lambda row, _: {"rate_max": Decimal(500), "rate_min": None}),
    ("over_cap", "over_cap_id", lambda row, _: {"step_seconds": 1800}),
    ("approval_authority", "approval_authority_id", _later),
    ("intercompany_agreement", "agreement_id", _later),
]  # fmt: skip

CAUSES: dict[str, Callable[[History], None]] = {
    "hours": change_hours,
    "send": send,
    "find out": find_out,
    "invoice": put_on_an_invoice,
    "leave out": leave_out,
    "period": move_a_period,
    "new period": add_a_period,
    "go-live": move_a_go_live,
    "release": approve_a_release,
    "mapping": map_otherwise,
    "approver": name_an_approver,
    "reference": change_a_reference,
}
_WEIGHTS = {"hours": 2, "send": 4, "reference": 3}
