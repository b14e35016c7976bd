"""Who has not handed in or approved time: per person and approver, what is missing and what it is worth.

Pattern: read on request; a reminder is written once per owner and day, and sent as every message is; who
stands in for an approver is agreed to by two people. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from psycopg import Connection

from tieline.governance import record_audit
from tieline.kernel.errors import UserMistake
from tieline.kernel.money import Money, line_amount
from tieline.kernel.wording import hours, until, when
from tieline.register import Cells
from tieline.runtime.database import Row
from tieline.services.message_desk import Desk
from tieline.services.message_text import Speech
from tieline.services.reference_files import File, Loaded, get_noun, load_file

MISSING, UNAPPROVED, UNKNOWN, ALL = "missing", "unapproved", "unknown", "all"
STATES = (MISSING, UNAPPROVED, UNKNOWN, ALL)
_DEPUTY_DAYS_MAX = 366


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A person as pages write them; ``name`` is None where it was erased or never told."""

    person_id: UUID
    name: str | None
    has_email: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """Who approves: their hours that wait, whether they are away today, and who stands in.

    ``deputies`` counts who was told to stand in by a delegation; of several nobody is chosen.
    """

    person: Named
    entity_code: str
    period_code: str
    zone: str
    cut_off_at: datetime
    away_until: date | None
    deputy: Named | None
    deputies: int
    people: int
    entered_seconds: int
    approved_seconds: int

    @property
    def unapproved_seconds(self) -> int:
        """Return what was entered and waits for this approval."""
        return self.entered_seconds - self.approved_seconds

    @property
    def in_charge(self) -> Named | None:
        """Return who is to approve today: the deputy of who is away, None where nobody is named."""
        is_told = self.deputies > 0 or self.away_until is not None
        return self.deputy if is_told else self.person


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPerson:
    """What one person owes a legal entity in a period; all in seconds.

    ``submitted_seconds`` is None where a time tool of theirs does not tell it. What is expected on
    ``unknown_days`` nobody knows, for the reason in ``unknown``: nothing is missing there.
    """

    person: Named
    entity_code: str
    period_code: str
    zone: str
    starts_on: date
    until_on: date
    cut_off_at: datetime
    expected_seconds: int
    entered_seconds: int
    submitted_seconds: int | None
    approved_seconds: int
    missing_seconds: int
    unknown_days: int
    unknown: str
    worth: Money | None
    approvers: tuple[Named, ...]

    @property
    def unapproved_seconds(self) -> int:
        """Return what was entered and is not approved."""
        return self.entered_seconds - self.approved_seconds

    def is_in(self, state: str) -> bool:
        """Tell whether a person belongs in a list."""
        match state:
            case "missing":
                return self.missing_seconds > 0
            case "unapproved":
                return self.unapproved_seconds > 0
            case "unknown":
                return self.unknown_days > 0
            case _:
                return True


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingTime:
    """What is missing in one period of the legal entities in sight."""

    people: tuple[MissingPerson, ...]
    approvers: tuple[Approver, ...]

    def of_approver(self, person_id: UUID) -> MissingTime:
        """Return one approver, and the people who have hours or an assignment with them."""
        return MissingTime(
            people=tuple(
                each
                for each in self.people
                if any(approver.person_id == person_id for approver in each.approvers)
            ),
            approvers=tuple(each for each in self.approvers if each.person.person_id == person_id),
        )

    @property
    def missing(self) -> tuple[MissingPerson, ...]:
        """Return who has not handed in what was expected."""
        return tuple(each for each in self.people if each.missing_seconds)

    @property
    def missing_seconds(self) -> int:
        """Return what was expected and not entered."""
        return sum(each.missing_seconds for each in self.people)

    @property
    def unapproved_seconds(self) -> int:
        """Return what was entered and is not approved."""
        return sum(each.unapproved_seconds for each in self.people)

    @property
    def unassigned_seconds(self) -> int:
        """Return what waits for an approval and the staffing file names no one approver for."""
        return self.unapproved_seconds - sum(each.unapproved_seconds for each in self.approvers)

    @property
    def worths(self) -> dict[str, Decimal]:
        """Return what the missing hours are worth, by currency; never added across."""
        sums: dict[str, Decimal] = {}
        for each in self.people:
            if each.worth is not None:
                sums[each.worth.currency] = (
                    sums.get(each.worth.currency, Decimal(0)) + each.worth.amount
                )
        return sums

    @property
    def unpriced_seconds(self) -> int:
        """Return the missing hours of people whose hour nobody can price."""
        return sum(each.missing_seconds for each in self.people if each.worth is None)

    @property
    def unknown_people(self) -> int:
        """Return of how many people nobody knows what was expected on some day."""
        return sum(1 for each in self.people if each.unknown_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminded:
    """Who was reminded, by one message each; who was already today, and who has no address."""

    written: int
    already: int
    unreached: tuple[Named, ...]


def read_missing_time(
    connection: Connection[Row],
    *,
    now: datetime,
    known_at: datetime | None = None,
    entity_code: str = "",
    period_code: str = "",
) -> MissingTime:
    """Return who has not handed in or approved time, of a period or the one that is cut off next."""
    rows = connection.execute(
        "SELECT * FROM page_missing_time(%s, %s, %s, %s)",
        (period_code, entity_code, now, known_at or now),
    ).fetchall()
    by_person: dict[tuple[UUID, str], list[Row]] = {}
    for row in rows:
        by_person.setdefault((row["person_id"], row["entity_code"]), []).append(row)
    return MissingTime(
        people=tuple(_person(theirs) for theirs in by_person.values()),
        approvers=tuple(_approvers(rows)),
    )


def remind(
    connection: Connection[Row],
    *,
    found: MissingTime,
    desk: Desk,
    by: str,
    reason: str,
) -> Reminded:
    """Write one message per owner: who is missing time, and whoever is to approve; as the worker.

    Told once a day, however often it is asked for.

    :raises UserMistake: no channel brings messages to people of the staffing file.
    """
    desk.refuse_unreached_staff()
    owed = _owed(found)
    written = already = 0
    for person, debts in owed.values():
        if not person.has_email:
            continue
        subject, body = _write(debts, now=desk.now, speech=desk.speech)
        is_new = desk.remind(
            connection,
            person_id=person.person_id,
            occasion=f"reminder:{desk.day_in(debts[0].zone)}",
            entities={debt.entity_code for debt in debts},
            subject=subject,
            body=body,
            due_at=min(debt.cut_off_at for debt in debts),
            correlation_id=f"reminder:{person.person_id}",
        )
        written += is_new
        already += not is_new
    _audit(connection, owed.values(), written=written, by=by, reason=reason, now=desk.now)
    return Reminded(
        written=written,
        already=already,
        unreached=tuple(person for person, _ in owed.values() if not person.has_email),
    )


def deputize(
    connection: Connection[Row],
    *,
    approver_id: UUID,
    deputy: str,
    starts_on: date,
    ends_on: date,
    by: str,
    reason: str,
    now: datetime,
    through: str = "",
) -> Loaded:
    """Let somebody approve for an approver on the days of [starts_on, ends_on); a second person agrees.

    ``deputy`` is an e-mail address, an employee code or an id; as the worker.

    :raises UserMistake: nobody is meant by it, the days cannot be, or it stands already.
    """
    if not 0 < (ends_on - starts_on).days <= _DEPUTY_DAYS_MAX:
        raise UserMistake(f"say the first and the last day, at most {_DEPUTY_DAYS_MAX} of them")
    cells = {
        "from_person": str(approver_id),
        "to_person": deputy,
        "starts_on": starts_on.isoformat(),
        "ends_on": ends_on.isoformat(),
    }
    return load_file(
        connection,
        file=File(
            noun=get_noun("approval-delegations"),
            name="missing time",
            rows=(Cells(line=1, cells=cells),),
            is_whole=False,
        ),
        by=by,
        reason=reason,
        now=now,
        through=through,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Debt:
    """What one person is asked for in one legal entity: hours to hand in, or to approve."""

    entity_code: str
    period_code: str
    zone: str
    cut_off_at: datetime
    missing_seconds: int
    until_on: date | None
    unapproved_seconds: int
    people: int
    stands_in: bool


def _owed(found: MissingTime) -> dict[UUID, tuple[Named, list[_Debt]]]:
    owed: dict[UUID, tuple[Named, list[_Debt]]] = {}
    for each in found.missing:
        debt = _Debt(
            entity_code=each.entity_code,
            period_code=each.period_code,
            zone=each.zone,
            cut_off_at=each.cut_off_at,
            missing_seconds=each.missing_seconds,
            until_on=each.until_on,
            unapproved_seconds=0,
            people=0,
            stands_in=False,
        )
        owed.setdefault(each.person.person_id, (each.person, []))[1].append(debt)
    for approver in found.approvers:
        person = approver.in_charge
        if person is None or not approver.unapproved_seconds:
            continue
        debt = _Debt(
            entity_code=approver.entity_code,
            period_code=approver.period_code,
            zone=approver.zone,
            cut_off_at=approver.cut_off_at,
            missing_seconds=0,
            until_on=None,
            unapproved_seconds=approver.unapproved_seconds,
            people=approver.people,
            stands_in=person.person_id != approver.person.person_id,
        )
        owed.setdefault(person.person_id, (person, []))[1].append(debt)
    return owed


def _write(debts: Sequence[_Debt], *, now: datetime, speech: Speech) -> tuple[str, str]:
    # No names: a message is kept, and names live in one place.
    missing = sum(debt.missing_seconds for debt in debts)
    waiting = sum(debt.unapproved_seconds for debt in debts)
    facts = [f"{hours(missing)} h to hand in"] if missing else []
    facts += [f"{hours(waiting)} h to approve"] if waiting else []
    first = min(debts, key=lambda debt: debt.cut_off_at)
    subject = f"{', '.join(facts)} before {when(first.cut_off_at, first.zone)}"
    lines = []
    for debt in debts:
        at = f"{debt.entity_code} {debt.period_code}, closes {when(debt.cut_off_at, debt.zone)}"
        lines += ["", f"{at} ({until(debt.cut_off_at, now)}):"]
        if debt.missing_seconds and debt.until_on is not None:
            last = debt.until_on - timedelta(days=1)
            lines.append(
                f"- {hours(debt.missing_seconds)} h were expected of you until {last} and are not"
                " in the time tool. Hand them in, or tell whoever plans your time why not."
            )
        if debt.unapproved_seconds:
            whose = " in place of somebody who is away" if debt.stands_in else ""
            lines.append(
                f"- {hours(debt.unapproved_seconds)} h of {_people(debt.people)} wait for your"
                f" approval{whose}."
            )
    if speech.web_url:
        lines += ["", f"Who has a login sees more: {speech.web_url}/missing"]
    return subject, "\n".join([*lines[1:], ""])


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _audit(
    connection: Connection[Row],
    owed: Iterable[tuple[Named, Sequence[_Debt]]],
    *,
    written: int,
    by: str,
    reason: str,
    now: datetime,
) -> None:
    owners: dict[tuple[str, str], int] = {}
    for person, debts in owed:
        for key in {(debt.entity_code, debt.period_code) for debt in debts}:
            owners[key] = owners.get(key, 0) + person.has_email
    for (entity_code, period_code), count in sorted(owners.items()):
        record_audit(
            connection,
            now=now,
            actor=by,
            action="time.reminded",
            object=f"missing_time:{entity_code}:{period_code}",
            entity_code=entity_code,
            reason=reason,
            data={"owners": count, "messages_written": written},
        )


def _person(rows: Sequence[Row]) -> MissingPerson:
    first = rows[0]
    worth = None
    if first["missing_seconds"] == 0:
        worth = (
            None
            if first["currency"] is None
            else Money(amount=Decimal(0), currency=first["currency"])
        )
    elif first["hour_amount"] is not None:
        rate = Money(amount=first["hour_amount"], currency=first["currency"])
        worth = line_amount(seconds=first["missing_seconds"], rate=rate)
    same = (
        "entity_code",
        "period_code",
        "zone",
        "starts_on",
        "until_on",
        "cut_off_at",
        "expected_seconds",
        "entered_seconds",
        "submitted_seconds",
        "approved_seconds",
        "missing_seconds",
        "unknown_days",
        "unknown",
    )
    return MissingPerson(
        **{name: first[name] for name in same},
        person=Named(
            person_id=first["person_id"], name=first["person_name"], has_email=first["has_email"]
        ),
        worth=worth,
        approvers=tuple(_named(row, "approver") for row in rows if row["approver_id"] is not None),
    )


def _named(row: Row, part: str) -> Named:
    return Named(
        person_id=row[f"{part}_id"], name=row[f"{part}_name"], has_email=row[f"{part}_has_email"]
    )


def _approvers(rows: Iterable[Row]) -> Iterable[Approver]:
    by_approver: dict[tuple[UUID, str], list[Row]] = {}
    for row in rows:
        if row["approver_id"] is not None:
            by_approver.setdefault((row["approver_id"], row["entity_code"]), []).append(row)
    for theirs in by_approver.values():
        first = theirs[0]
        deputies = {row["deputy_id"]: row for row in theirs if row["deputy_id"] is not None}
        # Whom the staffing file names may differ from one assignment to the next: then it names nobody.
        (chosen,) = deputies.values() if len(deputies) == 1 else (None,)
        yield Approver(
            person=_named(first, "approver"),
            entity_code=first["entity_code"],
            period_code=first["period_code"],
            zone=first["zone"],
            cut_off_at=first["cut_off_at"],
            away_until=first["away_until"],
            deputy=None if chosen is None else _named(chosen, "deputy"),
            deputies=first["deputies"],
            people=len(
                {
                    row["person_id"]
                    for row in theirs
                    if row["own_entered_seconds"] > row["own_approved_seconds"]
                }
            ),
            entered_seconds=sum(row["own_entered_seconds"] for row in theirs),
            approved_seconds=sum(row["own_approved_seconds"] for row in theirs),
        )
