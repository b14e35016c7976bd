"""Where is this hour or deal, and why? The steps of one thing, with a way into each system."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.console import words
from tieline.console.fields import QueryWord
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer
from tieline.console.sessions import Door, Visitor
from tieline.console.trace_file import trace_sheets
from tieline.console.trace_steps import ShownStep, show_step
from tieline.governance import show_costs
from tieline.kernel.errors import UserMistake
from tieline.services.explain import explain
from tieline.services.links import read_links
from tieline.services.system import System

_EXAMPLES_MAX = 8
_STEPS_MAX = 300
KINDS: Mapping[str, str] = {
    "hour": "Hour",
    "deal": "Deal",
    "case": "Exception",
    "invoice-line": "Invoice line",
}

Row = dict[str, Any]
Kind = Literal["hour", "deal", "case", "invoice-line"]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the page that follows one thing."""

    @pages.get("/trace")
    def trace(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        kind: Kind = "hour",
        ref: QueryWord = "",
    ) -> Response:
        steps = _follow(system, visitor, kind=kind, ref=ref, now=renderer.now) if ref else ()
        with door.sight_of(visitor) as connection:
            examples = _read_examples(connection) if not steps else []
        return renderer.page(
            request,
            visitor,
            "trace.html",
            status=404 if ref and not steps else 200,
            kinds=KINDS,
            kind=kind,
            ref=ref,
            steps=steps,
            steps_max=_STEPS_MAX,
            examples=examples,
        )

    @pages.get("/trace.xlsx")
    def file(
        visitor: Annotated[Visitor, Depends(door.visitor)],
        ref: QueryWord,
        kind: Kind = "hour",
    ) -> Response:
        steps = _follow(system, visitor, kind=kind, ref=ref, now=renderer.now)
        if not steps:
            raise not_found("Nothing in your sight is known by this reference.")
        return renderer.file(
            visitor,
            name=f"trace-{kind}-{ref}",
            title="Where this hour or deal is, and why",
            filters={"what": KINDS[kind], "reference": ref},
            sheets=trace_sheets(steps),
        )


def _follow(
    system: System, visitor: Visitor, *, kind: str, ref: str, now: datetime
) -> tuple[ShownStep, ...]:
    # The role that reads everything and writes nothing tells the story; what concerns a legal entity
    # out of sight, even in part, is not told.
    with system.judge_database.transaction() as reader:
        if visitor.person.sees_costs:
            show_costs(reader)
        links = read_links(reader, systems=system.systems)
        try:
            found = explain(reader, kind=kind, ref=ref, links=links, now=now)
        except UserMistake:
            return ()
        names = {
            row["connection_key"]: words.system_name(row["system"])
            for row in reader.execute("SELECT connection_key, system FROM connection").fetchall()
        }
    if not visitor.entities or not found.entities <= set(visitor.entities):
        return ()
    return tuple(show_step(step, names) for step in found.steps[:_STEPS_MAX])


def _read_examples(connection: Connection[Row]) -> list[tuple[str, str, str]]:
    hours = connection.execute(
        """
        SELECT l.entry_id::text AS ref, p.project_code, l.work_date FROM ledger_line l
        JOIN project p USING (project_id) ORDER BY l.booked_at DESC, l.line_id DESC LIMIT %s
        """,
        (_EXAMPLES_MAX // 2,),
    ).fetchall()
    deals = connection.execute(
        "SELECT deal_key AS ref, state FROM provisioning_plan"
        " ORDER BY planned_at DESC, plan_id LIMIT %s",
        (_EXAMPLES_MAX // 2,),
    ).fetchall()
    lines = connection.execute(
        "SELECT i.target_connection || ':' || n.line_code AS ref, i.number, n.line_code"
        " FROM invoice_line_record n JOIN invoice_record i USING (invoice_id)"
        " ORDER BY i.recorded_at DESC, n.line_code LIMIT %s",
        (_EXAMPLES_MAX // 2,),
    ).fetchall()
    return [
        *(("hour", row["ref"], f"{row['project_code']}, {row['work_date']}") for row in hours),
        *(("deal", row["ref"], words.spoken(row["state"], words.PLANS)) for row in deals),
        *(
            ("invoice-line", row["ref"], f"{row['number'] or 'Draft'}, line {row['line_code']}")
            for row in lines
        ),
    ]
