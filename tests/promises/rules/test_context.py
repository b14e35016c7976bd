"""What no source tells and what two sources tell: the statement answers once per hour, and nothing errors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from psycopg import sql

from tests.promises.rules.comparing import (
    judge_batch,
    load_firm,
    load_hours,
    make_small_firm,
    reference_values,
    verdicts,
)
from tests.promises.rules.firm import NOW, Maker, Row, make_firm, make_hours
from tests.promises.rules.hour import Books
from tests.promises.rules.reference import RULES
from tieline.runtime.database import Database
from tieline.validation import Candidate, PreviewVerdict, preview

# What a source need not tell of an hour.
OPTIONAL = (
    "project_ref", "task_ref", "labor_category", "work_date", "zone", "started_at", "ended_at",
    "is_billable", "approver_ref", "created_at", "narrative",
)  # fmt: skip
# What is looked up, and the reason that answers where it is there twice.
DOUBLED = {
    "person": "time.person_ambiguous",
    "project": "time.project_ambiguous",
    "task": "time.task_ambiguous",
    "employee": "time.erp_link_ambiguous",
    "erp_task": "time.erp_link_ambiguous",
}
# What a candidate cannot tell, and what depends on the hours that wait beside it.
NOT_ASKED_OF_CANDIDATES = {
    "time.late_entry": "a candidate is entered now",
    "time.approved_by_self": "a candidate names no approver",
    "time.overlap": "a candidate has no times",
    "time.ends_before_start": "a candidate has no times",
    "time.duplicate_content": "a candidate brings the length of its text, not the text",
    "time.cap_exceeded": "what waits is not counted before it stands",
    "time.capped": "the same",
    "time.capped_link_missing": "the same",
}


class TestAnHourOfWhichNothingIsTold:
    def test_is_judged_and_never_cleared(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        maker = make_firm(3, people=5, projects=5)
        (bare,) = make_hours(maker, 1)
        bare |= dict.fromkeys(OPTIONAL) | {"approval": "unknown", "is_deleted": False}
        bare |= {"is_excluded": False}
        load_firm(owner_database, maker.firm)

        judge_batch(worker_database, load_hours(owner_database, [bare]))

        ((outcome, reasons),) = verdicts(worker_database).values()
        assert outcome == "held"
        assert {"time.work_date_missing=error", "time.project_unknown=error"} <= reasons


class TestALookUpThatIsThereTwice:
    @pytest.mark.parametrize("nouns", [tuple(DOUBLED)])
    def test_is_an_error_and_every_hour_is_answered_once(
        self, nouns: tuple[str, ...], owner_database: Database, worker_database: Database
    ) -> None:
        maker = make_firm(4, people=8, projects=8)
        make_hours(maker, 150)
        load_firm(owner_database, maker.firm)
        batch_id = load_hours(owner_database, maker.firm.hours.values())
        judge_batch(worker_database, batch_id)
        before = verdicts(worker_database)

        for noun in nouns:
            doubled = _double(owner_database, noun)
            judge_batch(worker_database, batch_id)
            after = verdicts(worker_database)
            _undo(owner_database, doubled)

            codes = Counter(
                reason.partition("=")[0] for _, reasons in after.values() for reason in reasons
            )
            assert len(after) == len(before)
            assert codes[DOUBLED[noun]] > len(after) / 10, noun
            judge_batch(worker_database, batch_id)
            assert verdicts(worker_database) == before


def _double(owner: Database, noun: str) -> list[int]:
    """Let every word of a sort mean one more thing, or every thing have one more record."""
    with owner.transaction() as connection:
        if noun in ("employee", "erp_task"):
            return [
                row["crosswalk_id"]
                for row in connection.execute(
                    sql.SQL(
                        "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because,"
                        " starts_on, recorded_at) SELECT x.connection_key, x.noun, x.source_ref || '-again',"
                        " x.our_id, x.scope, 'a test', x.starts_on, x.recorded_at FROM crosswalk x"
                        " WHERE x.noun = %s RETURNING crosswalk_id"
                    ),
                    (noun,),
                ).fetchall()
            ]
        return [
            row["crosswalk_id"]
            for row in connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, starts_on,"
                " recorded_at) SELECT x.connection_key, x.noun, x.source_ref, o.our_id, x.scope, 'a test',"
                " x.starts_on, x.recorded_at FROM crosswalk x CROSS JOIN LATERAL (SELECT y.our_id"
                " FROM crosswalk y WHERE y.noun = x.noun AND y.our_id <> x.our_id ORDER BY 1 LIMIT 1) o"
                " WHERE x.noun = %s RETURNING crosswalk_id",
                (noun,),
            ).fetchall()
        ]


def _undo(owner: Database, doubled: list[int]) -> None:
    with owner.transaction() as connection:
        connection.execute("DELETE FROM crosswalk WHERE crosswalk_id = ANY (%s)", (doubled,))


class TestTheSynchronousDoor:
    def test_tells_of_an_hour_what_the_sets_told(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        maker = make_firm(6, people=8, projects=8)
        hours = make_hours(maker, 150)
        for row in hours:
            row |= {"zone": None, "started_at": None, "ended_at": None, "approver_ref": None}
            row |= {"recorded_at": NOW, "created_at": NOW - timedelta(seconds=1)}
        load_firm(owner_database, maker.firm)
        judge_batch(worker_database, load_hours(owner_database, hours))
        found = verdicts(worker_database)
        asked = _approved_and_alone(maker)

        with worker_database.transaction() as connection:
            told = preview(
                connection,
                entries=[_candidate(row) for row in asked],
                now=NOW + timedelta(seconds=1),
            )

        assert len(asked) > 30
        for row, verdict in zip(asked, told, strict=True):
            expected = {r for r in found[row["entry_id"]][1] if _is_asked(r)}
            answer = {f"{each.code}={each.severity}" for each in verdict.reasons}
            assert {r for r in answer if _is_asked(r)} == expected, row

    def test_tells_the_same_whether_or_not_others_have_what_an_hour_has_not(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        make_small_firm(owner=owner_database, worker=worker_database, hours=60)
        with owner_database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM time_entry JOIN time_entry_version USING (entry_id)"
                " WHERE is_newest AND NOT is_deleted AND seconds > 0 AND right(source_ref, 1) = '7'"
            ).fetchall()
        plain = [_candidate({**row, "narrative": "x" * row["narrative_length"]}) for row in rows]
        # Each as it is stored, as a new one of the same words, and as one that takes it back.
        new = [replace(each, source_ref=f"{each.source_ref}-new") for each in plain]
        back = [replace(each, source_ref="back", seconds=-each.seconds) for each in plain[:2]]
        full = replace(
            plain[0], source_ref="full", person_ref="nobody", seconds=-60, labor_category="Other",
            zone="Europe/Berlin", started_at=NOW, ended_at=NOW + timedelta(hours=1), approver_ref="boss",
        )  # fmt: skip
        lot = [replace(full, source_ref=f"full {n}", work_date=None) for n in range(20)]

        with worker_database.transaction() as connection:
            for each in [*plain, *new, *back]:
                alone = preview(connection, entries=[each], now=NOW)[0]
                beside = preview(connection, entries=[each, full], now=NOW)[0]
                assert _told(alone) == _told(beside), each
            among = preview(connection, entries=[back[-1], *lot], now=NOW)[0]

        assert len(plain) > 3
        assert _told(alone) == _told(among)


def _approved_and_alone(maker: Maker) -> list[Row]:
    """Return hours that count and are their person's only ones of the day."""
    books = Books(maker.firm, values=reference_values())
    return [
        hour.row
        for hour in books.hours.values()
        if hour.counts
        and hour.row["approval"] == "approved"
        and hour.work_date
        and len(hour.day) == 1
    ][:100]


def _is_asked(reason: str) -> bool:
    # What was parked too long is an error: how long is no question to a candidate.
    code = reason.partition("=")[0]
    return code in RULES and code not in NOT_ASKED_OF_CANDIDATES


def _told(verdict: PreviewVerdict) -> tuple[object, ...]:
    # What is left of a cap is less for whoever is asked together with others.
    reasons = {each.code for each in verdict.reasons if "cap" not in each.code}
    priced = (verdict.labor_category, verdict.billed_seconds, verdict.rate_amount)
    return verdict.source_ref, verdict.entity_code, *priced, verdict.currency, reasons


def _candidate(row: Row) -> Candidate:
    return Candidate(
        connection_key=str(row["connection_key"]),
        source_ref=str(row["source_ref"]),
        person_ref=str(row["person_ref"]),
        project_ref=row["project_ref"],
        task_ref=row["task_ref"],
        labor_category=row["labor_category"],
        work_date=row["work_date"],
        seconds=int(str(row["seconds"])),
        is_billable=row["is_billable"],
        is_approved=True,
        narrative_length=len(str(row["narrative"] or "")),
    )
