"""What stands between me and the invoices? The line that adds up, then contract by contract."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.console.close_file import close_sheets
from tieline.console.contract_file import contract_sheets
from tieline.console.fields import FormReason, FormText, QueryPage, QueryWord
from tieline.console.problems import not_found
from tieline.console.rendering import ROWS_PER_PAGE, Paging, Renderer, back_to
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.console.tie_out import (
    TieOut,
    as_chart,
    read_entities,
    read_tie_outs,
    read_unaccounted,
)
from tieline.console.totals import NEVER_ADDED, totals_sheets
from tieline.console.words import READINESS
from tieline.governance import list_audit
from tieline.kernel.money import Money
from tieline.posting import list_stops
from tieline.posting.handing_over import OPEN, list_files
from tieline.reconciliation import list_differences
from tieline.services.fallback import list_not_taken
from tieline.services.invoice_readiness import (
    Readiness,
    ReadinessSum,
    list_readiness,
    release_in,
    sum_readiness,
    withdraw_release,
)
from tieline.services.invoicing import ask_for_invoice
from tieline.services.links import Links, read_links
from tieline.services.period_close import list_periods, list_reopened
from tieline.services.preflight import list_preflights
from tieline.services.reporting_currency import tell_together
from tieline.services.system import System
from tieline.services.terms_lists import list_legs
from tieline.services.unconfirmed import list_unconfirmed

_RELEASABLE = ("ready", "at_risk", "blocked")
_AUDIT_SHOWN_MAX = 20
_EVERY_PERIOD = "-"
_PERIODS_SHOWN_MAX = 24
_DIFFERENCES_SHOWN_MAX = 50

Row = dict[str, Any]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the close, a contract in it, and releasing."""
    _add_reading(pages, system=system, door=door, renderer=renderer)
    _add_releasing(pages, door=door, renderer=renderer)


def _add_reading(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.get("/close")
    def close(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        period: QueryWord = "",
        state: QueryWord = "",
        page: QueryPage = 1,
    ) -> Response:
        with door.sight_of(visitor) as connection:
            found = _find(connection, entity=entity, period=period, now=renderer.now)
            shown = found["sums"]
            paging = Paging(
                page=page,
                total=sum(each.contracts for each in shown if state in ("", each.state)),
                path="/close",
                filters={"entity": entity, "period": period, "state": state},
            )
            contracts = list_readiness(
                connection,
                entity_code=entity or None,
                period_code=found["chosen"] or None,
                state=state or None,
                limit=ROWS_PER_PAGE,
                offset=paging.offset,
            )
            stops = list_stops(connection)
            unconfirmed = list_unconfirmed(connection, now=renderer.now, entity_code=entity or None)
            amounts = _amounts(shown)
            together = tell_together(
                connection, amounts, currency=system.settings.reporting_currency, now=renderer.now
            )
        names: dict[str | None, str] = {code: each.name for code, each in found["entities"].items()}
        return renderer.page(
            request,
            visitor,
            "close.html",
            unconfirmed=unconfirmed,
            stops=[each for each in stops if entity in ("", each.entity_code or "")],
            contracts=contracts,
            lacking=_lacking_everywhere(contracts),
            counts=_counts(shown),
            amounts=amounts,
            together=together,
            paging=paging,
            every_period=_EVERY_PERIOD,
            differences_max=_DIFFERENCES_SHOWN_MAX,
            periods_max=_PERIODS_SHOWN_MAX,
            may_close=visitor.may(ROLES_THAT_APPROVE),
            line_chart=as_chart(found["lines"], names=names),
            state_chart=_state_chart(shown, names=names),
            **found,
        )

    @pages.get("/close.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        entity: QueryWord = "",
        period: QueryWord = "",
        state: QueryWord = "",
    ) -> Response:
        with door.sight_of(visitor) as connection:
            found = _find(connection, entity=entity, period=period, now=renderer.now)
            contracts = list_readiness(
                connection,
                entity_code=entity or None,
                period_code=found["chosen"] or None,
                state=state or None,
            )
            together = tell_together(
                connection,
                _amounts(found["sums"]),
                currency=system.settings.reporting_currency,
                now=renderer.now,
            )
        return renderer.file(
            visitor,
            name="close",
            title="What stands between us and the invoices",
            filters={"entity": entity, "period": found["chosen"], "state": state},
            notes=(
                "The state chooses contracts; the other tables are of the legal entity and period.",
                NEVER_ADDED,
            ),
            sheets=(
                *close_sheets(found, contracts=contracts),
                *totals_sheets({"To be invoiced": together}),
            ),
        )

    @pages.get("/close/{contract_id}/{period_id}")
    def contract(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        contract_id: UUID,
        period_id: UUID,
    ) -> Response:
        with door.sight_of(visitor) as connection:
            readiness = _get(connection, contract_id=contract_id, period_id=period_id)
            found: dict[str, Any] = {
                "entities": read_entities(connection),
                "invoices": _read_invoices(
                    connection, readiness, read_links(connection, systems=system.systems)
                ),
                "carried": _read_carried(connection, contract_id),
                "audit": list_audit(
                    connection, object=f"contract:{contract_id}", limit=_AUDIT_SHOWN_MAX
                ),
            }
        return renderer.page(
            request,
            visitor,
            "contract.html",
            contract=readiness,
            may_release=visitor.may(ROLES_THAT_APPROVE),
            is_releasable=readiness.state in _RELEASABLE,
            must_be_mended=readiness.state in _RELEASABLE
            and any(
                blocker["weight"] != "warn" and not blocker["may_be_carried"]
                for blocker in readiness.blockers
            ),
            **found,
        )

    @pages.get("/close/{contract_id}/{period_id}/file.xlsx")
    def contract_file(
        visitor: Annotated[Visitor, Depends(door.visitor)], contract_id: UUID, period_id: UUID
    ) -> Response:
        with door.sight_of(visitor) as connection:
            readiness = _get(connection, contract_id=contract_id, period_id=period_id)
            links = read_links(connection, systems=system.systems)
            invoices = _read_invoices(connection, readiness, links)
        return renderer.file(
            visitor,
            name=f"contract-{readiness.contract_code}-{readiness.period_code}",
            title=f"Can {readiness.contract_name} be invoiced for {readiness.period_code}?",
            filters={},
            sheets=contract_sheets(readiness, invoices=invoices),
        )


def _add_releasing(pages: FastAPI, *, door: Door, renderer: Renderer) -> None:
    @pages.post("/close/{contract_id}/{period_id}/release")
    def release(
        contract_id: UUID,
        period_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        carry: FormText = "",
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "release contracts")
        with door.sight_of(visitor) as connection:
            _get(connection, contract_id=contract_id, period_id=period_id)
            release_in(
                connection,
                contract_id=contract_id,
                period_id=period_id,
                by=visitor.login,
                carry_reason=carry or None,
                now=renderer.now,
            )
            ask_for_invoice(
                connection,
                contract_id=contract_id,
                period_id=period_id,
                correlation_id=f"invoice:{contract_id}",
            )
        return back_to(f"/close/{contract_id}/{period_id}", done="released")

    @pages.post("/close/{contract_id}/{period_id}/withdraw")
    def take_back(
        contract_id: UUID,
        period_id: UUID,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "take a release back")
        with door.sight_of(visitor) as connection:
            _get(connection, contract_id=contract_id, period_id=period_id)
            withdraw_release(
                connection,
                contract_id=contract_id,
                by=visitor.login,
                reason=reason,
                now=renderer.now,
            )
        return back_to(f"/close/{contract_id}/{period_id}", done="taken_back")


def _find(
    connection: Connection[Row], *, entity: str, period: str, now: datetime
) -> dict[str, Any]:
    """Read what the page and its file tell of a legal entity and a period."""
    all_lines = read_tie_outs(connection)
    all_sums = sum_readiness(connection)
    chosen = "" if period == _EVERY_PERIOD else period or _period_to_close(all_sums, all_lines)
    return {
        "entities": read_entities(connection),
        "lines": [each for each in all_lines if _line_fits(each, entity, chosen)],
        "other_lines": [each for each in all_lines if each.entity_code is None and each.entries],
        "unaccounted": read_unaccounted(connection, lines=all_lines),
        "differences": list_differences(connection),
        "not_taken": [
            each for each in list_not_taken(connection, now=now) if entity in ("", each.entity_code)
        ],
        "files": [
            each for each in list_files(connection, state=OPEN) if entity in ("", each.entity_code)
        ],
        "legs": [
            each
            for each in list_legs(connection, period_code=chosen or None, now=now)
            if entity in ("", each.home_entity_code, each.project_entity_code)
        ],
        "preflights": [
            each
            for each in list_preflights(connection, now=now)
            if entity in ("", each.entity_code)
        ],
        "fiscal_periods": list_periods(
            connection,
            entity_code=entity or None,
            period_code=chosen or None,
            begun_by=now.date(),
        ),
        "reopened": {each.period_id: each for each in list_reopened(connection)},
        "sums": [each for each in all_sums if _fits(each, entity, chosen)],
        "due_elsewhere": _due_elsewhere(all_sums, entity, chosen),
        "periods": sorted(
            {each.period_code for each in all_sums} | _periods_of(all_lines), reverse=True
        ),
        "chosen": chosen,
    }


def _get(connection: Connection[Row], *, contract_id: UUID, period_id: UUID) -> Readiness:
    for each in list_readiness(connection, contract_id=contract_id):
        if each.period_id == period_id:
            return each
    raise not_found("No such contract and period is in your sight.")


def _period_to_close(sums: Sequence[ReadinessSum], lines: Sequence[TieOut]) -> str:
    # The earliest period with something to bill; else the earliest that has hours.
    waiting = [each.period_code for each in sums if each.state in _RELEASABLE]
    if waiting:
        return min(waiting)
    invoiced = [each.period_code for each in sums if each.state in ("released", "invoiced")]
    return max(invoiced) if invoiced else min(_periods_of(lines), default="")


def _periods_of(lines: Sequence[TieOut]) -> set[str]:
    return {each.period_code for each in lines if each.period_code}


def _fits(each: ReadinessSum, entity: str, period: str) -> bool:
    return entity in ("", each.entity_code) and period in ("", each.period_code)


def _line_fits(line: TieOut, entity: str, period: str) -> bool:
    return (
        line.entity_code is not None
        and entity in ("", line.entity_code)
        and period in ("", line.period_code)
    )


def _due_elsewhere(
    sums: Sequence[ReadinessSum], entity: str, period: str
) -> list[tuple[str, str, int]]:
    """Return what is due in other periods than the one that is shown: of whom, in which, how many contracts."""
    found: Counter[tuple[str, str]] = Counter()
    for each in sums:
        is_elsewhere = period not in ("", each.period_code) and _fits(each, entity, "")
        if is_elsewhere and each.state in _RELEASABLE:
            found[each.entity_code, each.period_code] += each.contracts
    return [(*key, contracts) for key, contracts in sorted(found.items())]


def _counts(sums: Sequence[ReadinessSum]) -> dict[str, int]:
    counts = dict.fromkeys(READINESS, 0)
    for each in sums:
        counts[each.state] += each.contracts
    return counts


def _lacking_everywhere(contracts: Sequence[Readiness]) -> tuple[str, ...]:
    """Return what is not checked of any of them: it is said once."""
    first, *others = [each.lacking for each in contracts] or [()]
    return tuple(each for each in first if all(each in other for other in others))


def _amounts(sums: Sequence[ReadinessSum]) -> list[Money]:
    amounts: dict[str, Decimal] = {}
    for each in sums:
        if each.state in _RELEASABLE and each.expected_amount:
            amounts[each.currency] = amounts.get(each.currency, Decimal(0)) + each.expected_amount
    return [Money(amount=amount, currency=currency) for currency, amount in amounts.items()]


def _state_chart(
    sums: Sequence[ReadinessSum], *, names: Mapping[str | None, str]
) -> dict[str, Any]:
    codes = sorted({each.entity_code for each in sums})
    return {
        "kind": "stacked_bars",
        "unit": "",
        "categories": [names.get(code, code) for code in codes],
        "series": [
            {
                "name": name,
                "place": state,
                "counts": [
                    sum(
                        each.contracts
                        for each in sums
                        if each.entity_code == code and each.state == state
                    )
                    for code in codes
                ],
            }
            for state, name in READINESS.items()
        ],
    }


def _read_invoices(
    connection: Connection[Row], readiness: Readiness, links: Links
) -> list[dict[str, Any]]:
    invoices = connection.execute(
        "SELECT invoice_id, target_connection, target_code, number, state, currency, untaxed_amount,"
        " total_amount, expected_amount, mismatch_amount, recorded_at FROM invoice_record"
        " WHERE (contract_id, period_id) = (%s, %s) ORDER BY recorded_at",
        (readiness.contract_id, readiness.period_id),
    ).fetchall()
    return [
        {
            **invoice,
            "link": links.written(
                connection_key=invoice["target_connection"],
                noun="invoice",
                target_code=invoice["target_code"],
            ),
            "lines": connection.execute(
                "SELECT line_code, description, quantity, unit, unit_price, amount, ledger_amount,"
                " rounding_amount FROM invoice_line_record WHERE invoice_id = %s ORDER BY line_code",
                (invoice["invoice_id"],),
            ).fetchall(),
        }
        for invoice in invoices
    ]


def _read_carried(connection: Connection[Row], contract_id: UUID) -> list[Row]:
    return connection.execute(
        "SELECT p.period_code, c.seconds, c.amount, c.currency, c.reason, c.carried_by, c.carried_at"
        " FROM carry_over c JOIN fiscal_period p USING (period_id) WHERE c.contract_id = %s"
        " ORDER BY c.carried_at DESC",
        (contract_id,),
    ).fetchall()
