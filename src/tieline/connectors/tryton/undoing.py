"""How Tryton takes each noun back, by what state it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from tieline.connectors.tryton.transport import Session, after_a_write, before_the_write
from tieline.kernel.errors import AskPerson, MendTieline, Refused
from tieline.kernel.keys import key_as_base32

DELETED = "deleted"
ABSENT = "absent"
INACTIVATED = "inactivated"
CLOSED = "end-dated and done"
CANCELLED = "cancelled"

Undo = Callable[[Session, int, UUID, Mapping[str, Any]], str]


def undo(
    *, session: Session, company_id: int, noun: str, target_id: int, business_key: UUID
) -> str:
    """Take one record back and return how.

    :raises Refused: its state does not allow it, or it is not the record we made.
    """
    method = _METHODS.get(noun)
    if method is None:
        raise MendTieline(f"Tryton holds no {noun} of ours to take back")
    return method(session, target_id, business_key, {"company": company_id})


def _client(session: Session, number: int, key: UUID, context: Mapping[str, Any]) -> str:
    with before_the_write():
        found = session.search("party.party", [["id", "=", number]], ["code"])
    if not found:
        return ABSENT
    _own("client", found[0]["code"], key)
    try:
        session.write("model.party.party.delete", [number], context=context)
    except Refused:
        session.write("model.party.party.write", [number], {"active": False}, context=context)
        return INACTIVATED
    return DELETED


def _contract(session: Session, number: int, key: UUID, context: Mapping[str, Any]) -> str:
    with before_the_write():
        found = session.search("sale.sale", [["id", "=", number]], ["state", "reference"])
    if not found:
        return ABSENT
    _own("contract", found[0]["reference"], key)
    match found[0]["state"]:
        case "draft" | "cancelled":
            session.write("model.sale.sale.delete", [number], context=context)
            return DELETED
        case "quotation":
            session.write("model.sale.sale.cancel", [number], context=context)
            with after_a_write():
                session.write("model.sale.sale.delete", [number], context=context)
            return DELETED
        case "confirmed":
            session.write("model.sale.sale.cancel", [number], context=context)
            return CANCELLED
        case state:
            raise Refused(
                f"sale {number} is {state} in Tryton and cannot be cancelled",
                reason="target.state",
                target_code=str(number),
            )


def _project(session: Session, number: int, _key: UUID, context: Mapping[str, Any]) -> str:
    return _work(session, number, context)


def _task(session: Session, number: int, key: UUID, context: Mapping[str, Any]) -> str:
    with before_the_write():
        found = session.search("project.work", [["id", "=", number]], ["number"])
    if not found:
        return ABSENT
    _own("task", found[0]["number"], key)
    return _work(session, number, context)


def _work(session: Session, number: int, context: Mapping[str, Any]) -> str:
    with before_the_write():
        tree = session.search(
            "project.work", [["parent", "child_of", [number]]], ["timesheet_works"]
        )
        last_days = {
            row["id"]: _last_line(session, [["work", "in", row["timesheet_works"]]]) for row in tree
        }
    if not tree:
        return ABSENT
    used = {work: day for work, day in last_days.items() if day is not None}
    if not used:
        session.write("model.project.work.delete", sorted(last_days), context=context)
        return DELETED
    done = _done(session)
    unused = sorted(last_days.keys() - used.keys() - {number})
    if unused:
        session.write("model.project.work.delete", unused, context=context)
    for work, day in used.items():
        values = {**done, "timesheet_end_date": day}
        session.write("model.project.work.write", [work], values, context=context)
    # The parent comes last: Tryton refuses a finished project of unfinished tasks.
    if number not in used:
        session.write("model.project.work.write", [number], done, context=context)
    return CLOSED


def _done(session: Session) -> dict[str, Any]:
    with before_the_write():
        status = session.search("project.work.status", [["progress", "=", 1]], ["id"], limit=1)
    if not status:
        raise AskPerson("Tryton has no project status with progress 100 %")
    return {"progress": 1, "status": status[0]["id"]}


def _employee(session: Session, number: int, _key: UUID, context: Mapping[str, Any]) -> str:
    with before_the_write():
        if not session.search("company.employee", [["id", "=", number]], ["id"]):
            return ABSENT
        last = _last_line(session, [["employee", "=", number]])
    if last is None:
        session.write("model.company.employee.delete", [number], context=context)
        return DELETED
    session.write("model.company.employee.write", [number], {"end_date": last}, context=context)
    return CLOSED


def _last_line(session: Session, domain: list[Any]) -> date | None:
    rows = session.read(
        "model.timesheet.line.search_read", domain, 0, 1, [["date", "DESC"]], ["date"]
    )
    return rows[0]["date"] if rows else None


def _own(noun: str, stored: str | None, key: UUID) -> None:
    if stored != key_as_base32(key):
        raise Refused(f"this {noun} does not carry our key", reason="target.not_ours")


_METHODS: Mapping[str, Undo] = {
    "client": _client,
    "contract": _contract,
    "project": _project,
    "task": _task,
    "employee": _employee,
}
