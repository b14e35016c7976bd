"""What would a draft have done to past days? Asked here, answered by a worker, looked at and taken along."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Form
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection
from pydantic import AfterValidator

from tieline.console.fields import FormReason, FormText, FormWord, QueryWord, plain
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer, back_to
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.console.whole_firm import WholeFirm
from tieline.console.words import WHAT_IF_OUTCOMES, WHAT_IFS, WHERE_HOURS_STAND, spoken
from tieline.console.workbook import About, Column, Kind, Sheet, download, make_workbook
from tieline.governance import Proposal, list_proposals
from tieline.kernel.errors import UserMistake
from tieline.policy import find_release, list_releases
from tieline.register import DRAFT_NOUNS
from tieline.runtime.database import Row
from tieline.services.deciding import ROLES_THAT_WORK
from tieline.services.policy_files import FieldMistake, draft_own_rule, owner_queues
from tieline.services.reference_files import LOAD, File, read_draft_file
from tieline.services.system import System
from tieline.services.what_if import ContractChange, Question, WhatIf
from tieline.services.what_if_runs import (
    Answered,
    Asked,
    ask,
    get_answer,
    list_asked,
    stop,
)

_ROWS_TEXT_MAX = 200_000
_IN_CHART_MAX = 12
_RULE_FIELDS = ("code", "applies_when", "predicate", "severity", "owner", "message", "fix")
FormRows = Annotated[str, Form(max_length=_ROWS_TEXT_MAX), AfterValidator(plain)]
FormIds = Annotated[list[UUID], Form(max_length=20)]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add asking, the answer and its file, and drafting a rule of the firm's own."""
    desk = WholeFirm(system=system, renderer=renderer, what="Rules, rates and calendars")
    _add_asking(pages, desk=desk, door=door)
    _add_rule(pages, desk=desk, door=door)
    _add_answer(pages, desk=desk, door=door)


def _add_asking(pages: FastAPI, *, desk: WholeFirm, door: Door) -> None:
    def page(
        request: Request,
        visitor: Visitor,
        *,
        told: Mapping[str, Any],
        wrong: str = "",
        status: int = 200,
    ) -> Response:
        with desk.open(visitor) as connection:
            found: dict[str, Any] = {
                "asked": list_asked(connection, entities=visitor.entities),
                "releases": _releases(connection),
                "proposals": list_proposals(connection, kind=LOAD),
            }
        return desk.renderer.page(
            request,
            visitor,
            "what_ifs.html",
            status=status,
            told=told,
            wrong=wrong,
            nouns=[(each.name, f"{each.name}: {each.says}") for each in DRAFT_NOUNS.values()],
            proposal_words=_proposal_words,
            may_ask=visitor.may(ROLES_THAT_WORK),
            may_draft=visitor.may(ROLES_THAT_APPROVE),
            **found,
        )

    @pages.get("/what-if")
    def what_ifs(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        draft: QueryWord = "",
    ) -> Response:
        first_on = (desk.renderer.now.date().replace(day=1) - timedelta(days=1)).replace(day=1)
        told = {
            "release": draft,
            "starts_on": first_on.isoformat(),
            "ends_on": desk.renderer.now.date().replace(day=1).isoformat(),
            "noun": "",
            "rows": "",
            "proposal": [],
        }
        return page(request, visitor, told=told)

    @pages.get("/what-if.xlsx")
    def list_file(visitor: Annotated[Visitor, Depends(door.visitor)]) -> Response:
        with desk.open(visitor) as connection:
            asked = list_asked(connection, entities=visitor.entities)
        return desk.renderer.file(
            visitor,
            name="what-ifs",
            title="What was asked",
            filters={},
            sheets=(_asked_sheet(asked),),
        )

    @pages.post("/what-if")
    def ask_one(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        starts_on: FormWord,
        ends_on: FormWord,
        proposal: FormIds = [],  # noqa: B006
        release: FormWord = "",
        noun: FormWord = "",
        rows: FormRows = "",
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "ask what if")
        told = {
            "release": release,
            "starts_on": starts_on,
            "ends_on": ends_on,
            "noun": noun,
            "rows": rows,
            "proposal": proposal,
        }
        try:
            with desk.open(visitor) as connection:
                what_if_id = ask(
                    connection,
                    question=_question(told),
                    title=_title(told),
                    by=visitor.login,
                    entities=visitor.entities,
                    now=desk.renderer.now,
                )
        except UserMistake as error:
            return page(request, visitor, told=told, wrong=str(error), status=409)
        return back_to(f"/what-if/{what_if_id}", done="asked")


def _add_answer(pages: FastAPI, *, desk: WholeFirm, door: Door) -> None:
    @pages.get("/what-if/{what_if_id}")
    def read(
        request: Request,
        what_if_id: UUID,
        visitor: Annotated[Visitor, Depends(door.visitor)],
    ) -> Response:
        with desk.open(visitor) as connection:
            answered = _answered(connection, visitor, what_if_id)
            release = find_release(connection, release_id=answered.new_release_id or 0)
        found = answered.found
        return desk.renderer.page(
            request,
            visitor,
            "what_if.html",
            asked=answered.asked,
            found=found,
            chart=_chart(found.contracts) if found else None,
            is_draft=release is not None and release.state == "draft",
            may_ask=visitor.may(ROLES_THAT_WORK),
        )

    @pages.get("/what-if/{what_if_id}/file.xlsx")
    def file(what_if_id: UUID, visitor: Annotated[Visitor, Depends(door.visitor)]) -> Response:
        with desk.open(visitor) as connection:
            answered = _answered(connection, visitor, what_if_id)
        if answered.found is None:
            raise not_found("It is not answered yet.")
        return download(name="what-if", content=_workbook(answered, answered.found, visitor.login))

    @pages.post("/what-if/{what_if_id}/stop")
    def stop_one(
        what_if_id: UUID, visitor: Annotated[Visitor, Depends(door.signed_visitor)]
    ) -> Response:
        visitor.must(ROLES_THAT_WORK, "stop it")
        with desk.open(visitor) as connection:
            try:
                stop(
                    connection,
                    what_if_id=what_if_id,
                    entities=visitor.entities,
                    now=desk.renderer.now,
                )
            except LookupError as error:
                raise not_found("It waits no more.") from error
        return back_to(f"/what-if/{what_if_id}", done="stopped")


def _add_rule(pages: FastAPI, *, desk: WholeFirm, door: Door) -> None:
    def page(
        request: Request,
        visitor: Visitor,
        *,
        told: Mapping[str, str],
        wrong: Mapping[str, str],
        status: int = 200,
    ) -> Response:
        return desk.renderer.page(
            request,
            visitor,
            "own_rule.html",
            status=status,
            told=told,
            wrong=wrong,
            queues=owner_queues(),
            may_draft=visitor.may(ROLES_THAT_APPROVE),
        )

    @pages.get("/what-if/rule")
    def own_rule(request: Request, visitor: Annotated[Visitor, Depends(door.visitor)]) -> Response:
        with desk.open(visitor):
            told = dict.fromkeys((*_RULE_FIELDS, "reason"), "")
        return page(request, visitor, told={**told, "code": "firm."}, wrong={})

    @pages.post("/what-if/rule")
    def draft(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        reason: FormReason,
        code: FormWord = "",
        applies_when: FormText = "",
        predicate: FormText = "",
        severity: FormWord = "",
        owner: FormWord = "",
        message: FormText = "",
        fix: FormText = "",
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "draft a rule")
        told = {
            "code": code,
            "applies_when": applies_when or "true",
            "predicate": predicate,
            "severity": severity,
            "owner": owner,
            "message": message,
            "fix": fix,
        }
        try:
            with desk.open(visitor) as connection:
                done = draft_own_rule(
                    connection, told=told, by=visitor.login, reason=reason, now=desk.renderer.now
                )
        except FieldMistake as error:
            return page(
                request,
                visitor,
                told={**told, "reason": reason},
                wrong={error.field: str(error)},
                status=409,
            )
        return back_to(f"/what-if?draft={done.release_id}", done="drafted")


# -- what is asked ---------------------------------------------------------------------------------


def _releases(connection: Connection[Row]) -> list[tuple[str, str]]:
    return [
        (str(each.release_id), f"{each.release_id}: {each.title} ({each.state})")
        for each in list_releases(connection)
        if each.state != "current"
    ]


def _proposal_words(proposal: Proposal) -> str:
    return f"{proposal.payload['noun']}: {proposal.payload['file_name']}, by {proposal.proposed_by}"


def _question(told: Mapping[str, Any]) -> Question:
    release, rows = told["release"], told["rows"]
    if release and not release.isdecimal():
        raise UserMistake(f"there is no release {release}")
    if bool(rows) != bool(told["noun"]):
        raise UserMistake("rows go with what they are: choose it and paste them, or leave both")
    files: tuple[File, ...] = ()
    if rows:
        body = rows.encode()
        files = (read_draft_file(noun=told["noun"], name="pasted rows", body=body, is_whole=False),)
    return Question(
        starts_on=_day(told["starts_on"]),
        ends_on=_day(told["ends_on"]),
        new_release_id=int(release) if release else None,
        proposal_ids=tuple(told["proposal"]),
        files=files,
    )


def _title(told: Mapping[str, Any]) -> str:
    parts = [
        f"release {told['release']}" if told["release"] else "",
        f"{len(told['proposal'])} proposed files" if told["proposal"] else "",
        str(told["noun"]),
    ]
    return f"{' and '.join(filter(None, parts))}, {told['starts_on']} to {told['ends_on']}"


def _day(word: str) -> date:
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise UserMistake(f"{word} is no day: write YYYY-MM-DD") from None


# -- what is shown ---------------------------------------------------------------------------------


def _answered(connection: Connection[Row], visitor: Visitor, what_if_id: UUID) -> Answered:
    try:
        return get_answer(connection, what_if_id=what_if_id, entities=visitor.entities)
    except LookupError as error:
        raise not_found("There is no such question, or it is older than 90 days.") from error


def _chart(changes: Sequence[ContractChange]) -> dict[str, Any]:
    """Return the hours of the contracts that change most, by what becomes of them."""
    hours: dict[str, dict[str, int]] = {}
    for each in changes:
        name = each.contract_code or each.was_contract_code or "none yet"
        becomes = "priced" if each.was == each.becomes else each.becomes
        by_outcome = hours.setdefault(name, {})
        by_outcome[becomes] = by_outcome.get(becomes, 0) + each.seconds
    names = sorted(hours, key=lambda name: (-sum(hours[name].values()), name))[:_IN_CHART_MAX]
    series = (
        ("cleared", WHAT_IF_OUTCOMES["cleared"], "posted"),
        ("correct", WHAT_IF_OUTCOMES["correct"], "pending"),
        ("held", WHAT_IF_OUTCOMES["held"], "held"),
        ("parked", WHAT_IF_OUTCOMES["parked"], "at_risk"),
        ("priced", "Same answer, other price or reasons", "handed_over"),
        ("outside", "Not counted", "excluded"),
    )
    return {
        "kind": "stacked_bars",
        "unit": "h",
        "categories": names,
        "series": [
            {
                "name": name,
                "place": place,
                "seconds": [hours[contract].get(outcome, 0) for contract in names],
            }
            for outcome, name, place in series
        ],
    }


def _asked_sheet(asked: Sequence[Asked]) -> Sheet:
    return Sheet(
        name="Asked",
        columns=(
            Column(title="Question", width=60),
            Column(title="State"),
            Column(title="Hours entries read", kind=Kind.COUNT),
            Column(title="Hours entries in all", kind=Kind.COUNT),
            Column(title="Asked by"),
            Column(title="Asked at (UTC)", kind=Kind.INSTANT),
            Column(title="Ended at (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                each.title,
                spoken(each.state, WHAT_IFS),
                each.hours_done,
                each.hours_total,
                each.asked_by,
                each.asked_at,
                each.ended_at,
            )
            for each in asked
        ],
    )


def _workbook(answered: Answered, found: WhatIf, login: str) -> bytes:
    filters = {
        "worked from": found.starts_on.isoformat(),
        "worked before": found.ends_on.isoformat(),
        "release": str(found.new_release_id),
        "against": str(found.old_release_id),
    }
    return make_workbook(
        about=About(
            title=f"What if: {answered.asked.title}",
            as_of=found.known_at,
            by=login,
            filters=filters,
            notes=(
                f"{found.entries} of {found.hours_read} hours would be answered otherwise.",
                "Amounts of different currencies are never added.",
                "What stands in the ERP stays: it only tells what would have happened.",
                *found.policy,
            ),
        ),
        sheets=(_entity_sheet(found), _contract_sheet(found), _rule_sheet(found), _closed(found)),
    )


def _entity_sheet(found: WhatIf) -> Sheet:
    return Sheet(
        name="By legal entity",
        columns=(
            Column(title="Legal entity"),
            Column(title="Currency"),
            Column(title="Entries", kind=Kind.COUNT),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Goes to the ERP", kind=Kind.AMOUNT),
            Column(title="Would go", kind=Kind.AMOUNT),
        ),
        rows=[
            (e.entity_code, e.currency, e.entries, e.seconds, e.was_amount, e.amount)
            for e in found.entities
        ],
    )


def _contract_sheet(found: WhatIf) -> Sheet:
    return Sheet(
        name="By contract",
        columns=(
            Column(title="Legal entity now"),
            Column(title="Legal entity then"),
            Column(title="Contract now"),
            Column(title="Contract then"),
            Column(title="Where", width=20),
            Column(title="Is", width=24),
            Column(title="Would be", width=24),
            Column(title="Entries", kind=Kind.COUNT),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Worth", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Would be worth", kind=Kind.AMOUNT),
            Column(title="Currency then"),
            Column(title="Without a price", kind=Kind.COUNT),
        ),
        rows=[
            (
                each.was_entity_code,
                each.entity_code,
                each.was_contract_code,
                each.contract_code,
                WHERE_HOURS_STAND.get(each.place, each.place),
                WHAT_IF_OUTCOMES.get(each.was, each.was),
                WHAT_IF_OUTCOMES.get(each.becomes, each.becomes),
                each.entries,
                each.seconds,
                each.was_amount,
                each.was_currency,
                each.amount,
                each.currency,
                each.unpriced,
            )
            for each in found.contracts
        ],
    )


def _rule_sheet(found: WhatIf) -> Sheet:
    return Sheet(
        name="By rule",
        columns=(
            Column(title="Rule", width=32),
            Column(title="Severity"),
            Column(title="Hours entries that gain it", kind=Kind.COUNT),
            Column(title="Hours entries that lose it", kind=Kind.COUNT),
            Column(title="Hours", kind=Kind.HOURS),
        ),
        rows=[(r.code, r.severity, r.gained, r.lost, r.seconds) for r in found.rules],
    )


def _closed(found: WhatIf) -> Sheet:
    return Sheet(
        name="Closed periods",
        columns=(
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="Currency"),
            Column(title="Entries", kind=Kind.COUNT),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Went to the ERP", kind=Kind.AMOUNT),
            Column(title="Would have gone", kind=Kind.AMOUNT),
        ),
        rows=[
            (
                each.entity_code,
                each.period_code,
                each.currency,
                each.entries,
                each.seconds,
                each.was_amount,
                each.amount,
            )
            for each in found.closed_periods
        ],
    )
