from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import stdnum.at.uid
import stdnum.ch.vat
import stdnum.de.vat
import stdnum.gb.vat
import stdnum.pl.nip
import stdnum.us.ein
from tests.rooms.sandbox.conftest import TODAY, Vendor, story_projects

from tieline.kernel.periods import next_month
from tieline.sandbox.firm import STAFFING_COLUMNS, STAFFING_KEY, Firm
from tieline.sandbox.firm_calendar import (
    anchor_month,
    business_now,
    month_before,
    weeks_before,
    working_days,
)
from tieline.sandbox.firm_incidents import INCIDENTS
from tieline.sandbox.firm_model import Entry
from tieline.sandbox.firm_running import AT_RISK, BLOCKED, BOSTON, CREW, READY, STATES
from tieline.sandbox.truth import final_truth

_TWO_YEARS = [TODAY + timedelta(days=number) for number in range(731)]
_VALID = {
    "DE": stdnum.de.vat.is_valid,
    "GB": stdnum.gb.vat.is_valid,
    "AT": stdnum.at.uid.is_valid,
    "CH": stdnum.ch.vat.is_valid,
    "PL": stdnum.pl.nip.is_valid,
    "US": stdnum.us.ein.is_valid,
}


def _right(firm: Firm) -> list[Entry]:
    wrong = {mistake.ref for mistake in firm.mistakes if not mistake.is_warning}
    return [entry for entry in firm.entries if entry.is_locked and entry.key not in wrong]


def _right_of_story(firm: Firm) -> list[Entry]:
    return [entry for entry in _right(firm) if entry.project_code in story_projects(firm)]


class TestAnchor:
    @pytest.mark.parametrize(
        ("today", "month"),
        [
            (date(2026, 11, 24), date(2026, 10, 1)),
            (date(2026, 11, 3), date(2026, 9, 1)),
            (date(2026, 11, 4), date(2026, 10, 1)),
            (date(2027, 1, 4), date(2026, 11, 1)),
            (date(2027, 1, 5), date(2026, 12, 1)),
        ],
    )
    def test_is_the_last_full_month_that_could_be_closed(self, today: date, month: date) -> None:
        assert anchor_month(today) == month

    def test_says_now_in_munich_on_the_second_working_day(self) -> None:
        now = business_now(date(2026, 10, 1)).astimezone(ZoneInfo("Europe/Berlin"))

        assert now.isoformat() == "2026-11-03T14:56:00+01:00"

    def test_lies_before_every_day_of_two_years(self) -> None:
        for today in _TWO_YEARS:
            month = anchor_month(today)
            assert next_month(month) <= today
            assert business_now(month).date() < today
            assert (today - month).days < 70


class TestFirm:
    def test_is_the_same_for_the_same_seed_and_another_for_another(self, firm: Firm) -> None:
        assert Firm.generate(7, TODAY) == firm
        assert Firm.generate(8, TODAY).people != firm.people

    def test_can_be_generated_on_every_day_of_two_years(self) -> None:
        months = {anchor_month(today): today for today in _TWO_YEARS}

        for number, today in enumerate(months.values()):
            firm = Firm.generate(number, today)

            assert 4500 <= len(firm.entries) <= 6600
            assert len(_right(firm)) >= 4400
            _assert_boston_has_something_to_bill(firm)
            _assert_nothing_else_is_wrong(firm)
            _assert_planted(firm)

    def test_prints_itself(self) -> None:
        arguments = ["--seed", "7", "--today", "2026-11-24", "--json"]
        printed = subprocess.run(
            [sys.executable, "-m", "tieline.sandbox.firm", *arguments],
            capture_output=True,
            check=True,
            text=True,
        ).stdout

        assert '"project_code":"AUR-GRID"' in printed

    def test_has_tax_numbers_that_pass_their_countries_checks(self, firm: Firm) -> None:
        numbers = [(client.country_code, client.vat_number) for client in firm.clients]
        numbers += [(entity.country_code, entity.vat_number) for entity in firm.entities]

        assert all(number and _VALID[country](number) for country, number in numbers)

    def test_knows_brandt_by_two_names(self, firm: Firm) -> None:
        (company,) = [row for row in firm.hubspot_load()["companies"] if row["key"] == "brandt"]
        names = [row["name"] for row in firm.erp_seed()["clients"]]

        assert company["properties"]["name"] == "BRANDT Maschinen-Bau"
        assert "tieline_vat_number" not in company["properties"]
        assert "Brandt Maschinenbau AG" in names

    def test_has_36_clients_each_under_a_number_of_its_own(self, firm: Firm) -> None:
        assert len(firm.clients) == len({client.vat_number for client in firm.clients}) == 36
        spelled = [
            client.crm_name
            for client in firm.clients
            if client.erp_name is not None and client.erp_name != client.crm_name
        ]
        assert spelled == ["BRANDT Maschinen-Bau", "Aldgate Insurance", "Rheintor Logistik GmbH"]

    def test_is_as_large_as_its_story_says(self, firm: Firm) -> None:
        assert len(firm.people) == 120
        assert sum(person.is_from_agency for person in firm.people) == 9
        assert sum(person.weekly_hours < 35 for person in firm.people) == 14
        assert {person.entity_code for person in firm.people} == {e.code for e in firm.entities}
        assert (len(firm.deals), len(firm.running)) == (12, 48)
        assert Counter(STATES[contract.key] for contract in firm.running) == {
            READY: 34,
            AT_RISK: 7,
            BLOCKED: 7,
        }

    def test_books_on_every_running_contract(self, firm: Firm) -> None:
        right = {entry.project_code for entry in _right(firm)}

        assert right >= {contract.project_code for contract in firm.running}
        erp = {project["code"]: project for project in firm.erp_seed()["projects"]}
        rows = csv.DictReader(io.StringIO(firm.contracts_csv()))
        told = Counter((row["project"], row["rate_amount"]) for row in rows)
        assert told == Counter(
            (code, task["rate"]) for code, project in erp.items() for task in project["tasks"]
        )

    def test_plants_every_kind_of_mistake(self, firm: Firm) -> None:
        kinds = Counter(mistake.kind for mistake in firm.mistakes)

        assert kinds == {
            "after_assignment_end": 3,
            "typo_88_hours": 2,
            "no_rate": 6,
            "over_cap": 1,
            "not_lent": 5,
            "unreadable_line": 3,
            "unassigned_person": 2,
            "not_employed": 2,
            "zero_hours": 2,
            "future_date": 1,
            "missing_narrative": 7,
            "person_day_over_24h": 3,
            "on_leave": 1,
            "content_duplicate": 2,
            "unknown_locked_reason": 5,
            "task_not_on_contract": 2,
            "purchase_order_missing": 1,
            "client_near_duplicate": 1,
            "currency_not_billable": 1,
        }

    def test_changes_its_mind_afterwards(self, firm: Firm) -> None:
        kinds = Counter(change.kind for change in firm.later_changes)

        assert kinds == {
            "hours_changed": 4,
            "moved_to_other_project": 1,
            "redated": 1,
            "deleted": 4,
            "approval_withdrawn": 2,
            "healed": 2,
        }
        touched = [change.entry_key for change in firm.later_changes]
        assert len(set(touched)) == len(touched)
        right = {entry.key for entry in _right(firm)}
        healed = {m.ref for m in firm.mistakes if m.is_healed_later}
        assert {c.entry_key for c in firm.later_changes if c.kind == "healed"} == healed
        assert {c.entry_key for c in firm.later_changes if c.kind != "healed"} <= right

    def test_has_five_weeks_of_the_teams_up_to_the_day_before(self, firm: Firm) -> None:
        of_boston = {person.key for person in firm.people if person.entity_code == BOSTON}
        days = {e.work_date for e in firm.entries if e.person_key in CREW - of_boston}
        begun = [entry for entry in firm.entries if entry.work_date == date(2026, 11, 2)]

        assert (min(days), max(days)) == (date(2026, 9, 29), date(2026, 11, 2))
        assert len({day for day in days if day.weekday() < 5}) == len(days) == 25
        assert not any(entry.is_locked for entry in begun)

    def test_has_all_of_bostons_period_that_is_over_and_what_came_after(self, firm: Firm) -> None:
        running = {each.project_code for each in firm.running if each.entity_code == BOSTON}
        booked = [entry for entry in firm.entries if entry.project_code in running]
        starts_on, ends_on = weeks_before(firm.month)

        assert (starts_on, ends_on) == (date(2026, 9, 28), date(2026, 10, 26))
        assert {e.project_code for e in booked if starts_on <= e.work_date < ends_on} == running
        assert max(entry.work_date for entry in booked) == date(2026, 11, 2)
        assert all(entry.is_locked for entry in booked if entry.work_date < ends_on)

    def test_leaves_some_contracts_without_any_trouble(self, firm: Firm) -> None:
        wrong = {mistake.ref for mistake in firm.mistakes}
        troubled = {
            entry.project_code
            for entry in firm.entries
            if entry.work_date < next_month(firm.month)
            and (entry.key in wrong or not entry.is_locked)
        }

        assert troubled == {
            *("AUR-GRID", "NOR-ROUTE", "ALD-PRICE", "HAR-RISK", "KES-LIMS"),
            *(code for code, state in STATES.items() if state != READY),
        }

    def test_sells_a_rate_change_inside_the_month(self, firm: Firm) -> None:
        (deal,) = [deal for deal in firm.deals if deal.key == "ISA-CLAIM"]

        changed = [line for line in deal.lines if line.task == "Claims model"]

        assert [(line.rate, line.rate_starts_on.day) for line in changed] == [
            (Decimal("150.00"), 1),
            (Decimal("160.00"), 16),
        ]

    def test_tells_late_who_joined_late(self, firm: Firm) -> None:
        rows = list(csv.DictReader(io.StringIO(firm.late_staffing_csv())))

        assert [(row["fact"], row["project_code"], row["labor_category"]) for row in rows] == [
            ("assignment", "NOR-ROUTE", "Analyst")
        ]


class TestAgencyFile:
    def test_has_420_lines_of_which_three_cannot_be_read(self, firm: Firm) -> None:
        lines = firm.agency_file.content.splitlines()
        rows = list(csv.DictReader(io.StringIO(firm.agency_file.content)))

        assert len(rows) == len({row["line"] for row in rows}) == 420
        assert len(firm.agency_file.rows) == 417
        assert [rows[number - 2]["line"] for number, _ in firm.agency_file.bad_lines] == [
            ref for _, ref in firm.agency_file.bad_lines
        ]
        assert ["7,5 h" in lines[57 + 1], "31.02." in lines[203 + 1]] == [True, True]

    def test_is_of_its_nine_people_and_fits_into_their_days(self, firm: Firm) -> None:
        days: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
        for row in firm.agency_file.rows:
            days[row.email, row.work_date] += row.hours

        assert {email for email, _ in days} == {p.email for p in firm.people if p.is_from_agency}
        assert len({email for email, _ in days}) == 9
        assert max(days.values()) <= 8
        assert sum(len(seconds) for seconds in firm.agency_truth().values()) == 417


class TestStaffingFile:
    def test_names_each_row_once_by_its_key(self, firm: Firm) -> None:
        rows = list(csv.DictReader(io.StringIO(firm.staffing_csv())))
        keys = [tuple(row[column] for column in STAFFING_KEY) for row in rows]

        assert tuple(rows[0]) == STAFFING_COLUMNS
        assert len(set(keys)) == len(keys)
        assert Counter(row["fact"] for row in rows) == {
            "employment": 120,
            "assignment": 31,
            "leave": 3,
            "intercompany": 14,
            "work_pattern": 13,
            "work_place": 13,
        }

    def test_lends_london_to_munich_and_krakow_to_london_by_agreement(self, firm: Firm) -> None:
        rows = list(csv.DictReader(io.StringIO(firm.staffing_csv())))
        homes = {person.email: person.entity_code for person in firm.people}

        lent = Counter(
            (homes[row["person_email"]], row["legal_entity"])
            for row in rows
            if row["fact"] == "intercompany"
            and firm.entity_of_project[row["project_code"]] == row["legal_entity"]
        )

        assert lent == {("HR-UK", "HR-DE"): 1, ("HR-PL", "HR-UK"): 13}


class TestFinalTruth:
    def test_is_what_was_typed_right(self, with_time: Vendor, firm: Firm) -> None:
        truth = final_truth(
            journal=with_time.journal(),
            mistakes=firm.mistakes,
            entity_of_project=firm.entity_of_project,
            stays={},
        )

        assert sorted(_flat(truth)) == sorted(_expected(firm, _right_of_story(firm)))

    def test_follows_edits_deletes_and_withdrawals(self, with_time: Vendor, firm: Firm) -> None:
        before = len(_right_of_story(firm))
        ids = with_time.ids()
        for change in firm.changes(
            entry_ids=ids.entry_ids,
            project_ids=ids.project_ids,
            task_ids=ids.task_ids,
            at=firm.now,
        ):
            with_time.do(change["verb"], change["body"])

        truth = final_truth(
            journal=with_time.journal(),
            mistakes=firm.remaining_mistakes(is_after_changes=True),
            entity_of_project=firm.entity_of_project,
            stays={},
        )

        assert len(_flat(truth)) == before - 4 - 2 + 2
        healed = [key for key, seconds in truth.items() if 31_680 in seconds]
        assert [(key[0], key[3]) for key in healed] == [("HR-UK", "ALD-PRICE")]
        moved = next(c for c in firm.later_changes if c.kind == "moved_to_other_project")
        entry = next(entry for entry in firm.entries if entry.key == moved.entry_key)
        email = next(p.email for p in firm.people if p.key == entry.person_key)
        key = ("HR-DE", email, entry.work_date, "VOL-HUB", "Load model")
        assert int(entry.hours * 3600) in truth[key]


def _flat(
    truth: dict[tuple[str, str, date, str, str], list[int]],
) -> list[tuple[str, str, date, str, str, int]]:
    return [(*key, seconds) for key, several in truth.items() for seconds in several]


def _expected(firm: Firm, entries: list[Entry]) -> list[tuple[str, str, date, str, str, int]]:
    emails = {person.key: person.email for person in firm.people}
    return [
        (
            firm.entity_of_project[entry.project_code],
            emails[entry.person_key],
            entry.work_date,
            entry.project_code,
            entry.task,
            int(entry.hours * 3600),
        )
        for entry in entries
    ]


def _assert_planted(firm: Firm) -> None:
    """Add up what is planted, by the firm's own contracts, and compare it with what is said of it."""
    planted = {incident.number: incident.planted for incident in INCIDENTS}
    deals = {deal.key: deal for deal in firm.deals}
    for number, key in ((1, "BRA-SPARE"), (2, "NOM-ASSET")):
        deal = deals[key]
        assert (deal.amount, deal.currency) == (planted[number].amount, planted[number].currency)
    for number, kind, rate in (
        (3, "no_rate", None),
        (4, "after_assignment_end", 180),
        (5, "over_cap", 180),
        (8, "not_lent", 95),
        (9, "typo_88_hours", 190),
    ):
        refs = {m.ref for m in firm.mistakes if m.kind == kind and not m.is_healed_later}
        hours = sum((e.hours for e in firm.entries if e.key in refs), Decimal(0))
        amount = None if rate is None else hours * rate
        assert (hours, amount) == (planted[number].hours, planted[number].amount), kind
    kessler = deals["KES-LIMS"]
    rates = {line.labor_category: line.rate for line in kessler.lines}
    category = {person.key: person.labor_category or "" for person in firm.people}
    worth = sum(
        entry.hours * rates[category[entry.person_key]]
        for entry in firm.entries
        if entry.project_code == "KES-LIMS" and not entry.is_late
    )
    assert worth == kessler.cap_amount
    (edited,) = (entry for entry in firm.entries if entry.key == firm.edited)
    (deleted,) = (entry for entry in firm.entries if entry.key == firm.deleted)
    assert (edited.hours, deleted.hours) == (Decimal("6.00"), Decimal("8.00"))
    assert planted[6].amount == Decimal("-1.50") * 180
    assert planted[7].amount == -deleted.hours * 140
    isarwerk = [entry for entry in firm.entries if entry.project_code == "ISA-CLAIM"]
    before = sum(entry.hours for entry in isarwerk if entry.work_date.day < 16)
    after = sum(entry.hours for entry in isarwerk if entry.work_date.day >= 16)
    assert (before, after, before * 150 + after * 160) == (40, 40, planted[10].amount)
    assert _missing(firm) == (7, 3, planted[11].hours)


def _missing(firm: Firm) -> tuple[int, int, Decimal]:
    """Return who has not handed in what is expected, how many of them to a lead who is away, and the hours."""
    missing: dict[str, Decimal] = {}
    for person in (person for person in firm.people if person.is_planned):
        days = working_days(firm.month, country_code=person.country_code)
        entered = sum(e.hours for e in firm.entries if e.person_key == person.key)
        gap = person.weekly_hours / 5 * len(days) - entered
        if gap:
            missing[person.key] = gap
    away = {n.person_key for n in firm.leave if n.starts_on <= firm.now.date() < n.ends_on}
    led = {a.person_key for a in firm.assignments if a.approver_key in away}
    return len(missing), len(led & set(missing)), sum(missing.values(), Decimal(0))


def _assert_boston_has_something_to_bill(firm: Firm) -> None:
    """Hold that each contract of Boston has hours in its period that is over, and all of them are approved."""
    starts_on, ends_on = weeks_before(firm.month)
    over = [e for e in firm.entries if starts_on <= e.work_date < ends_on]
    for contract in firm.running:
        if contract.entity_code == BOSTON:
            booked = [entry for entry in over if entry.project_code == contract.project_code]
            assert booked, contract.project_code
            assert all(entry.is_locked for entry in booked), contract.project_code


def _assert_nothing_else_is_wrong(firm: Firm) -> None:
    """Judge every right entry again, by the firm's own contracts and staffing."""
    people = {person.key: person for person in firm.people}
    lines = {
        (deal.project_code, line.task, line.labor_category)
        for deal in (*firm.deals, *firm.running)
        for line in deal.lines
        if deal.blocker is None
    }
    assignments = defaultdict(list)
    for each in firm.assignments:
        assignments[each.person_key, each.project_code].append(each)
    away = [(leave.person_key, leave.starts_on, leave.ends_on) for leave in firm.leave]
    warned = {mistake.ref for mistake in firm.mistakes if mistake.is_warning}
    totals: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for entry in firm.entries:
        totals[entry.person_key, entry.work_date] += entry.hours
    for entry in _right(firm):
        person = people[entry.person_key]
        assigned = [
            assignment
            for assignment in assignments[entry.person_key, entry.project_code]
            if assignment.starts_on <= entry.work_date < assignment.ends_on
        ]
        assert len(assigned) == 1, entry
        assert (entry.project_code, entry.task, assigned[0].labor_category) in lines, entry
        assert person.employed_from <= entry.work_date, entry
        assert person.employed_to is None or entry.work_date < person.employed_to, entry
        is_before = entry.key == firm.edited or entry.person_key in CREW
        first = month_before(firm.month) if is_before else firm.month
        of_boston = person.key in CREW and person.entity_code == BOSTON
        after = max(next_month(firm.month), weeks_before(firm.month)[1] if of_boston else first)
        assert first <= entry.work_date < after, entry
        assert entry.hours > 0, entry
        assert entry.hours % Decimal("0.25") == 0, entry
        assert entry.narrative, entry
        assert totals[entry.person_key, entry.work_date] <= 12, entry
        if entry.key not in warned:
            assert not any(
                key == entry.person_key and starts_on <= entry.work_date < ends_on
                for key, starts_on, ends_on in away
            ), entry
    contents = Counter(
        (e.person_key, e.work_date, e.project_code, e.task, e.hours, e.narrative)
        for e in firm.entries
    )
    assert sum(count - 1 for count in contents.values()) == 2
