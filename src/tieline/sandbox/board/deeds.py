"""What can be done in the world: each deed, what it is about at this moment, and the doing of it.

``lose`` and ``away`` befall the way to the ERP, the others are done by people of the firm. A choice
names what a deed is about: a deal or an entry by the key it was loaded with, the Monday of a week, a
month of the ERP and what becomes of it. A deed that leaves no choice is done without one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path

from tieline.kernel.wording import money
from tieline.sandbox.board.doors import Door, ErpDoor, Month, NotDone
from tieline.sandbox.board.occasions import Drop, Occasions

ANSWERS_LOST = 5
AWAY_SECONDS = 30
_CREATE_LINES = r"model\.timesheet\.line\.create"
_LOST_RULE = "board-lost"
_DONE_MAX = 200
_CLOSE, _REOPEN = "close", "reopen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something a deed can be about."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A deed in the words of the board: what it does, and where in the console it is seen."""

    code: str
    title: str
    button: str
    does: str
    page: str
    path: str
    number: str
    is_choosing: bool = True
    none: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A deed that was done: its number on this board, when, and what became of the world."""

    number: int
    code: str
    at: datetime
    said: str


DEEDS: tuple[Deed, ...] = (
    Deed(
        code="win",
        title="Win a deal",
        button="Win it",
        does="Sales moves a deal in the CRM to won.",
        page="Hand-over",
        path="/handover",
        number="The deal within seconds: active with no blocker, or stopped with all of them named.",
        none="Every deal of the CRM is won or lost.",
    ),
    Deed(
        code="approve",
        title="Approve a week",
        button="Approve it",
        does="The leads approve everything that was handed in for a week in the time tool.",
        page="Close",
        path="/close",
        number="Approved in the time tool grows by the week; Unaccounted stays 0.00.",
        none="No hours wait for approval in the time tool.",
    ),
    Deed(
        code="lose",
        title=f"Lose the next {ANSWERS_LOST} answers",
        button="Lose them",
        does=f"The ERP takes the next {ANSWERS_LOST} batches of hours, and its answers are lost on"
        " the way back. Let hours be approved, or there is nothing to answer.",
        page="Overview",
        path="/",
        number="Unconfirmed rises and returns to 0: found in the ERP, not sent again.",
        is_choosing=False,
    ),
    Deed(
        code="away",
        title=f"Take the ERP away for {AWAY_SECONDS} seconds",
        button="Take it away",
        does="Nothing reaches the ERP; whoever tries is told that the service is unavailable.",
        page="Connections",
        path="/connections",
        number="Tryton is not reached; what waits is sent when it is back, each once.",
        is_choosing=False,
    ),
    Deed(
        code="edit",
        title="Edit a posted hour",
        button="Change it",
        does="Somebody corrects hours in the time tool that are in the ERP already.",
        page="Changes",
        path="/changes",
        number="The difference, as a reversal and a new line.",
        none="Nobody has a posted hour to correct.",
    ),
    Deed(
        code="delete",
        title="Delete a posted hour",
        button="Delete it",
        does="Somebody deletes hours in the time tool. It tells nobody: no event is sent, the entry is"
        " simply not there any more.",
        page="Changes",
        path="/changes",
        number="The amount taken back, once the time tool has been asked for the entry itself.",
        none="Nobody has a posted hour to delete.",
    ),
    Deed(
        code="month",
        title="Close or re-open a month in the ERP",
        button="Do it",
        does="An accountant closes a period in the ERP itself, or opens it again.",
        page="Close",
        path="/close",
        number="Corrections of a closed month go to the next open one.",
        none="The board knows of no month of the ERP.",
    ),
    Deed(
        code="file",
        title="Drop the agency file twice",
        button="Drop it twice",
        does="An agency sends the hours of its people as a file, and the same file again under"
        " another name.",
        page="Exceptions",
        path="/exceptions",
        number="A case for each line that cannot be read, with its number; the repeat brings nothing.",
        is_choosing=False,
        none="No agency sends a file.",
    ),
)


@dataclass(slots=True, kw_only=True)
class Deeds:
    """Do deeds through the vendors' doors, one at a time, and remember them."""

    hubspot: Door
    harvest: Door
    front: Door
    erp: ErpDoor
    now: Callable[[], datetime]
    occasions: Occasions = field(default_factory=Occasions)
    done: deque[Done] = field(default_factory=lambda: deque(maxlen=_DONE_MAX))
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def choices(self, deed: Deed) -> Sequence[Choice]:
        """Return what the deed can be about now; a deed without a choice has one that is empty.

        :raises NotDone: the vendor that would know does not answer.
        """
        match deed.code:
            case "win":
                return self._open_deals()
            case "approve":
                return self._weeks()
            case "edit":
                return self._edits()
            case "delete":
                return self._deletes()
            case "month":
                return [
                    Choice(value=_turning(month), label=_turning_said(month))
                    for month in self._months()
                ]
            case "file":
                drop = self.occasions.file
                return [Choice(value="", label="", note=drop.note)] if drop else []
            case "lose":
                return [Choice(value="", label="", note=self._lost())]
            case "away":
                return [Choice(value="", label="", note=self._gone())]
            case _:
                raise AssertionError(f"{deed.code} is no deed")

    def do(self, deed: Deed, choice: str) -> Done:
        """Do a deed and say what it did.

        :raises NotDone: there is no such choice now, or a vendor refuses.
        """
        chosen = next((each for each in self.choices(deed) if each.value == choice), None)
        if chosen is None:
            raise NotDone(f"{choice!r} is nothing to {deed.code} now")
        said = self._verbs[deed.code](chosen)
        done = Done(number=next(self._numbers), code=deed.code, at=self.now(), said=said)
        self.done.append(done)
        return done

    @property
    def _verbs(self) -> Mapping[str, Callable[[Choice], str]]:
        return {
            "win": self._win,
            "approve": self._approve,
            "lose": self._lose,
            "away": self._away,
            "edit": self._edit,
            "delete": self._delete,
            "month": self._month,
            "file": self._file,
        }

    def _open_deals(self) -> Sequence[Choice]:
        return [
            Choice(
                value=deal["key"],
                label=f"{deal['dealname']}, {_worth(deal)}",
                note=self.occasions.deals.get(deal["key"], ""),
            )
            for deal in self.hubspot.ask("deals")["deals"]
        ]

    def _win(self, deal: Choice) -> str:
        self.hubspot.act("win", {"deal_id": deal.value})
        return f"Won: {deal.label}."

    def _weeks(self) -> Sequence[Choice]:
        return [
            Choice(
                value=week["starts_on"],
                label=f"Week of {week['starts_on']}, {week['entries']:,} entries",
            )
            for week in self.harvest.ask("weeks")["weeks"]
        ]

    def _approve(self, week: Choice) -> str:
        changed = self.harvest.act("approve_week", {"starts_on": week.value})["changed"]
        return f"{changed:,} entries approved."

    def _edits(self) -> Sequence[Choice]:
        hours = self._hours([edit.entry for edit in self.occasions.edits])
        return [
            Choice(value=edit.entry, label=edit.note)
            for edit in self.occasions.edits
            if edit.entry in hours and hours[edit.entry] != edit.hours
        ]

    def _deletes(self) -> Sequence[Choice]:
        hours = self._hours([delete.entry for delete in self.occasions.deletes])
        return [
            Choice(value=delete.entry, label=delete.note)
            for delete in self.occasions.deletes
            if delete.entry in hours
        ]

    def _hours(self, entries: Sequence[str]) -> Mapping[str, Decimal]:
        if not entries:
            return {}
        hours = self.harvest.ask("entries", keys="\n".join(entries))["hours"]
        return {key: Decimal(str(value)) for key, value in hours.items()}

    def _lost(self) -> str:
        """Say how many of the answers that are to be lost are lost already."""
        for rule in self.front.ask("faults/rules"):
            if rule["name"] == _LOST_RULE:
                return f"{rule['injected']} of {ANSWERS_LOST} are lost so far."
        return ""

    def _gone(self) -> str:
        away = self.front.ask("away")
        if away["seconds_left"]:
            return f"It is back in {away['seconds_left']} seconds."
        return f"Calls turned away so far: {away['turned_away']}." if away["turned_away"] else ""

    def _lose(self, _choice: Choice) -> str:
        rule = {
            "name": _LOST_RULE,
            "kind": "answer_lost",
            "body": _CREATE_LINES,
            "max_count": ANSWERS_LOST,
        }
        self.front.act("faults", {"add": [rule]})
        return f"The answers to the next {ANSWERS_LOST} batches of hours will be lost."

    def _away(self, _choice: Choice) -> str:
        self.front.act("away", {"seconds": AWAY_SECONDS})
        return f"The ERP is away for {AWAY_SECONDS} seconds."

    def _edit(self, entry: Choice) -> str:
        edit = next(edit for edit in self.occasions.edits if edit.entry == entry.value)
        self.harvest.act("edit", {"id": edit.entry, "changes": {"hours": str(edit.hours)}})
        return f"Changed: {edit.note}."

    def _delete(self, entry: Choice) -> str:
        self.harvest.act("delete", {"ids": [entry.value]})
        return f"Deleted: {entry.label}."

    def _months(self) -> Sequence[Month]:
        return self.erp.months(starts_on=self.occasions.months) if self.occasions.months else ()

    def _month(self, turning: Choice) -> str:
        month = next(each for each in self._months() if _turning(each) == turning.value)
        self.erp.turn(month, is_closing=month.is_open)
        became = "closed" if month.is_open else "open again"
        return f"{_month_name(month)} is {became} in the ERP."

    def _file(self, _choice: Choice) -> str:
        drop = self.occasions.file
        if drop is None:
            raise NotDone("no agency sends a file")
        name = Path(drop.name)
        again = f"{name.stem}-again{name.suffix}"
        for each in (drop.name, again):
            _put(drop, each)
        return f"{drop.name} and {again} lie in the folder."


def find_deed(code: str) -> Deed | None:
    """Return a deed by its code."""
    return next((deed for deed in DEEDS if deed.code == code), None)


def _put(drop: Drop, name: str) -> None:
    """Let a file appear whole, as who sends one does."""
    draft = drop.directory / f"{name}.part"
    try:
        drop.directory.mkdir(parents=True, exist_ok=True)
        draft.write_text(drop.content, encoding="utf-8")
        draft.replace(drop.directory / name)
    except OSError as error:
        raise NotDone(f"{name} cannot be put into its folder: {error.strerror}") from error


def _worth(deal: Mapping[str, str | None]) -> str:
    amount = deal["amount"]
    return money(amount, deal["deal_currency_code"]) if amount else "without an amount"


def _turning(month: Month) -> str:
    verb = _CLOSE if month.is_open else _REOPEN
    return f"{verb} {month.entity_code} {month.starts_on.isoformat()}"


def _turning_said(month: Month) -> str:
    return f"{'Close' if month.is_open else 'Re-open'} {_month_name(month)}"


def _month_name(month: Month) -> str:
    return f"{month.starts_on:%B %Y} of {month.entity_name}"
