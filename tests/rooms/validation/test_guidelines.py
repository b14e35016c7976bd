"""What clients, projects and people are held to decides over stored hours, and nothing does where nothing is told."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.support.scene import DAY, NOW, Scene, approve_shipped_rules, build_scene, complete_scene
from tests.support.target import FixedClock

from tieline.governance import approve, get_proposal, open_web_transaction
from tieline.register import NOUNS
from tieline.runtime.database import Database
from tieline.services.reference_files import carry_out_load, load_file, read_file
from tieline.validation import judge, next_marked

_LATER = NOW + timedelta(minutes=1)
_APPROVED_AT = datetime(2026, 10, 30, 9, tzinfo=UTC)


class _Firm:
    """One project whose plain hour is cleared, and whatever a test tells about it."""

    def __init__(self, owner: Database, worker: Database) -> None:
        self.owner, self.worker = owner, worker
        with owner.transaction() as connection:
            self.scene: Scene = build_scene(connection)
            complete_scene(connection, self.scene)
            approve_shipped_rules(connection)
            row = connection.execute(
                "INSERT INTO reference_load (noun, file_name, loaded_by, reason, rows, recorded_at)"
                " VALUES ('n', 'f', 'ann', 'a test', 1, %s) RETURNING load_id",
                (NOW,),
            ).fetchone()
        assert row is not None
        self.load_id = row["load_id"]

    def tell(self, table: str, **values: Any) -> None:
        row = {
            "starts_on": date(2026, 1, 1),
            "recorded_at": NOW,
            "load_id": self.load_id,
            "line_number": 1,
            **values,
        }
        with self.owner.transaction() as connection:
            connection.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
                list(row.values()),
            )

    def hour(self, *, text: str = "Draft of the design", **changed: Any) -> uuid.UUID:
        ref = uuid.uuid4().hex
        with self.owner.transaction() as connection:
            entry = connection.execute(
                "INSERT INTO time_entry (connection_key, source_epoch, object, source_ref, newest_version)"
                " VALUES ('harvest', 0, 'time_entries', %s, 1) RETURNING entry_id",
                (ref,),
            ).fetchone()
            narrative = connection.execute(
                "INSERT INTO narrative (text) VALUES (%s) RETURNING narrative_id", (text,)
            ).fetchone()
            assert entry is not None
            assert narrative is not None
            row: Mapping[str, Any] = {
                "entry_id": entry["entry_id"],
                "version": 1,
                "is_newest": True,
                "is_deleted": False,
                "person_ref": "u1",
                "project_ref": "p1",
                "task_ref": "t1",
                "work_date": DAY,
                "seconds": 3600,
                "quantum_seconds": 36,
                "is_billable": True,
                "approval": "approved",
                "approval_word": "approved",
                "created_at": _APPROVED_AT,
                "narrative_id": narrative["narrative_id"],
                "narrative_length": len(text),
                "narrative_hash": hashlib.sha256(text.encode()).digest(),
                "material_hash": ref.encode(),
                "material_version": 1,
                "recorded_at": NOW,
                "raw_id": 1,
                "batch_id": self.scene.batch_id,
                "correlation_id": "c",
                **changed,
            }
            connection.execute(
                f"INSERT INTO time_entry_version ({', '.join(row)})"
                f" VALUES ({', '.join(['%s'] * len(row))})",
                list(row.values()),
            )
        return uuid.UUID(str(entry["entry_id"]))

    def reasons(self, entry_id: uuid.UUID) -> set[str]:
        with self.worker.transaction() as connection:
            judge(
                connection,
                clock=FixedClock(_LATER),
                correlation_id="c",
                neighbor_keys=[f"entry:{entry_id}"],
            )
        return self.stored_reasons(entry_id)

    def stored_reasons(self, entry_id: uuid.UUID) -> set[str]:
        with self.owner.transaction() as connection:
            rows = connection.execute(
                "SELECT r.code FROM time_entry t JOIN verdict_reason r USING (verdict_id)"
                " WHERE t.entry_id = %s",
                (entry_id,),
            ).fetchall()
        # What is told of a person's calendar is not what these tests are about.
        return {row["code"].removeprefix("time.") for row in rows} - {
            "late_entry",
            "not_contemporaneous",
        }

    def person(self, ref: str) -> uuid.UUID:
        with self.owner.transaction() as connection:
            row = connection.execute(
                "INSERT INTO person (recorded_at) VALUES (%s) RETURNING person_id", (NOW,)
            ).fetchone()
            assert row is not None
            connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                " VALUES ('harvest', 'person', %s, %s, 'a test', %s)",
                (ref, row["person_id"], NOW),
            )
        return uuid.UUID(str(row["person_id"]))


@pytest.fixture
def firm(owner_database: Database, worker_database: Database) -> _Firm:
    return _Firm(owner_database, worker_database)


class TestWhatIsTold:
    def test_is_nothing_at_first_and_holds_nothing(self, firm: _Firm) -> None:
        assert firm.reasons(firm.hour()) == set()

    def test_of_a_client_is_asked_of_the_text_which_never_leaves_its_table(
        self, firm: _Firm
    ) -> None:
        firm.tell(
            "client_guideline", client_id=firm.scene.client_id, narrative_length_min=12,
            narrative_length_max=60, narrative_words_min=3, narrative_tasks_max=1,
            narrative_language="en", forbids_contact_data=True,
        )  # fmt: skip
        firm.tell("client_word", client_id=firm.scene.client_id, word="research")

        assert firm.reasons(firm.hour()) == set()
        assert firm.reasons(firm.hour(text="Review")) == {"narrative_too_short", "narrative_vague"}
        assert firm.reasons(firm.hour(text="Research on the law of leases")) == {"forbidden_word"}
        assert firm.reasons(firm.hour(text="Call; draft of the memo; review")) == {
            "several_tasks_in_one"
        }
        assert firm.reasons(firm.hour(text="Besprechung mit dem Kunden und der Bank")) == {
            "narrative_language"
        }
        assert firm.reasons(firm.hour(text="Mail to jane.doe@client.example on the case")) == {
            "contact_data_in_text"
        }
        assert firm.reasons(firm.hour(text="Draft of the design, " * 4)) == {"narrative_too_long"}
        with firm.owner.transaction() as connection:
            stored = connection.execute(
                "SELECT string_agg(v::text, '') AS all FROM verdict v"
            ).fetchone()
        assert stored is not None
        assert "jane.doe" not in stored["all"]

    def test_of_a_client_bounds_the_day_and_the_same_text(self, firm: _Firm) -> None:
        firm.tell(
            "client_guideline", client_id=firm.scene.client_id, person_day_minutes_max=90,
            people_day_max=1, same_text_days_max=1,
        )  # fmt: skip
        first = firm.hour()
        assert firm.reasons(first) == set()

        firm.person("u2")
        other = firm.hour(text="Another thing", person_ref="u2")
        assert "people_per_day_exceeded" in firm.reasons(other)
        later = firm.hour(work_date=DAY + timedelta(days=1))
        assert firm.reasons(later) == {"narrative_repeated"}
        second = firm.hour(text="Second part of the day")
        assert firm.reasons(second) == {"people_per_day_exceeded", "client_day_over_maximum"}

    def test_of_codes_says_what_the_client_pays_for(self, firm: _Firm) -> None:
        scene = firm.scene
        firm.tell("client_code", client_id=scene.client_id, activity_code="L110")
        assert firm.reasons(firm.hour()) == {"activity_code_not_allowed"}

        firm.tell(
            "task_code", project_id=scene.project_id, task_name="Build", activity_code="L110",
            activity_kind="travel", is_allowable=False, ends_on=DAY + timedelta(days=1),
        )  # fmt: skip
        firm.tell("client_guideline", client_id=scene.client_id, bills_travel=False)
        assert firm.reasons(firm.hour(text="On the train")) == {
            "travel_not_billable", "unallowable_cost_billed",
        }  # fmt: skip
        assert firm.reasons(firm.hour(text="Next day", work_date=DAY + timedelta(days=1))) == {
            "task_code_missing", "activity_code_not_allowed",
        }  # fmt: skip

    def test_of_a_project_closes_it_or_says_who_may_charge_what(self, firm: _Firm) -> None:
        project_id = firm.scene.project_id
        firm.tell(
            "closed_for_time", project_id=project_id, task_name="", reason="audit",
            ends_on=DAY, starts_on=DAY - timedelta(days=1),
        )  # fmt: skip
        firm.tell(
            "charge_control",
            project_id=project_id,
            task_name="",
            labor_category="",
            may_charge=True,
        )
        assert firm.reasons(firm.hour()) == set()
        yesterday = firm.hour(text="Day before", work_date=DAY - timedelta(days=1))
        assert firm.reasons(yesterday) == {"closed_for_time"}

        firm.tell(
            "charge_control", project_id=project_id, task_name="Build", labor_category="",
            may_charge=False,
        )  # fmt: skip
        assert firm.reasons(firm.hour(text="Narrower")) == {"charge_not_allowed"}

    def test_of_a_person_asks_for_clearance_wall_order_and_qualification(self, firm: _Firm) -> None:
        scene = firm.scene
        whom = {"person_id": scene.person_id}
        firm.tell("required_clearance", project_id=scene.project_id, clearance="secret")
        firm.tell("ethical_wall", client_id=scene.client_id, reason="other side", **whom)
        firm.tell("qualification", labor_category="Analyst", **whom)
        firm.tell("subcontract", subcontract_code="S1", ends_on=DAY, **whom)
        firm.tell("attendance", attended_minutes=240, starts_on=DAY, **whom)
        other = firm.person("u2")
        firm.tell("timekeeper", client_id=scene.client_id, person_id=other)

        assert firm.reasons(firm.hour()) == {
            "clearance_missing", "ethical_wall", "person_not_qualified", "subcontract_not_valid",
            "timekeeper_not_approved", "day_under_attendance",
        }  # fmt: skip

        firm.tell("held_clearance", clearance="secret", **whom)
        firm.tell("qualification", labor_category="Consultant", **whom)
        firm.tell("timekeeper", client_id=scene.client_id, labor_category="Partner", **whom)
        assert firm.reasons(firm.hour(text="Later", seconds=10800)) == {
            "ethical_wall", "subcontract_not_valid", "timekeeper_category_differs",
        }  # fmt: skip

    def test_of_approval_is_authority_delegation_or_the_assignment(self, firm: _Firm) -> None:
        boss, deputy, stranger = (firm.person(ref) for ref in ("b1", "d1", "s1"))
        firm.tell("approval_authority", person_id=boss, entity_code="HR-DE")
        firm.tell(
            "approval_delegation", from_person_id=boss, to_person_id=deputy,
            starts_on=_APPROVED_AT.date(),
        )  # fmt: skip

        def asked(approver: str, at: datetime = _APPROVED_AT) -> set[str]:
            text = f"By {approver} at {at}"
            return firm.reasons(firm.hour(text=text, approver_ref=approver, approved_at=at))

        assert asked("b1") == set()
        assert asked("d1") == set()
        assert asked("d1", _APPROVED_AT - timedelta(days=1)) == {"approver_not_authorized"}
        assert asked("s1") == {"approver_not_authorized"}
        assert asked("x1") == {"approver_unknown"}
        assert asked("b1", datetime(2026, 10, 4, 9, tzinfo=UTC)) == {"approved_before_work"}
        with firm.owner.transaction() as connection:
            connection.execute("UPDATE assignment SET deputy_id = %s", (stranger,))
        assert asked("s1", _APPROVED_AT + timedelta(hours=1)) == set()

    def test_of_plans_and_history_finds_what_goes_over_and_what_was_changed(
        self, firm: _Firm
    ) -> None:
        with firm.owner.transaction() as connection:
            connection.execute("UPDATE assignment SET planned_seconds = 5400")
        assert firm.reasons(firm.hour()) == set()
        over = firm.hour(text="One more", work_date=DAY + timedelta(days=1))
        assert firm.reasons(over) == {"planned_hours_exceeded"}
        with firm.owner.transaction() as connection:
            connection.execute("UPDATE assignment SET planned_seconds = NULL")

        entry_id = firm.hour(text="Before", approved_at=_APPROVED_AT, is_newest=False)
        with firm.owner.transaction() as connection:
            connection.execute(
                "CREATE TEMP TABLE again AS SELECT * FROM time_entry_version WHERE entry_id = %s",
                (entry_id,),
            )
            connection.execute("UPDATE again SET version = 2, is_newest = true, seconds = 7200")
            connection.execute("INSERT INTO time_entry_version SELECT * FROM again")
            connection.execute(
                "UPDATE time_entry SET newest_version = 2 WHERE entry_id = %s", (entry_id,)
            )
        assert firm.reasons(entry_id) == {"changed_after_approval"}

    def test_of_two_merged_clients_is_ambiguous(self, firm: _Firm) -> None:
        scene = firm.scene
        with firm.owner.transaction() as connection:
            row = connection.execute(
                "INSERT INTO client (redirect_to, recorded_at) VALUES (%s, %s) RETURNING client_id",
                (scene.client_id, NOW),
            ).fetchone()
        assert row is not None
        firm.tell("client_guideline", client_id=scene.client_id, narrative_length_min=1)
        firm.tell("client_guideline", client_id=row["client_id"], narrative_length_min=2)

        assert firm.reasons(firm.hour()) == {"guideline_ambiguous"}


class TestAFile:
    def test_of_any_noun_stands_in_a_table_with_its_columns(self, owner_database: Database) -> None:
        with owner_database.transaction() as connection:
            rows = connection.execute(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = 'tieline'"
            ).fetchall()
        known = {(row["table_name"], row["column_name"]) for row in rows}
        asked = {
            (noun.table, name)
            for noun in NOUNS.values()
            for name in (noun.own_id, *noun.key, *noun.values(), "starts_on", "load_id")
        }

        assert asked - known == set()

    def test_of_guidelines_is_agreed_by_two_and_asks_again_for_the_clients_hours(
        self, firm: _Firm
    ) -> None:
        entry_id = firm.hour()
        assert firm.reasons(entry_id) == set()
        body = b"client,narrative_length_min,starts_on\nClient,400,2026-01-01\n"
        with firm.worker.transaction() as connection:
            connection.execute("DELETE FROM rejudge")
            loaded = load_file(
                connection,
                file=read_file(noun="client-guidelines", name="g.csv", body=body, is_whole=False),
                by="ann",
                reason="a test",
                now=NOW,
            )
        assert loaded.proposal_id is not None
        with open_web_transaction(firm.worker, entities=("HR-DE",)) as connection:
            approve(connection, proposal_id=loaded.proposal_id, by="bob", now=NOW)
            proposal = get_proposal(connection, proposal_id=loaded.proposal_id)
            carry_out_load(connection, proposal, NOW)

        with firm.worker.transaction() as connection:
            marked = next_marked(connection, now=_LATER, limit=10)
            judge(connection, clock=FixedClock(_LATER), correlation_id="c", neighbor_keys=marked)
        assert marked == [f"contract:{firm.scene.contract_id}"]
        assert firm.stored_reasons(entry_id) == {"narrative_too_short"}
