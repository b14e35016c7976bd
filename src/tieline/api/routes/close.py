"""The close: the line that adds up, what stands before each invoice, releasing and drafting."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from psycopg import Connection

from tieline.api.answers import (
    Close,
    ContractReleased,
    ContractsReadiness,
    ImportFiles,
    InvoiceAsked,
    Revenue,
    TieOut,
)
from tieline.api.bodies import Release
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.governance import ApiCaller
from tieline.posting.handing_over import FILES_PAGE_MAX, list_files
from tieline.reconciliation import list_checks, list_differences
from tieline.runtime.database import Row
from tieline.runtime.telemetry import correlation_id
from tieline.services.invoice_readiness import list_readiness, release_in
from tieline.services.invoicing import ask_for_invoice, find_contract_period
from tieline.services.revenue_status import list_revenue_status

_PERIOD_MAX = 20
_ENTITY_MAX = 50


def close_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and done at the close."""
    routes = APIRouter(tags=["close"])
    reader = doors.may("time:read")
    changer = doors.may_change("close:write")

    @routes.get("/v1/close", responses=problems(401, 403))
    def close(caller: Annotated[ApiCaller, Depends(reader)]) -> Close:
        """Show per legal entity and period the line that adds up, in seconds."""
        with doors.sight(caller) as connection:
            rows = connection.execute("SELECT * FROM page_tie_out()").fetchall()
            return Close(
                periods=[TieOut(**row) for row in rows],
                checks=list_checks(connection),
                differences=list_differences(connection),
            )

    @routes.get("/v1/readiness", responses=problems(401, 403))
    def readiness(
        caller: Annotated[ApiCaller, Depends(reader)],
        period_code: Annotated[str | None, Query(max_length=_PERIOD_MAX)] = None,
        entity_code: Annotated[str | None, Query(max_length=_ENTITY_MAX)] = None,
    ) -> ContractsReadiness:
        """List contracts and periods with what stands before their invoice."""
        with doors.sight(caller) as connection:
            found = list_readiness(connection, period_code=period_code, entity_code=entity_code)
        return ContractsReadiness(contracts=found)

    @routes.get("/v1/import-files", responses=problems(401, 403))
    def import_files(
        caller: Annotated[ApiCaller, Depends(reader)],
        state: Literal["open", "settled", "withdrawn"] | None = None,
        limit: Annotated[int, Query(ge=1, le=FILES_PAGE_MAX)] = 100,
    ) -> ImportFiles:
        """List the files that people load by hand, and what became of their lines."""
        with doors.sight(caller) as connection:
            found = list_files(connection, state=state, limit=limit)
        return ImportFiles(files=found)

    @routes.post(
        "/v1/contracts/{contract_id}/periods/{period_code}:release",
        response_model=ContractReleased,
        responses=problems(400, 401, 403, 404, 409),
    )
    def release(
        contract_id: UUID,
        period_code: str,
        body: Release,
        change: Annotated[Change, Depends(changer)],
    ) -> Response:
        """Freeze a contract's hours for its invoice; an incomplete one needs a reason."""

        def work(connection: Connection[Row]) -> ContractReleased:
            period_id = _period(connection, contract_id, period_code)
            done = release_in(
                connection,
                contract_id=contract_id,
                period_id=period_id,
                by=change.by.login,
                carry_reason=body.carry_reason,
                now=change.now,
            )
            return ContractReleased(
                contract_id=contract_id,
                period_code=period_code,
                lock_id=done.lock_id,
                carried_seconds=done.carried_seconds,
                carried_amount=str(done.carried_amount),
            )

        with unknown_is_404("contract"):
            return change.once(body=body, work=work)

    @routes.post(
        "/v1/contracts/{contract_id}/periods/{period_code}:draft",
        response_model=InvoiceAsked,
        status_code=202,
        responses=problems(400, 401, 403, 404, 409),
    )
    def draft(
        contract_id: UUID, period_code: str, change: Annotated[Change, Depends(changer)]
    ) -> Response:
        """Have the ERP draft the invoice of a released contract; a worker brings it about."""

        def work(connection: Connection[Row]) -> InvoiceAsked:
            ask_for_invoice(
                connection,
                contract_id=contract_id,
                period_id=_period(connection, contract_id, period_code),
                correlation_id=correlation_id(),
            )
            return InvoiceAsked(contract_id=contract_id, period_code=period_code, state="asked")

        with unknown_is_404("contract"):
            return change.once(body=None, work=work, status=202)

    @routes.get("/v1/revenue-status", responses=problems(401, 403))
    def revenue_status(
        caller: Annotated[ApiCaller, Depends(reader)],
        entity_code: Annotated[str | None, Query(max_length=_ENTITY_MAX)] = None,
    ) -> Revenue:
        """List per project what was earned, billed, waits to be billed and is still sold."""
        with doors.sight(caller) as connection:
            found = list_revenue_status(connection, entity_code=entity_code)
        return Revenue(projects=found)

    return routes


def _period(connection: Connection[Row], contract_id: UUID, period_code: str) -> UUID:
    found = find_contract_period(connection, contract=str(contract_id), period_code=period_code)
    if found is None:
        raise LookupError(f"contract {contract_id} has no period {period_code}")
    return found[1]
