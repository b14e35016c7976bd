"""Cases follow what is held."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection

from tieline.casework import (
    close_absent,
    dismiss,
    fix_and_replay,
    get_case,
    leave_out,
    list_cases,
    open_case,
    sync_time_cases,
    value_at_risk,
)
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.errors import UserMistake
from tieline.kernel.money import Money

from .hand_made_firm import NOW, Firm

LATER = NOW + timedelta(hours=1)


def sync(connection: Connection[dict[str, Any]], *, now: Any = NOW) -> Any:
    return sync_time_cases(connection, now=now, correlation_id="c-2")


class TestSync:
    def test_groups_a_persons_week_into_one_case(self, firm: Firm) -> None:
        firm.rule("time.week_exceeded", thing="person_week")
        for day in (5, 7, 11):
            entry = firm.entry(f"w{day}", work_date=date(2026, 10, day))
            firm.judge(entry, "held", "time.week_exceeded", work_date=date(2026, 10, day))
        other_week = firm.entry("w12", work_date=date(2026, 10, 12))
        firm.judge(other_week, "held", "time.week_exceeded", work_date=date(2026, 10, 12))

        upkeep = sync(firm.connection)

        assert (upkeep.opened, upkeep.joined) == (2, 4)
        keys = {case.thing_key: case.members for case in list_cases(firm.connection)}
        assert keys == {"clock:anna:2026-10-05": 3, "clock:anna:2026-10-12": 1}

    def test_names_the_project_and_the_unknown_reference(self, firm: Firm) -> None:
        firm.rule("time.project_inactive", thing="project")
        firm.rule("time.task_unknown", thing="mapping", owner_queue="integration")
        entry = firm.entry("e1", project_ref="p9")
        firm.judge(entry, "held", "time.project_inactive", "time.task_unknown")

        sync(firm.connection)

        found = {
            (case.reason, case.owner_queue, case.thing_kind, case.thing_key)
            for case in list_cases(firm.connection)
        }
        assert found == {
            ("time.project_inactive", "delivery", "project", "clock:p9"),
            ("time.task_unknown", "integration", "mapping", "clock:task:p9/t1"),
        }

    def test_changes_nothing_the_second_time(self, firm: Firm) -> None:
        firm.judge(firm.entry("e1"), "held", "time.anything")
        sync(firm.connection)

        again = sync(firm.connection, now=LATER)

        assert (again.opened, again.joined, again.left, again.closed) == (0, 0, 0, 0)

    def test_closes_itself_when_the_last_member_leaves(self, firm: Firm) -> None:
        project = firm.project("P1")
        firm.rule("time.project_inactive", thing="project")
        first, second = firm.entry("e1"), firm.entry("e2")
        for entry in (first, second):
            firm.judge(entry, "held", "time.project_inactive", project=project)
        sync(firm.connection)

        firm.judge(first, "cleared", project=project)
        one_left = sync(firm.connection, now=LATER)
        firm.judge(second, "cleared", project=project)
        none_left = sync(firm.connection, now=LATER)

        assert (one_left.left, one_left.closed) == (1, 0)
        assert (none_left.left, none_left.closed) == (1, 1)
        (case,) = list_cases(firm.connection, state="closed")
        assert case.closed_because == "healed"
        assert list_cases(firm.connection) == ()

    def test_opens_a_new_case_when_the_cause_comes_back(self, firm: Firm) -> None:
        entry = firm.entry("e1")
        firm.judge(entry, "held", "time.anything")
        sync(firm.connection)
        firm.judge(entry, "cleared")
        sync(firm.connection)

        firm.judge(entry, "held", "time.anything")
        back = sync(firm.connection, now=LATER)

        assert (back.opened, back.joined) == (1, 1)

    def test_sums_by_price_else_by_cost_else_unpriced(self, firm: Firm) -> None:
        project = firm.project("P1")
        firm.rule("time.project_inactive", thing="project")
        firm.judge(firm.entry("priced"), "held", "time.project_inactive", project=project)
        firm.judge(firm.entry("costed"), "held", "time.project_inactive")
        firm.judge(
            firm.entry("unpriced", seconds=1800),
            "held",
            "time.project_inactive",
            seconds=1800,
            with_person=False,
        )

        sync(firm.connection)

        (case,) = list_cases(firm.connection)
        assert case.seconds == 9000
        assert case.unpriced_seconds == 1800
        assert case.amounts == (Money(amount=Decimal("210.00"), currency="EUR"),)
        detail = get_case(firm.connection, case_id=case.case_id)
        assert sorted(member.basis for member in detail.members) == ["cost", "price", "unpriced"]

    def test_counts_an_hour_with_two_reasons_once_at_risk(self, firm: Firm) -> None:
        project = firm.project("P1")
        firm.judge(firm.entry("e1"), "held", "time.one", "time.two", project=project)

        sync(firm.connection)

        assert len(list_cases(firm.connection)) == 2
        assert value_at_risk(firm.connection) == (
            (Money(amount=Decimal("150.00"), currency="EUR"),),
            0,
        )

    def test_makes_a_case_of_each_bad_row_and_heals_it(self, firm: Firm) -> None:
        firm.connection.execute(
            "INSERT INTO untranslated (connection_key, source_epoch, object, source_ref, raw_id, reason,"
            " field, message, line_number, recorded_at) VALUES ('clock', 0, 'row', 'r7', 5,"
            " 'file.bad_number', 'hours', 'hours is not a number', 7, %s)",
            (NOW,),
        )

        sync(firm.connection)
        (case,) = list_cases(firm.connection)
        firm.connection.execute("UPDATE untranslated SET healed_at = %s", (LATER,))
        healed = sync(firm.connection, now=LATER)

        assert case.thing_key == "clock:row:r7:line 7"
        assert case.details["line_number"] == "7"
        assert healed.closed == 1

    def test_groups_refused_writes_by_project_and_sends_them_again(self, firm: Firm) -> None:
        project = firm.project("P1")
        keys = []
        for name in ("e1", "e2"):
            entry = firm.entry(name)
            firm.judge(entry, "cleared", project=project)
            keys.append(firm.post(entry, until="REJECTED"))

        sync(firm.connection)
        (case,) = list_cases(firm.connection, reason="posted.rejected")
        replayed = fix_and_replay(
            firm.connection, case_id=case.case_id, by="ada", reason="period opened", now=LATER
        )
        healed = sync(firm.connection, now=LATER)

        assert case.members == 2
        assert case.seconds == 7200
        assert replayed == 4
        states = firm.connection.execute("SELECT DISTINCT state FROM effect").fetchall()
        assert [row["state"] for row in states] == ["PLANNED"]
        assert healed.closed == 1


class TestReplay:
    def test_writes_a_rejudge_row_for_each_member(self, firm: Firm) -> None:
        firm.rule("time.project_inactive", thing="project")
        entries = [firm.entry(name) for name in ("e1", "e2")]
        for entry in entries:
            firm.judge(entry, "held", "time.project_inactive")
        sync(firm.connection)
        (case,) = list_cases(firm.connection)

        replayed = fix_and_replay(
            firm.connection, case_id=case.case_id, by="ada", reason="reopened", now=LATER
        )

        rows = firm.connection.execute(
            "SELECT neighbor_key, because FROM rejudge WHERE neighbor_key LIKE 'entry:%'"
        ).fetchall()
        assert replayed == 2
        assert {row["neighbor_key"] for row in rows} == {f"entry:{entry}" for entry in entries}
        assert {row["because"] for row in rows} == {f"case.replay:{case.case_id}"}

    def test_refuses_a_case_that_is_not_open(self, firm: Firm) -> None:
        case_id = open_case(firm.connection, request=request("d1"), now=NOW, correlation_id="c")
        dismiss(firm.connection, case_id=case_id, reason="known", by="ada", now=NOW)

        with pytest.raises(UserMistake, match="no open case"):
            fix_and_replay(firm.connection, case_id=case_id, by="ada", reason="x", now=NOW)


def request(thing: str, *members: CaseMember) -> CaseRequest:
    return CaseRequest(
        reason="deal.blocked",
        owner_queue="sales",
        thing_kind="deal",
        thing_key=thing,
        entity_code="DE",
        members=members,
        details={"blockers": "purchase order"},
    )


class TestRequests:
    def test_a_later_member_joins_the_open_case(self, firm: Firm) -> None:
        member = CaseMember(kind="deal", key="d1", amount=Decimal(100), currency="EUR")
        later = CaseMember(kind="deal", key="d2", amount=Decimal(50), currency="EUR")

        first = open_case(
            firm.connection, request=request("g", member), now=NOW, correlation_id="c"
        )
        second = open_case(
            firm.connection, request=request("g", later), now=LATER, correlation_id="c"
        )

        assert first == second
        (case,) = list_cases(firm.connection)
        assert case.members == 2
        assert case.amounts == (Money(amount=Decimal(150), currency="EUR"),)

    def test_upkeep_leaves_members_that_were_asked_for(self, firm: Firm) -> None:
        member = CaseMember(kind="deal", key="d1")
        open_case(firm.connection, request=request("d1", member), now=NOW, correlation_id="c")

        assert sync(firm.connection).left == 0
        assert len(list_cases(firm.connection)) == 1

    def test_closes_what_was_not_found_again(self, firm: Firm) -> None:
        for deal in ("d1", "d2"):
            open_case(firm.connection, request=request(deal), now=NOW, correlation_id="c")

        closed = close_absent(firm.connection, reason="deal.blocked", still_there={"d2"}, now=LATER)

        assert closed == 1
        assert [case.thing_key for case in list_cases(firm.connection)] == ["d2"]


class TestDismissing:
    def test_is_refused_while_hours_wait(self, firm: Firm) -> None:
        firm.judge(firm.entry("e1"), "held", "time.anything")
        sync(firm.connection)
        (case,) = list_cases(firm.connection)

        with pytest.raises(UserMistake, match="1 time entries wait"):
            dismiss(firm.connection, case_id=case.case_id, reason="no", by="ada", now=NOW)

    def test_keeps_a_bad_row_dismissed(self, firm: Firm) -> None:
        firm.connection.execute(
            "INSERT INTO untranslated (connection_key, source_epoch, object, source_ref, raw_id, reason,"
            " field, message, recorded_at) VALUES ('clock', 0, 'row', 'r7', 5, 'file.total_row', '',"
            " 'a row of totals', %s)",
            (NOW,),
        )
        sync(firm.connection)
        (case,) = list_cases(firm.connection)

        dismiss(firm.connection, case_id=case.case_id, reason="a total", by="ada", now=NOW)

        assert sync(firm.connection).opened == 0

    def test_leaving_hours_out_takes_two_people(self, firm: Firm) -> None:
        entry = firm.entry("e1")
        firm.judge(entry, "held", "time.anything")
        sync(firm.connection)
        (case,) = list_cases(firm.connection)

        with pytest.raises(UserMistake, match="may not approve"):
            leave_out(
                firm.connection,
                case_id=case.case_id,
                reason="r",
                proposed_by="Ada",
                approved_by="ada",
                now=NOW,
            )
        left = leave_out(
            firm.connection,
            case_id=case.case_id,
            reason="never worked",
            proposed_by="ada",
            approved_by="ben",
            now=NOW,
        )

        assert left == 1
        row = firm.connection.execute("SELECT entry_id, approved_by FROM exclusion").fetchone()
        assert row == {"entry_id": entry, "approved_by": "ben"}
