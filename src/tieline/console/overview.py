"""Will we make it today? The next cut-off, what is through and what is late, money as it moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.casework import count_open, value_at_risk
from tieline.console.rendering import Renderer
from tieline.console.sessions import Door, Visitor
from tieline.console.tie_out import (
    Entity,
    TieOut,
    as_chart,
    read_entities,
    read_tie_outs,
    read_unaccounted,
)
from tieline.console.totals import NEVER_ADDED, totals_sheets
from tieline.console.workbook import Column, Kind, Sheet
from tieline.kernel.money import Money
from tieline.posting import list_stops
from tieline.reconciliation import NOT_CHECKED, RED, CheckResult, list_results
from tieline.services.forecast import Forecast, Outlook, read_outlook
from tieline.services.invoice_readiness import ReadinessSum, sum_readiness
from tieline.services.period_close import Period, list_periods
from tieline.services.reporting_currency import add_together, read_reporting_rates
from tieline.services.system import System

_PACE_MINUTES = 60
_A_DAY = timedelta(days=1)
# How finely the pace is drawn: while everything is young, by ten seconds; else by the minute.
_FINE_SECONDS, _FINE_BARS = 10, 60
_COARSE_SECONDS, _COARSE_BARS = 60, 60
_PACE_LINES_MAX = 8
_DUE_STATES = ("blocked", "at_risk", "ready", "released", "invoiced")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """One legal entity before a cut-off, or after one that it did not keep: what is done, and what is not."""

    entity: Entity
    period_id: UUID
    period_code: str
    at: datetime
    is_over: bool
    contracts: Mapping[str, int]
    waiting_seconds: int
    held_seconds: int
    forecast: str
    is_late: bool

    @property
    def due(self) -> int:
        return sum(self.contracts.get(state, 0) for state in _DUE_STATES)

    @property
    def through(self) -> int:
        return sum(self.contracts.get(state, 0) for state in ("ready", "released", "invoiced"))


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the first page and the part of it that keeps itself fresh."""

    @pages.get("/")
    def overview(request: Request, visitor: Annotated[Visitor, Depends(door.visitor)]) -> Response:
        return renderer.page(request, visitor, "overview.html", **_find(visitor))

    @pages.get("/overview/now")
    def overview_now(
        request: Request, visitor: Annotated[Visitor, Depends(door.visitor)]
    ) -> Response:
        return renderer.page(request, visitor, "overview_now.html", **_find(visitor))

    @pages.get("/overview.xlsx")
    def file(visitor: Annotated[Visitor, Depends(door.visitor)]) -> Response:
        found = _find(visitor)
        return renderer.file(
            visitor,
            name="overview",
            title="Will we make it today?",
            filters={},
            notes=(NEVER_ADDED,),
            sheets=(
                _cut_off_sheet(found["cut_offs"]),
                _latest_sheet(found["latest"]),
                *totals_sheets(
                    {
                        "Needs attention": found["at_risk_together"],
                        "In the ERP": found["in_erp_together"],
                    }
                ),
            ),
        )

    def _find(visitor: Visitor) -> dict[str, Any]:
        now = renderer.now
        with door.sight_of(visitor) as connection:
            entities = read_entities(connection)
            lines = read_tie_outs(connection)
            amounts, unpriced_seconds = value_at_risk(connection)
            pace = _read_pace(connection, now=now)
            in_erp = _read_in_erp(connection)
            cut_offs = _cut_offs(
                entities,
                list_periods(connection, begun_by=now.date() + _A_DAY),
                lines,
                sum_readiness(connection),
                pace=pace,
                outlook=read_outlook(connection, systems=system.systems),
                now=now,
            )
            rates = read_reporting_rates(
                connection, currency=system.settings.reporting_currency, now=now
            )
            return {
                "cut_offs": cut_offs,
                "contracts": _count_contracts(connection, cut_offs),
                "entities": entities,
                "stops": list_stops(connection),
                "checks": _count_checks(list_results(connection)),
                "cases": count_open(connection),
                "amounts": amounts,
                "unpriced_seconds": unpriced_seconds,
                "in_erp": in_erp,
                "at_risk_together": add_together(amounts, at=rates),
                "in_erp_together": add_together(in_erp, at=rates),
                "unconfirmed": _read_unconfirmed(connection),
                "deals": _read_deals(connection),
                "latest": _read_latest(connection),
                "has_hours": any(line.entries for line in lines),
                "unaccounted": read_unaccounted(connection, lines=lines),
                "pace_chart": _pace_chart(pace, now=now),
                "line_chart": as_chart(_by_entity(lines), names=_names(entities)),
            }


def _cut_off_sheet(cut_offs: Sequence[CutOff]) -> Sheet:
    return Sheet(
        name="Cut-offs",
        columns=(
            Column(title="Legal entity", width=28),
            Column(title="Code"),
            Column(title="Period"),
            Column(title="Cut-off (UTC)", kind=Kind.INSTANT),
            Column(title="Zone", width=20),
            Column(title="Forecast", width=44),
            Column(title="Through", kind=Kind.COUNT),
            Column(title="Due", kind=Kind.COUNT),
            Column(title="At risk", kind=Kind.COUNT),
            Column(title="Blocked", kind=Kind.COUNT),
            Column(title="Waiting", kind=Kind.HOURS),
            Column(title="Needs attention", kind=Kind.HOURS),
        ),
        rows=[
            (
                each.entity.name,
                each.entity.entity_code,
                each.period_code,
                each.at,
                each.entity.zone,
                each.forecast,
                each.through,
                each.due,
                each.contracts.get("at_risk", 0),
                each.contracts.get("blocked", 0),
                each.waiting_seconds,
                each.held_seconds,
            )
            for each in cut_offs
        ],
    )


def _latest_sheet(latest: Sequence[Row]) -> Sheet:
    return Sheet(
        name="Latest in the ERP",
        columns=(
            Column(title="Booked at (UTC)", kind=Kind.INSTANT),
            Column(title="Legal entity"),
            Column(title="Project"),
            Column(title="Work date", kind=Kind.DAY),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="What"),
        ),
        rows=[
            (
                row["booked_at"],
                row["entity_code"],
                row["project_code"],
                row["work_date"],
                row["seconds"],
                row["amount"],
                row["currency"],
                "Taken back" if row["is_taken_back"] else "Sent",
            )
            for row in latest
        ],
    )


def _count_checks(results: Sequence[CheckResult]) -> dict[str, int]:
    return {
        state: sum(1 for each in results if each.state == state) for state in (RED, NOT_CHECKED)
    }


def _cut_offs(
    entities: Mapping[str, Entity],
    periods: Sequence[Period],
    lines: Sequence[TieOut],
    sums: Sequence[ReadinessSum],
    *,
    pace: Sequence[Row],
    outlook: Outlook,
    now: datetime,
) -> list[CutOff]:
    """Return of each legal entity the last one that is over with its period open, and the next one."""
    line_of = {line.period_id: line for line in lines}
    busy = {line.period_id for line in lines if line.entries} | {
        each.period_id for each in sums if each.state in _DUE_STATES
    }
    chosen = []
    for code in entities:
        own = sorted(
            (each for each in periods if each.entity_code == code),
            key=lambda each: each.cut_off_at,
        )
        over = [each for each in own if each.cut_off_at <= now and each.state == "open"]
        chosen += [each for each in over if each.period_id in busy][-1:]
        chosen += [each for each in own if each.cut_off_at > now][:1]
    found = [
        _cut_off(
            entities[each.entity_code],
            each,
            line_of.get(each.period_id),
            sums,
            moved=sum(row["seconds"] for row in pace if row["entity_code"] == each.entity_code),
            outlook=outlook,
            now=now,
        )
        for each in chosen
        if each.entity_code in entities
    ]
    return sorted(found, key=lambda each: (not each.is_over, each.at))


def _cut_off(
    entity: Entity,
    period: Period,
    line: TieOut | None,
    sums: Sequence[ReadinessSum],
    *,
    moved: int,
    outlook: Outlook,
    now: datetime,
) -> CutOff:
    contracts: dict[str, int] = {}
    for each in sums:
        if each.period_id == period.period_id:
            contracts[each.state] = contracts.get(each.state, 0) + each.contracts
    waiting = 0 if line is None else line.pending_seconds
    is_over = period.cut_off_at <= now
    if is_over:
        forecast, is_late = "it is over, and the period is open", True
    elif line is None and not any(each in contracts for each in _DUE_STATES):
        forecast, is_late = "nothing is due in it yet", False
    else:
        forecast, is_late = _forecast(
            waiting,
            outlook.of_entity(entity.entity_code, until=period.cut_off_at, now=now),
            blocked=contracts.get("blocked", 0),
            moved=moved,
            at=period.cut_off_at,
            now=now,
        )
    return CutOff(
        entity=entity,
        period_id=period.period_id,
        period_code=period.period_code,
        at=period.cut_off_at,
        is_over=is_over,
        contracts=contracts,
        waiting_seconds=waiting,
        held_seconds=0 if line is None else line.held_seconds,
        forecast=forecast,
        is_late=is_late,
    )


def _count_contracts(
    connection: Connection[Row], cut_offs: Sequence[CutOff]
) -> list[tuple[str, dict[str, int]]]:
    """Count the contracts of these periods: those that ran before, and those that deals became.

    A contract that is due in two of them counts once, as it stands in the one that is cut off first.
    """
    rows = connection.execute(
        """
        SELECT EXISTS (SELECT FROM provisioning_plan p WHERE p.contract_id = r.contract_id) AS is_of_a_deal,
               r.state, count(*)::int AS contracts
        FROM (
            SELECT DISTINCT ON (contract_id) contract_id, state FROM readiness
            WHERE period_id = ANY (%s) AND state = ANY (%s) ORDER BY contract_id, deadline_at
        ) r GROUP BY 1, 2
        """,
        ([each.period_id for each in cut_offs], list(_DUE_STATES)),
    ).fetchall()
    counted = [
        (
            name,
            {
                state: row["contracts"]
                for state in reversed(_DUE_STATES)
                for row in rows
                if (row["is_of_a_deal"], row["state"]) == (is_of_a_deal, state)
            },
        )
        for name, is_of_a_deal in (("running", False), ("from deals", True))
    ]
    return [(name, states) for name, states in counted if states]


def _forecast(
    waiting: int, found: Forecast | None, *, blocked: int, moved: int, at: datetime, now: datetime
) -> tuple[str, bool]:
    if waiting == 0:
        if blocked:
            return "hours are through; blocked contracts need a person", True
        return "through", False
    if found is None or found.items == 0:
        # Nothing of what waits can be sent yet.
        if moved <= 0:
            return "nothing moved in the last hour while hours wait", True
        return "what waits is being checked", False
    if found.through_at is None:
        return f"nothing is sent: {found.because}", True
    if not found.is_before(at):
        return f"late {found.because}", True
    minutes = max(1, int((found.through_at - now).total_seconds()) // 60)
    return f"hours through in about {minutes} min {found.because}", False


def _read_pace(connection: Connection[Row], *, now: datetime) -> list[Row]:
    return connection.execute(
        """
        SELECT date_bin(make_interval(secs => %(fine)s), booked_at, '2000-01-01Z') AS at, entity_code,
               sum(seconds)::bigint AS seconds
        FROM ledger_line WHERE booked_at > %(since)s AND booked_at <= %(now)s GROUP BY 1, 2 ORDER BY 1
        """,
        {"fine": _FINE_SECONDS, "since": now - timedelta(minutes=_PACE_MINUTES), "now": now},
    ).fetchall()


def _pace_chart(pace: Sequence[Row], *, now: datetime) -> dict[str, Any]:
    is_young = not pace or pace[0]["at"] > now - timedelta(seconds=_FINE_SECONDS * _FINE_BARS)
    width, bars = (_FINE_SECONDS, _FINE_BARS) if is_young else (_COARSE_SECONDS, _COARSE_BARS)
    last = int(now.timestamp()) // width
    seconds = [0] * bars
    for row in pace:
        place = bars - 1 - (last - int(row["at"].timestamp()) // width)
        if 0 <= place < bars:
            seconds[place] += row["seconds"]
    starts = [
        datetime.fromtimestamp((last - bars + 1 + bar) * width, tz=UTC) for bar in range(bars)
    ]
    return {
        "kind": "bars_over_time",
        "unit": "h",
        "categories": [f"{start:%H:%M:%S}" if is_young else f"{start:%H:%M}" for start in starts],
        "series": [{"name": "Into the ERP", "place": "posted", "seconds": seconds}],
    }


def _read_in_erp(connection: Connection[Row]) -> list[Money]:
    rows = connection.execute(
        "SELECT currency, sum(amount) AS amount FROM ledger_line WHERE currency IS NOT NULL"
        " GROUP BY 1 HAVING sum(amount) <> 0 ORDER BY 1"
    ).fetchall()
    return [Money(amount=row["amount"], currency=row["currency"]) for row in rows]


def _read_unconfirmed(connection: Connection[Row]) -> list[Row]:
    return connection.execute(
        "SELECT c.system, count(*)::int AS writes FROM unsettled_effect e"
        " JOIN connection c ON c.connection_key = e.target_connection"
        " WHERE e.state IN ('UNKNOWN', 'PROBING') GROUP BY 1 ORDER BY 1"
    ).fetchall()


def _read_deals(connection: Connection[Row]) -> list[Row]:
    return connection.execute(
        "SELECT state, count(*)::int AS deals FROM provisioning_plan GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()


def _read_latest(connection: Connection[Row]) -> list[Row]:
    return connection.execute(
        """
        SELECT l.booked_at, l.entry_id, l.entity_code, l.work_date, l.seconds, l.amount, l.currency,
               p.project_code, l.reverses_line_id IS NOT NULL AS is_taken_back
        FROM ledger_line l JOIN project p USING (project_id)
        ORDER BY l.booked_at DESC, l.line_id DESC LIMIT %s
        """,
        (_PACE_LINES_MAX,),
    ).fetchall()


def _by_entity(lines: Sequence[TieOut]) -> list[TieOut]:
    # One bar per legal entity: its periods together.
    merged: dict[str | None, TieOut] = {}
    for line in lines:
        before = merged.get(line.entity_code)
        merged[line.entity_code] = line if before is None else _sum(before, line)
    return list(merged.values())


def _sum(one: TieOut, other: TieOut) -> TieOut:
    counted = (
        name
        for name in TieOut.__dataclass_fields__
        if name.endswith("_seconds") or name == "entries"
    )
    kept = {name: getattr(one, name) for name in TieOut.__dataclass_fields__}
    return TieOut(**{**kept, **{name: kept[name] + getattr(other, name) for name in counted}})


def _names(entities: Mapping[str, Entity]) -> dict[str | None, str]:
    return {
        None: "No legal entity known yet",
        **{code: entity.name for code, entity in entities.items()},
    }
